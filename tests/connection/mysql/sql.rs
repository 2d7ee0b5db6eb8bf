//! What tests for every database say in another way to MySQL and MariaDB.

use dlock_tests::{Backend, Site, Witness};

/// Frees all locks of the session, by hand.
pub(crate) const LET_GO: &str = "DO RELEASE_ALL_LOCKS()";
/// Fails after a while.
pub(crate) const FAILS_LATE: &str = "SELECT EXP(1000 + SLEEP(0.1))";
/// The session's settings: name and value.
pub(crate) const SETTINGS: &str = "SHOW SESSION VARIABLES";
/// Settings that change by themselves.
pub(crate) const RESTLESS: &[&str] =
    &["timestamp", "rand_seed1", "rand_seed2", "error_count", "warning_count", "statement_id"];
/// What the application may have set.
pub(crate) const SETTINGS_OF_THE_CALLER: &str = "SET SESSION lock_wait_timeout = 7; \
    SET SESSION innodb_lock_wait_timeout = 9; SET SESSION wait_timeout = 1234; \
    SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; SET SESSION autocommit = 1";

/// No statement may take longer than 200 ms.
pub(crate) fn limit(backend: Option<Backend>) -> &'static str {
    match backend.is_some_and(|backend| backend.is_mariadb()) {
        true => "SET SESSION max_statement_time = 0.2; SET SESSION lock_wait_timeout = 1",
        false => "SET SESSION max_execution_time = 200; SET SESSION lock_wait_timeout = 1",
    }
}

/// Stops whatever the site's waiting session does.
pub(crate) async fn stop(witness: &mut Witness, site: &Site) {
    let id = "SELECT CAST(MAX(id) AS SIGNED) FROM information_schema.processlist \
        WHERE state = 'User lock' AND db = ?";
    let id = witness.number(id, site).await;
    witness.run(&format!("KILL QUERY {id}")).await;
}
