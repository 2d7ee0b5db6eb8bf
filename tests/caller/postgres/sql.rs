//! What tests for every database say in another way to PostgreSQL.

use dlock::locked;
use dlock_tests::{Backend, Site, Witness};
use sqlx::{AssertSqlSafe, Executor as _, PgConnection, raw_sql};

use crate::db::Application;

impl Application for PgConnection {
    const LET_GO: &str = "SELECT pg_advisory_unlock_all()";
    const FAILS_LATE: &str = "SELECT 1 / CASE WHEN pg_sleep(0.1) IS NULL THEN 1 ELSE 0 END";
    const SETTINGS: &str = "SELECT name, setting, source FROM pg_settings ORDER BY name";
    const RESTLESS: &[&str] = &[];
    const SETTINGS_OF_THE_CALLER: &str = "SET lock_timeout = '7s'; \
        SET statement_timeout = '9s'; SET search_path = pg_temp, public; \
        SET default_transaction_isolation = 'repeatable read'; SET deadlock_timeout = '900ms'; \
        SET client_connection_check_interval = '3s'; SET idle_in_transaction_session_timeout = '77s'";

    fn limit(_: Option<Backend>) -> &'static str {
        "SET statement_timeout = '200ms'; SET lock_timeout = '150ms'"
    }

    async fn stop(witness: &mut Witness, site: &Site) {
        let sql = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity \
            WHERE application_name = $1 AND wait_event = 'advisory'";
        assert_eq!(witness.number(sql, site).await, 1);
    }

    async fn job(&mut self, key: &str, sql: &str) -> sqlx::Result<()> {
        job(self, key, sql).await
    }
}

#[locked(key = "<key>", on = conn)]
async fn job(conn: &mut PgConnection, key: &str, sql: &str) -> sqlx::Result<()> {
    conn.execute(raw_sql(AssertSqlSafe(sql.to_owned()))).await.map(drop)
}
