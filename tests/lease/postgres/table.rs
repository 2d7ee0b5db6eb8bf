//! The table: who makes it, and what it must be like.

use std::time::Duration;

use dlock::{Error, KeyScheme, LeaseOptions, Locker, LostReason};
use dlock_tests::Site;
use tokio::task::JoinSet;

use super::corner::Corner;

pub(crate) async fn is_made_by_many_at_once(site: Site) {
    for _ in 0..3 {
        let corner = Corner::new(&site).await;
        let mut connects = JoinSet::new();
        for _ in 0..16 {
            let builder = corner.builder();
            connects.spawn(async move {
                let locker = builder.connect().await.unwrap();
                locker.lock("k").acquire().await.unwrap().release().await.unwrap();
                locker.close().await;
            });
        }
        connects.join_all().await;
        corner.drop().await;
    }
}

pub(crate) async fn is_made_by_hand_from_the_ddl(site: Site) {
    let mut corner = Corner::new(&site).await;
    corner.run("SET search_path = {schema}").await;
    let ddl = dlock::lease::ddl("postgres").unwrap();
    corner.run(&ddl).await;
    // Again does no harm.
    corner.run(&ddl).await;
    let locker = corner.locker().await;
    drop(locker.lock("k").acquire().await.unwrap());
    assert_eq!(corner.text("SELECT CAST(count(*) AS text) FROM dlock_leases").await, "1");
    let options = LeaseOptions::new().table(format!("{}.others", corner.schema));
    for url in ["lease+postgres://h/db", "postgresql"] {
        corner.run(&options.ddl(url).unwrap()).await;
    }
    assert_eq!(corner.text("SELECT CAST(count(*) AS text) FROM others").await, "0");
    corner.drop().await;
}

pub(crate) async fn is_in_the_schema_that_is_current_at_connect(site: Site) {
    let mut corner = Corner::new(&site).await;
    let path = format!("search_path = nowhere, {}, public", corner.schema);
    let role = corner.role(&[&path]).await;
    corner.run("GRANT USAGE, CREATE ON SCHEMA {schema} TO PUBLIC").await;
    let locker = role.locker().await;
    let guard = locker.lock("k").acquire().await.unwrap();
    assert_eq!(corner.text("SELECT CAST(count(*) AS text) FROM {table}").await, "1");
    // It stays there when its connection is replaced.
    corner.run("ALTER ROLE {schema}_role SET search_path = public").await;
    corner
        .run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE usename = '{schema}_role'",
        )
        .await;
    guard.verify().await.unwrap();
    guard.release().await.unwrap();
    locker.close().await;

    corner.run("ALTER ROLE {schema}_role SET search_path = nowhere").await;
    let refused = role.builder().connect().await.unwrap_err();
    assert!(matches!(refused, Error::Config { .. }), "{refused}");
    assert!(refused.to_string().contains("LeaseOptions::table"), "{refused}");
    let table = LeaseOptions::new().table("nowhere.leases");
    let refused = site.builder().lease_options(table).connect().await.unwrap_err();
    assert!(!refused.is_retryable(), "{refused:?}");
    corner.drop().await;
}

pub(crate) async fn is_made_again_when_it_was_dropped(site: Site) {
    let mut corner = Corner::new(&site).await;
    let locker = corner.locker().await;
    let held = locker.lock("held").acquire().await.unwrap();
    corner.run("DROP TABLE {table}").await;
    let other = locker.lock("other").acquire().await.unwrap();
    // Its row went with the table.
    let lost = held.lost().await;
    assert_eq!(lost.reason, LostReason::NotHeld);
    other.release().await.unwrap();
    corner.drop().await;
}

pub(crate) async fn of_another_kind_is_refused(site: Site) {
    for columns in [
        "name text PRIMARY KEY",
        "name int PRIMARY KEY, owner text, fence bigint, acquired_at timestamptz, \
         expires_at timestamptz",
        "name text, owner text, fence bigint, acquired_at timestamptz, expires_at timestamptz",
        "name text PRIMARY KEY, owner text, fence text, acquired_at timestamptz, \
         expires_at timestamptz",
    ] {
        let mut corner = Corner::new(&site).await;
        corner.run(&format!("CREATE TABLE {{table}}({columns})")).await;
        let refused = corner.builder().connect().await.unwrap_err();
        assert!(matches!(refused, Error::Config { .. }), "{columns}: {refused:?}");
        assert!(refused.to_string().contains("is not one of dlock's"), "{refused}");
        corner.drop().await;
    }
}

pub(crate) async fn of_django_is_never_made(site: Site) {
    let corner = Corner::new(&site).await;
    let options = LeaseOptions::new().table(format!("{}.database_locks_lock", corner.schema));
    let scheme = KeyScheme::DjangoDatabaseLocks;
    let connect = Locker::builder(&site.url).key_scheme(scheme).lease_options(options).connect();
    let refused = connect.await.unwrap_err();
    assert!(matches!(refused, Error::Config { .. }), "{refused:?}");
    assert!(refused.to_string().contains("migrations"), "{refused}");
    corner.drop().await;
}

/// What the database has no character for fails alone, and keys never are such.
pub(crate) async fn in_latin1_has_room_for_every_key(site: Site) {
    let mut corner = Corner::new(&site).await;
    let name = format!("latin-{}", corner.schema);
    corner
        .run(&format!(
            "CREATE DATABASE \"{name}\" ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' \
             TEMPLATE template0"
        ))
        .await;
    let (server, _) = site.url.rsplit_once('/').unwrap();
    let url = format!("{server}/{name}");
    let locker = site.through(&url).locker().await;
    for _ in 0..3 {
        let mut crowd = JoinSet::new();
        for n in 0..50 {
            let lock = locker.lock(format!("🔒 {n}")).timeout(Duration::from_secs(20));
            crowd.spawn(async move { lock.acquire().await.unwrap().release().await.unwrap() });
        }
        let owned = locker.lock("k").owner("🔒").acquire().await.unwrap_err();
        assert!(matches!(owned, Error::Backend { .. }), "{owned}");
        crowd.join_all().await;
    }
    // It is known by the key that it was taken by.
    let held = locker.lock("é🔒").acquire().await.unwrap();
    let status = locker.status().await.unwrap();
    assert!(status.iter().any(|status| status.key == *held.key()), "{status:?}");
    held.release().await.unwrap();
    locker.close().await;
    corner.run(&format!("DROP DATABASE \"{name}\" WITH (FORCE)")).await;
    corner.drop().await;
}
