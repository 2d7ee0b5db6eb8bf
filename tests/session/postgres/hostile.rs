//! Settings of a role, a database or a server that are meant for other things than locks.

use std::time::{Duration, Instant};

use dlock::{Error, Key, Locker};
use dlock_tests::{Server, Site, Witness};

/// A role with these settings, and a site of that role's.
async fn role(site: &Site, witness: &mut Witness, settings: &[&str]) -> Site {
    let role = site.name.replace('-', "_");
    witness.run(&format!("CREATE ROLE {role} LOGIN")).await;
    for setting in settings {
        witness.run(&format!("ALTER ROLE {role} SET {setting}")).await;
    }
    let (_, rest) = site.url.rsplit_once('@').unwrap();
    site.through(&format!("postgres://{role}@{rest}"))
}

async fn drop_role(site: &Site, witness: &mut Witness) {
    let role = site.name.replace('-', "_");
    witness.run(&format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role}")).await;
}

pub(crate) async fn statement_timeout_of_the_role_does_not_end_a_wait(site: Site) {
    let mut witness = Witness::at(&site.url).await;
    let settings = [
        "statement_timeout = '250ms'",
        "lock_timeout = '200ms'",
        "idle_in_transaction_session_timeout = '150ms'",
        "idle_session_timeout = '500ms'",
    ];
    let hurried = role(&site, &mut witness, &settings).await;
    let theirs = site.locker().await;
    let ours = hurried.locker().await;
    let held = theirs.lock("k").acquire().await.unwrap();
    let start = Instant::now();
    let error = ours.lock("k").timeout(Duration::from_secs(2)).acquire().await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    assert!(start.elapsed() >= Duration::from_secs(2));
    // A wait that is granted, and a hold that outlasts all these times.
    let waiting = tokio::spawn(async move {
        let guard = ours.lock("k").acquire().await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        guard.verify().await.unwrap();
        guard.release().await.unwrap();
        ours.close().await;
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    held.release().await.unwrap();
    waiting.await.unwrap();
    drop_role(&site, &mut witness).await;
}

/// Functions and operators of an application's schema that look like those of the server.
pub(crate) async fn functions_of_the_search_path_are_not_called(site: Site) {
    let evil = format!("{}_evil", site.name.replace('-', "_"));
    let mut witness = Witness::at(&site.url).await;
    let path = format!("search_path = {evil}, pg_catalog");
    let lured = role(&site, &mut witness, &[&path]).await;
    let role = site.name.replace('-', "_");
    witness.run(&format!("CREATE SCHEMA {evil}; GRANT ALL ON SCHEMA {evil} TO {role};")).await;
    let function = |name: &str, args: &str, result: &str, value: &str| {
        format!(
            "CREATE FUNCTION {evil}.{name}({args}) RETURNS {result} LANGUAGE plpgsql SECURITY DEFINER \
             AS $$ BEGIN INSERT INTO {evil}.calls VALUES ('{name}'); RETURN {value}; END $$;"
        )
    };
    let evil_functions = [
        format!("CREATE TABLE {evil}.calls (name text);"),
        function("pg_try_advisory_lock", "bigint", "boolean", "true"),
        function("pg_advisory_unlock", "bigint", "boolean", "true"),
        function("pg_advisory_unlock_all", "", "boolean", "true"),
        function("pg_try_advisory_lock", "integer, integer", "boolean", "true"),
        function("pg_try_advisory_lock_shared", "integer, integer", "boolean", "true"),
        function("pg_advisory_unlock_shared", "integer, integer", "boolean", "true"),
        function("current_database", "", "name", "'evil'"),
        function("host", "inet", "text", "'evil'"),
        function("clock_timestamp", "", "timestamptz", "now()"),
        function("pg_backend_pid", "", "integer", "7"),
        function("set_config", "text, text, boolean", "text", "NULL"),
        function("current_setting", "text", "text", "NULL"),
        function("version", "", "text", "NULL"),
        function("pg_is_in_recovery", "", "boolean", "false"),
        format!(
            "CREATE FUNCTION {evil}.pg_advisory_lock(bigint) RETURNS void LANGUAGE plpgsql \
             SECURITY DEFINER AS $$ BEGIN INSERT INTO {evil}.calls VALUES ('lock'); END $$;"
        ),
        // An exact match for types that the server's own operator has to be cast to.
        format!("CREATE VIEW {evil}.pg_locks AS SELECT * FROM pg_catalog.pg_locks WHERE false;"),
        function("evil_and", "boolean, boolean", "boolean", "true"),
        function("evil_shift", "bigint, integer", "bigint", "0"),
        function("evil_or", "bigint, bigint", "bigint", "0"),
        function("evil_equals", "bigint, bigint", "boolean", "true"),
        format!(
            "CREATE OPERATOR {evil}.<< (FUNCTION = {evil}.evil_shift, LEFTARG = bigint, RIGHTARG = integer);"
        ),
        format!(
            "CREATE OPERATOR {evil}.| (FUNCTION = {evil}.evil_or, LEFTARG = bigint, RIGHTARG = bigint);"
        ),
        format!(
            "CREATE OPERATOR {evil}.= (FUNCTION = {evil}.evil_equals, LEFTARG = bigint, RIGHTARG = bigint);"
        ),
        format!("GRANT ALL ON ALL TABLES IN SCHEMA {evil} TO {role};"),
    ];
    witness.run(&evil_functions.concat()).await;

    let ours = lured.locker().await;
    let theirs = site.named("theirs").locker().await;
    let guard = ours.lock("k").acquire().await.unwrap();
    assert!(theirs.lock("k").try_acquire().await.unwrap().is_none());
    assert_eq!(witness.locks(&site).await, 1);
    guard.verify().await.unwrap();
    guard.release().await.unwrap();
    let pair = Key::pair(fastrand::i32(..), fastrand::i32(..));
    let guard = ours.lock(&pair).shared().acquire().await.unwrap();
    guard.verify().await.unwrap();
    assert!(theirs.lock(&pair).try_acquire().await.unwrap().is_none());
    let status = ours.status().await.unwrap();
    assert!(status.iter().any(|status| status.native == ours.explain(&pair).native));
    assert!(ours.check().await.unwrap().is_ok());
    guard.release().await.unwrap();
    let held = theirs.lock("k").acquire().await.unwrap();
    let waiting = ours.lock("k").timeout(Duration::from_millis(300));
    assert!(waiting.acquire().await.unwrap_err().is_timeout());
    let waiting = tokio::spawn(async move { ours.lock("k").acquire().await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    held.release().await.unwrap();
    let guard = waiting.await.unwrap().unwrap();
    assert!(theirs.lock("k").try_acquire().await.unwrap().is_none());
    drop(guard);
    drop(theirs.lock("k").acquire().await.unwrap());
    let calls = format!("SELECT count(*) FROM {evil}.calls WHERE $1::text IS NOT NULL");
    assert_eq!(witness.number(&calls, &site).await, 0);
    witness.run(&format!("DROP SCHEMA {evil} CASCADE")).await;
}

/// What the sessions were set to, as the server has logged it: whatever frees the lock of a silent
/// holder comes no earlier than its word ends.
pub(crate) async fn limits_of_the_session_are_never_below_the_ttl(site: Site) {
    let Some(server) = Server::like(&site, &["log_statement=all"]) else { return };
    for ttl in [1000, 1001, 2500, 30_000, 86_400_000] {
        let site = Site::at(server.url()).ttl(Duration::from_millis(ttl));
        let locker = site.locker().await;
        drop(locker.lock("k").acquire().await.unwrap());
        locker.close().await;
        let log = server.log();
        let settings = settings_of(&site.name, &log);
        let number = |name: &str| -> u64 {
            let found = settings.iter().find(|(n, _)| n == name);
            found.unwrap_or_else(|| panic!("{name} is not set")).1.parse().unwrap()
        };
        assert!(
            number("idle_session_timeout") >= ttl && number("idle_session_timeout") < ttl + 1000
        );
        assert!(number("tcp_user_timeout") >= ttl);
        let interval = number("tcp_keepalives_interval");
        let keepalives = number("tcp_keepalives_idle") + interval * number("tcp_keepalives_count");
        assert!(
            keepalives * 1000 >= ttl,
            "keep-alives end after {keepalives} s, the ttl is {ttl} ms"
        );
        // And not the kernel's two hours.
        assert!(keepalives * 1000 <= 2 * ttl + 5000);
        assert_eq!(number("statement_timeout"), 0);
        assert_eq!(number("idle_in_transaction_session_timeout"), 0);
    }
}

/// Names and values of the arrays in the log's parameter lines of that application's.
fn settings_of(name: &str, log: &str) -> Vec<(String, String)> {
    let lines = log.lines().filter(|line| line.contains(name) && line.contains("DETAIL:"));
    let detail = lines.into_iter().find(|line| line.contains("tcp_user_timeout"));
    let detail = detail.unwrap_or_else(|| panic!("no settings of {name} in the log:\n{log}"));
    let array = |from: &str| -> Vec<String> {
        let (_, rest) = detail.split_once(&format!("{from} = '{{")).unwrap();
        let (list, _) = rest.split_once("}'").unwrap();
        // A value with a comma in it is quoted.
        let mut quoted = false;
        let ends = |c: char| {
            quoted ^= c == '"';
            c == ',' && !quoted
        };
        list.split(ends).map(|value| value.trim_matches('"').to_owned()).collect()
    };
    array("$1").into_iter().zip(array("$2")).collect()
}

pub(crate) async fn unknown_role_and_database_are_refused(site: Site) {
    let (_, rest) = site.url.rsplit_once('@').unwrap();
    let error = Locker::connect(&format!("postgres://nobody_of_that_name:s3cr3t@{rest}")).await;
    let error = error.unwrap_err();
    assert!(matches!(error, Error::Permission { .. }), "{error:?}");
    assert!(!format!("{error:?} {error}").contains("s3cr3t"));
    let (server, _) = site.url.rsplit_once('/').unwrap();
    let error = Locker::connect(&format!("{server}/no_such_database")).await.unwrap_err();
    assert!(matches!(error, Error::Config { .. }), "{error:?}");
}
