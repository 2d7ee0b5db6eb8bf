//! What tests for every database say in another way to PostgreSQL.

use dlock_tests::{Backend, Site, Witness};

/// Frees all locks of the session, by hand.
pub(crate) const LET_GO: &str = "SELECT pg_advisory_unlock_all()";
/// Fails after a while.
pub(crate) const FAILS_LATE: &str = "SELECT 1 / CASE WHEN pg_sleep(0.1) IS NULL THEN 1 ELSE 0 END";
/// The session's settings: name, value, and where it comes from.
pub(crate) const SETTINGS: &str = "SELECT name, setting, source FROM pg_settings ORDER BY name";
/// Settings that change by themselves.
pub(crate) const RESTLESS: &[&str] = &[];
/// What the application may have set.
pub(crate) const SETTINGS_OF_THE_CALLER: &str = "SET lock_timeout = '7s'; \
    SET statement_timeout = '9s'; SET search_path = pg_temp, public; \
    SET default_transaction_isolation = 'repeatable read'; SET deadlock_timeout = '900ms'; \
    SET client_connection_check_interval = '3s'; SET idle_in_transaction_session_timeout = '77s'";

/// No statement may take longer than 200 ms.
pub(crate) fn limit(_: Option<Backend>) -> &'static str {
    "SET statement_timeout = '200ms'; SET lock_timeout = '150ms'"
}

/// Stops whatever the site's waiting sessions do.
pub(crate) async fn stop(witness: &mut Witness, site: &Site) {
    let sql = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity \
        WHERE application_name = $1 AND wait_event = 'advisory'";
    assert_eq!(witness.number(sql, site).await, 1);
}
