//! What is held, as somebody sees it who looks into the database and not at dlock.

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row as _};

use crate::site::Site;

/// A connection of the test's own to a PostgreSQL server.
#[derive(Debug)]
pub struct Witness(PgConnection);

impl Witness {
    /// Connects.
    pub async fn at(url: &str) -> Self {
        let options = url.parse::<sqlx::postgres::PgConnectOptions>().unwrap();
        let options = options.application_name("witness");
        Witness(PgConnection::connect_with(&options).await.unwrap())
    }

    /// Runs statements.
    pub async fn run(&mut self, sql: &str) {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut self.0).await.unwrap();
    }

    /// The one number that a statement with the site's name as `$1` returns.
    pub async fn number(&mut self, sql: &str, site: &Site) -> i64 {
        let query = sqlx::query(sqlx::AssertSqlSafe(sql.to_owned())).bind(&site.name);
        query.fetch_one(&mut self.0).await.unwrap().get(0)
    }

    /// How many advisory locks the site's lockers hold.
    pub async fn locks(&mut self, site: &Site) -> i64 {
        let sql = "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) \
            WHERE l.locktype = 'advisory' AND l.granted AND a.application_name = $1";
        self.number(sql, site).await
    }

    /// How many advisory locks the site's lockers wait for.
    pub async fn waits(&mut self, site: &Site) -> i64 {
        let sql = "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) \
            WHERE l.locktype = 'advisory' AND NOT l.granted AND a.application_name = $1";
        self.number(sql, site).await
    }

    /// How many sessions the site's lockers have.
    pub async fn sessions(&mut self, site: &Site) -> i64 {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1";
        self.number(sql, site).await
    }

    /// Ends the sessions of the site's lockers; how many there were.
    pub async fn terminate(&mut self, site: &Site) -> i64 {
        let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
            WHERE application_name = $1";
        self.number(sql, site).await
    }

    /// Ends the sessions that hold something, of any locker whose name begins with the site's.
    pub async fn terminate_a_holder(&mut self, site: &Site) -> i64 {
        let sql = "SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_locks l \
            JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' AND l.granted \
            AND starts_with(a.application_name, $1) ORDER BY random() LIMIT 1) t";
        self.number(sql, site).await
    }
}
