//! Settings and rights of a role that are meant for other things than locks.

use std::time::Duration;

use dlock::Error;
use dlock_tests::{Site, is_about};
use tokio::time::sleep;

use super::corner::Corner;

const RIGHTS: &str = "GRANT USAGE, CREATE ON SCHEMA {schema} TO {schema}_role";
const SECOND: Duration = Duration::from_secs(1);

async fn works(corner: &Corner, site: &Site) {
    let options = corner.options().ttl(SECOND);
    let ours = site.builder().lease_options(options.clone()).connect().await.unwrap();
    let theirs = corner.site.builder().lease_options(options).connect().await.unwrap();
    let guard = ours.lock("k").acquire().await.unwrap();
    assert!(theirs.lock("k").try_acquire().await.unwrap().is_none());
    // Renewed meanwhile.
    sleep(2 * SECOND).await;
    guard.verify().await.unwrap();
    guard.release().await.unwrap();
    let held = theirs.lock("k").acquire().await.unwrap();
    let next = held.fence().map(|fence| fence + 1);
    let waiting = tokio::spawn(async move {
        let guard = ours.lock("k").acquire().await.unwrap();
        let fence = guard.fence();
        guard.release().await.unwrap();
        ours.close().await;
        fence
    });
    sleep(SECOND / 5).await;
    held.release().await.unwrap();
    assert_eq!(waiting.await.unwrap(), next);
}

pub(crate) async fn settings_of_a_role_change_nothing(site: Site) {
    for isolation in ["repeatable read", "serializable"] {
        let mut corner = Corner::new(&site).await;
        let isolation = format!("default_transaction_isolation = '{isolation}'");
        let role = corner
            .role(&[
                &isolation,
                "default_transaction_read_only = on",
                "default_transaction_deferrable = on",
                "statement_timeout = 1",
                "standard_conforming_strings = off",
                "DateStyle = 'German'",
                "IntervalStyle = 'sql_standard'",
                "TimeZone = 'Asia/Kathmandu'",
                "extra_float_digits = -15",
            ])
            .await;
        corner.run(RIGHTS).await;
        works(&corner, &role).await;
        corner.drop().await;
    }
}

/// A trigger writes down what is in force where a lease is written.
pub(crate) async fn commits_are_not_left_for_later(site: Site) {
    for (setting, in_force) in
        [("off", "on"), ("local", "on"), ("on", "on"), ("remote_apply", "remote_apply")]
    {
        let mut corner = Corner::new(&site).await;
        let commit = format!("synchronous_commit = {setting}");
        let role = corner.role(&[&commit]).await;
        let ddl = dlock::LeaseOptions::new().table(corner.table()).ddl("postgres").unwrap();
        corner.run(&ddl).await;
        corner
            .run(
                "GRANT USAGE ON SCHEMA {schema} TO PUBLIC; \
                 GRANT SELECT, INSERT, UPDATE ON {table} TO PUBLIC; \
                 CREATE TABLE {schema}.seen(what text); GRANT ALL ON {schema}.seen TO PUBLIC; \
                 CREATE FUNCTION {schema}.see() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN \
                 INSERT INTO {schema}.seen VALUES (current_setting('synchronous_commit')); \
                 RETURN NEW; END$$; \
                 CREATE TRIGGER see BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW \
                 EXECUTE FUNCTION {schema}.see()",
            )
            .await;
        works(&corner, &role).await;
        let seen = "SELECT string_agg(DISTINCT what, ',' ORDER BY what) FROM {schema}.seen";
        let seen = corner.text(seen).await;
        // The other one is the server's default.
        let expected = if in_force == "on" { "on" } else { "on,remote_apply" };
        assert_eq!(seen, expected, "{setting}");
        corner.drop().await;
    }
}

