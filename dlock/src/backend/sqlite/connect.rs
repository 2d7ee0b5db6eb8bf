//! Which file, and how it is opened.

use std::path::Path;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteLockingMode, SqlitePool, SqliteSynchronous};

use super::Sqlite;
use super::lease_sql::LeaseSql;
use crate::backend::lease::Table;
use crate::error::{Error, Result};

/// How long SQLite itself waits for another writer. While it does, nothing else can be asked; what
/// takes longer is asked again by the engine.
const BUSY: Duration = Duration::from_millis(250);

/// Writers and readers do not wait for each other.
const WAL: &str = "PRAGMA journal_mode = WAL";

impl Sqlite {
    /// `sqlite://file`, with the parameters of sqlx, `synchronous=normal` and `journal_mode=delete`.
    pub(crate) fn from_url(url: &str, table: &Table) -> Result<Self> {
        let (file, parameters) = url.split_once('?').unwrap_or((url, ""));
        let mut synchronous = SqliteSynchronous::Full;
        let mut journal = WAL;
        let mut create = true;
        let mut passed_on = Vec::new();
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.to_ascii_lowercase().split_once('=').unwrap_or((parameter, "")) {
                ("synchronous", "full") => synchronous = SqliteSynchronous::Full,
                ("synchronous", "normal") => synchronous = SqliteSynchronous::Normal,
                ("synchronous", _) => {
                    return Err(Error::config(
                        "synchronous= in the url of the SQLite file can be full, or normal for speed \
                         (after a power loss a fencing token may repeat)",
                    ));
                }
                ("journal_mode", "wal") => journal = WAL,
                ("journal_mode", "delete") => journal = "PRAGMA journal_mode = DELETE",
                ("journal_mode", _) => {
                    return Err(Error::config(
                        "journal_mode= in the url of the SQLite file can be wal, or delete for a file \
                         system that cannot have it, such as one over a network",
                    ));
                }
                ("mode", "memory") => return Err(in_memory()),
                ("mode", "ro") | ("immutable", "1" | "true") => {
                    return Err(Error::config(format!(
                        "{parameter} in the url of the SQLite file: a lock is something written; \
                     leave it out"
                    )));
                }
                (name, value) => {
                    create &= name != "mode" || value == "rwc";
                    passed_on.push(parameter);
                }
            }
        }
        let url = format!("{file}?{}", passed_on.join("&"));
        // The parser's own words repeat the url.
        let options: SqliteConnectOptions = url.parse().map_err(|_| {
            Error::config(
                "the url of the SQLite file is not understood: it should look like \
                 sqlite://path/to/locks.db, with a ? in the path written as %3F; of parameters there \
                 are synchronous, journal_mode, mode (rw or rwc), cache and vfs",
            )
        })?;
        if is_in_memory(options.get_filename()) {
            return Err(in_memory());
        }
        let options = options.create_if_missing(create).synchronous(synchronous);
        Ok(Self { journal, ..Self::new(options, table) })
    }

    /// In a file beside the pool's: a write transaction of the application may last longer than a
    /// lease, and would block the renewal of the very lock it runs under.
    pub(crate) fn from_pool(pool: &SqlitePool, table: &Table) -> Result<Self> {
        let options = pool.connect_options();
        let file = options.get_filename();
        if is_in_memory(file) {
            return Err(Error::config(
                "the pool's SQLite database is in memory, where no other process can see a lock; \
                 give the locker a file of its own, \"sqlite://locks.db\", or \"memory:\"",
            ));
        }
        let mut file = file.as_os_str().to_owned();
        file.push("-dlock");
        // A clone, for its VFS and its keys may be needed here too.
        let options = SqliteConnectOptions::clone(&options)
            .filename(file)
            .in_memory(false)
            .immutable(false)
            .read_only(false)
            .create_if_missing(true)
            .synchronous(SqliteSynchronous::Full);
        Ok(Self::new(options, table))
    }

    fn new(options: SqliteConnectOptions, table: &Table) -> Self {
        let file = options.get_filename().to_owned();
        let label = format!("sqlite ({})", file.display()).into();
        let options = match std::path::absolute(&file) {
            // The process may go to another directory before the next connect.
            Ok(absolute) if !file.starts_with("file:") => options.filename(absolute),
            _ => options,
        };
        let options = options
            .locking_mode(SqliteLockingMode::Normal)
            .busy_timeout(BUSY)
            .thread_name(|id| format!("dlock-sqlite-{id}"))
            .disable_statement_logging();
        Sqlite { options, label, journal: WAL, sql: LeaseSql::new(table) }
    }
}

fn in_memory() -> Error {
    Error::config(
        "an SQLite database in memory has no other process to see its locks; for locks within \
         this process use \"memory:\", else name a file: \"sqlite://locks.db\"",
    )
}

fn is_in_memory(file: &Path) -> bool {
    let Some(file) = file.to_str() else {
        return false;
    };
    let uri = file.strip_prefix("file:");
    matches!(file, "" | ":memory:")
        || uri.is_some_and(|uri| {
            uri.starts_with(":memory:")
                || uri.starts_with("sqlx-in-memory-")
                || uri.contains("mode=memory")
        })
}
