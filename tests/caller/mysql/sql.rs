//! What tests for every database say in another way to MySQL and MariaDB.

#![allow(deprecated, reason = "what it warns of is what is tested")]

use dlock::locked;
use dlock_tests::{Backend, Site, Witness};
use sqlx::{AssertSqlSafe, Executor as _, MySqlConnection, raw_sql};

use crate::db::Application;

impl Application for MySqlConnection {
    const LET_GO: &str = "DO RELEASE_ALL_LOCKS()";
    const FAILS_LATE: &str = "SELECT EXP(1000 + SLEEP(0.1))";
    const SETTINGS: &str = "SHOW SESSION VARIABLES";
    const RESTLESS: &[&str] =
        &["timestamp", "rand_seed1", "rand_seed2", "error_count", "warning_count", "statement_id"];
    const SETTINGS_OF_THE_CALLER: &str = "SET SESSION lock_wait_timeout = 7; \
        SET SESSION innodb_lock_wait_timeout = 9; SET SESSION wait_timeout = 1234; \
        SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; SET SESSION autocommit = 1";

    fn limit(backend: Option<Backend>) -> &'static str {
        match backend.is_some_and(|backend| backend.is_mariadb()) {
            true => "SET SESSION max_statement_time = 0.2; SET SESSION lock_wait_timeout = 1",
            false => "SET SESSION max_execution_time = 200; SET SESSION lock_wait_timeout = 1",
        }
    }

    async fn stop(witness: &mut Witness, site: &Site) {
        let id = "SELECT CAST(MAX(id) AS SIGNED) FROM information_schema.processlist \
            WHERE state = 'User lock' AND db = ?";
        let id = witness.number(id, site).await;
        witness.run(&format!("KILL QUERY {id}")).await;
    }

    async fn job(&mut self, key: &str, sql: &str) -> sqlx::Result<()> {
        job(self, key, sql).await
    }
}

#[locked(key = "<key>", on = conn)]
async fn job(conn: &mut MySqlConnection, key: &str, sql: &str) -> sqlx::Result<()> {
    conn.execute(raw_sql(AssertSqlSafe(sql.to_owned()))).await.map(drop)
}