pub(crate) async fn functions_of_the_search_path_are_not_called(site: Site) {
    let mut corner = Corner::new(&site).await;
    let path = format!("search_path = {}, pg_catalog", corner.schema);
    let role = corner.role(&[&path]).await;
    corner
        .run(
            "CREATE FUNCTION {schema}.clock_timestamp() RETURNS timestamptz LANGUAGE sql \
             AS 'SELECT ''2000-01-01''::timestamptz'; \
             CREATE FUNCTION {schema}.lies(timestamptz, timestamptz) RETURNS boolean \
             LANGUAGE sql AS 'SELECT true'; \
             CREATE OPERATOR {schema}.<= (LEFTARG = timestamptz, RIGHTARG = timestamptz, \
             FUNCTION = {schema}.lies); \
             CREATE FUNCTION {schema}.same(text, text) RETURNS boolean LANGUAGE sql \
             AS 'SELECT true'; CREATE OPERATOR {schema}.= (LEFTARG = text, RIGHTARG = text, \
             FUNCTION = {schema}.same)",
        )
        .await;
    corner.run(RIGHTS).await;
    works(&corner, &role).await;
    corner.drop().await;
}

/// The server has ended it while nobody asked for anything.
pub(crate) async fn idle_connection_that_was_ended_is_replaced(site: Site) {
    let mut corner = Corner::new(&site).await;
    let role = corner.role(&["idle_session_timeout = '200ms'"]).await;
    corner.run(RIGHTS).await;
    let locker = role.builder().lease_options(corner.options()).connect().await.unwrap();
    let mut last = None;
    for _ in 0..3 {
        sleep(SECOND / 2).await;
        let guard = locker.lock("k").try_acquire().await.unwrap().unwrap();
        assert!(last.is_none_or(|last| guard.fence() == Some(last + 1)));
        last = guard.fence();
        sleep(SECOND / 2).await;
        guard.release().await.unwrap();
    }
    locker.close().await;
    corner.drop().await;
}

pub(crate) async fn rights_that_are_missing_are_named(site: Site) {
    let mut corner = Corner::new(&site).await;
    let role = corner.role(&[]).await;
    let options = corner.options();
    let connect = async || role.builder().lease_options(options.clone()).connect().await;
    let Err(Error::Permission { remedy, .. }) = connect().await else { panic!("no right at all") };
    assert!(remedy.contains("GRANT USAGE ON SCHEMA"), "{remedy}");

    corner.run("GRANT USAGE ON SCHEMA {schema} TO {schema}_role").await;
    let error = connect().await.unwrap_err();
    assert_eq!(error.to_string().lines().count(), 1, "{error}");
    assert!(error.to_string().contains(&corner.schema), "{error}");
    let Error::Permission { ddl: Some(ddl), .. } = &error else { panic!("{error:?}") };
    // What it says, done by the owner, is enough.
    let all = format!("{error:#}");
    assert!(ddl.contains("CREATE TABLE") && all.ends_with(&**ddl), "{all}");
    corner.run(ddl).await;
    let locker = connect().await.unwrap();
    let guard = locker.lock("k").acquire().await.unwrap();

    // Rights that go while it is held.
    corner.run("REVOKE UPDATE ON {table} FROM {schema}_role").await;
    let refused = locker.lock("other").try_acquire().await.unwrap_err();
    let Error::Permission { remedy, .. } = &refused else { panic!("{refused}") };
    assert!(remedy.contains("GRANT SELECT, INSERT, UPDATE ON"), "{remedy}");
    is_about(&refused, "other");
    corner.run("GRANT UPDATE ON {table} TO {schema}_role").await;
    guard.verify().await.unwrap();

    // Nothing but this needs another one.
    let Err(Error::Permission { remedy, .. }) = locker.prune(SECOND).await else {
        panic!("no right to delete")
    };
    assert!(remedy.contains("GRANT DELETE ON"), "{remedy}");
    guard.verify().await.unwrap();
    guard.release().await.unwrap();
    locker.close().await;
    corner.drop().await;
}
