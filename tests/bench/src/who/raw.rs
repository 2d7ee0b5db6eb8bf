//! The limit: the driver's own two round trips for a pair, on one connection, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, MySqlConnection, PgConnection, SqliteConnection};
use tokio::sync::Mutex;

use crate::args::Args;
use crate::locks::Locks;

#[derive(Clone)]
pub struct Raw(Arc<Mutex<Driver>>);

enum Driver {
    Postgres(PgConnection),
    MySql(MySqlConnection),
    Sqlite(Box<SqliteConnection>),
}

const NOW: &str = "CAST((julianday('now')-2440587.5)*86400000 AS INTEGER)";

impl Raw {}

impl Locks for Raw {
    type Held = String;

    async fn connect(args: &Args) -> Self {
        let url = &args.url;
        let driver = if url.starts_with("postgres") {
            Driver::Postgres(PgConnection::connect(url).await.unwrap())
        } else if url.starts_with("sqlite") {
            // That is a word of ours.
            let url = url.replace("&synchronous=normal", "");
            // That is a word of ours.
            let url = url.replace("?synchronous=normal", "");
            let options: sqlx::sqlite::SqliteConnectOptions = url.parse().unwrap();
            let options = options
                .create_if_missing(true)
                .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal)
                .synchronous(sqlx::sqlite::SqliteSynchronous::Normal);
            let mut conn = SqliteConnection::connect_with(&options).await.unwrap();
            let table = "CREATE TABLE IF NOT EXISTS raw (name TEXT PRIMARY KEY, owner TEXT, fence INTEGER, until INTEGER)";
            sqlx::raw_sql(table).execute(&mut conn).await.unwrap();
            Driver::Sqlite(Box::new(conn))
        } else {
            Driver::MySql(MySqlConnection::connect(url).await.unwrap())
        };
        Raw(Arc::new(Mutex::new(driver)))
    }

    async fn acquire(&self, key: &str, _: Option<Duration>) -> Option<String> {
        match &mut *self.0.lock().await {
            Driver::Postgres(conn) => {
                let sql = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))";
                sqlx::query(sql).bind(key).fetch_one(conn).await.unwrap();
            }
            Driver::MySql(conn) => {
                let sql = AssertSqlSafe(format!("SELECT GET_LOCK('{key}',0)"));
                sqlx::raw_sql(sql).fetch_one(conn).await.unwrap();
            }
            Driver::Sqlite(conn) => {
                let sql = format!(
                    "INSERT INTO raw VALUES (?1,'me',1,{NOW}+10000) ON CONFLICT(name) DO UPDATE SET \
                     owner='me',fence=fence+1,until=excluded.until WHERE until<={NOW} RETURNING fence"
                );
                sqlx::query(AssertSqlSafe(sql)).bind(key).fetch_one(&mut **conn).await.unwrap();
            }
        }
        Some(key.to_owned())
    }

    async fn release(&self, key: String) {
        match &mut *self.0.lock().await {
            Driver::Postgres(conn) => {
                let sql = "SELECT pg_advisory_unlock(hashtextextended($1, 0))";
                sqlx::query(sql).bind(key).fetch_one(conn).await.unwrap();
            }
            Driver::MySql(conn) => {
                let sql = AssertSqlSafe(format!("SELECT RELEASE_LOCK('{key}')"));
                sqlx::raw_sql(sql).fetch_one(conn).await.unwrap();
            }
            Driver::Sqlite(conn) => {
                let sql = "UPDATE raw SET until=0 WHERE name=?1 AND owner='me'";
                sqlx::query(sql).bind(key).execute(&mut **conn).await.unwrap();
            }
        }
    }
}
