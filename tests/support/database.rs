//! A database of a test's own, on a MySQL or MariaDB server.

use std::thread;

use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Connection as _};
use tokio::runtime::Builder;

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
        run(server, format!("CREATE DATABASE IF NOT EXISTS `{name}`")).unwrap();
        Database { server: server.to_owned(), url, name: name.to_owned() }
    }

    /// Where it is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The database that a URL names, if it is one of such a server.
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
        let _ = run(&self.server, format!("DROP DATABASE IF EXISTS `{}`", self.name));
    }
}

/// Runs a statement, from wherever this is.
fn run(url: &str, sql: String) -> Result<(), sqlx::Error> {
    let url = url.strip_prefix("lease+").unwrap_or(url).to_owned();
    let task = async move {
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
