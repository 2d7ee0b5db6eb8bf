//! A database of a test's own, on a server of MySQL, MariaDB or SQL Server.

use std::thread;

use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Connection as _};
use tokio::runtime::Builder;

use crate::double::{connect, is_sql_server};

/// Made for one test, dropped with it. Locks are the server's all the same.
#[derive(Debug)]
pub(crate) struct Database {
    server: String,
    url: String,
    name: String,
}

impl Database {
    /// Makes it on the server of that URL, unless it is there.
    pub(crate) fn new(server: &str, name: &str) -> Self {
        let (base, options) = server.split_once('?').unwrap_or((server, ""));
        let (base, _) = base.rsplit_once('/').unwrap();
        let options = if options.is_empty() { String::new() } else { format!("?{options}") };
        let url = format!("{base}/{name}{options}");
        let sql = match is_sql_server(server) {
            true => format!("IF DB_ID('{name}') IS NULL CREATE DATABASE [{name}]"),
            false => format!("CREATE DATABASE IF NOT EXISTS `{name}`"),
        };
        run(server, sql).unwrap();
        Database { server: server.to_owned(), url, name: name.to_owned() }
    }

    /// Where it is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The database that a URL names, if it is one of MySQL or MariaDB.
    pub(crate) fn name_in(url: &str) -> Option<&str> {
        let rest = url.strip_prefix("lease+").unwrap_or(url);
        let rest = rest.strip_prefix("mysql://").or_else(|| rest.strip_prefix("mariadb://"))?;
        let (_, name) = rest.split_once('/')?;
        Some(name.split_once('?').map_or(name, |(name, _)| name))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // The server may be gone, and the test may have failed already.
        let name = &self.name;
        let sql = match is_sql_server(&self.server) {
            true => format!("DROP DATABASE IF EXISTS [{name}]"),
            false => format!("DROP DATABASE IF EXISTS `{name}`"),
        };
        let _ = run(&self.server, sql);
    }
}

/// Runs a statement, from wherever this is.
fn run(url: &str, sql: String) -> Result<(), sqlx::Error> {
    let url = url.strip_prefix("lease+").unwrap_or(url).to_owned();
    let task = async move {
        if is_sql_server(&url) {
            let mut client = connect(&url, "a test's database").await;
            let done = client.simple_query(sql).await.map_err(sqlx::Error::decode)?;
            done.into_results().await.map_err(sqlx::Error::decode)?;
            return Ok(());
        }
        let mut connection = MySqlConnection::connect(&url).await?;
        // A table in use is not worth the wait.
        sqlx::raw_sql("SET SESSION lock_wait_timeout = 3").execute(&mut connection).await?;
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
        Ok(())
    };
    let thread = thread::spawn(|| {
        Builder::new_current_thread().enable_all().build().map_err(sqlx::Error::Io)?.block_on(task)
    });
    thread.join().unwrap_or(Err(sqlx::Error::WorkerCrashed))
}
