//! What the server sees, without our own looking.

use sqlx::{AssertSqlSafe, Connection as _, MySqlConnection, PgConnection, Row as _};

pub enum Server {
    /// Connected to another database than the one that is looked at. It may count statements.
    Postgres { conn: PgConnection, database: String, counts: bool },
    /// And how often it was asked.
    MySql(MySqlConnection, i64),
    /// Nobody counts there.
    Other,
}

impl Server {
    pub async fn at(url: &str) -> Self {
        if url.starts_with("postgres") {
            let (server, database) = url.rsplit_once('/').unwrap();
            let mut conn = PgConnection::connect(&format!("{server}/postgres")).await.unwrap();
            let preloaded = "SELECT current_setting('shared_preload_libraries')<>''";
            let counts = sqlx::query(preloaded).fetch_one(&mut conn).await.unwrap().get(0);
            if counts {
                let extension = "CREATE EXTENSION IF NOT EXISTS pg_stat_statements";
                sqlx::raw_sql(extension).execute(&mut conn).await.unwrap();
            }
            Server::Postgres { conn, database: database.to_owned(), counts }
        } else if url.starts_with("mysql") {
            Server::MySql(MySqlConnection::connect(url).await.unwrap(), 0)
        } else {
            Server::Other
        }
    }

    pub async fn connections(&mut self) -> i64 {
        match self {
            Server::Postgres { .. } => self.count("pg_stat_activity WHERE").await,
            _ => self.status("Threads_connected").await - 1,
        }
    }

    /// Those that a server has begun; on PostgreSQL only one that has been told to count them knows.
    pub async fn statements(&mut self) -> i64 {
        match self {
            Server::Postgres { counts: false, .. } => i64::MIN,
            Server::Postgres { conn, database, .. } => {
                let sql = format!(
                    "SELECT coalesce(sum(calls),0)::int8 FROM pg_stat_statements s JOIN pg_database d \
                     ON d.oid=s.dbid WHERE d.datname='{database}'"
                );
                sqlx::query(AssertSqlSafe(sql)).fetch_one(conn).await.unwrap().get(0)
            }
            Server::MySql(_, asked) => {
                let ours = *asked + 1;
                self.status("Questions").await - ours
            }
            Server::Other => 0,
        }
    }

    /// Sessions that keep vacuum from what has been deleted since they began to wait.
    pub async fn pinned(&mut self) -> i64 {
        match self {
            Server::Postgres { .. } => {
                self.count("pg_stat_activity WHERE backend_xmin IS NOT NULL AND").await
            }
            _ => 0,
        }
    }

    async fn count(&mut self, of: &str) -> i64 {
        let Server::Postgres { conn, database, .. } = self else { return 0 };
        let sql = format!("SELECT count(*) FROM {of} datname='{database}'");
        sqlx::query(AssertSqlSafe(sql)).fetch_one(conn).await.unwrap().get(0)
    }

    async fn status(&mut self, name: &str) -> i64 {
        let Server::MySql(conn, asked) = self else { return 1 };
        *asked += 1;
        let sql = AssertSqlSafe(format!("SHOW GLOBAL STATUS LIKE '{name}'"));
        let row = sqlx::raw_sql(sql).fetch_one(conn).await.unwrap();
        row.get::<String, _>(1).parse().unwrap()
    }
}
