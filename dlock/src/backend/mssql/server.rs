//! What a server is, and which ones are refused.

use tiberius::Row;

use super::results::{integer, text};
use super::session_sql::PROOF;
use crate::backend::errors::{NotExclusive, unsupported};
use crate::error::Result;

/// A secondary, or a database that has been set so.
pub(super) const READ_ONLY: NotExclusive = NotExclusive {
    what: "locks that exclude the primary's (the database is read-only here: a secondary replica, or set so)",
    instead: "connect to the primary, without ApplicationIntent=ReadOnly",
};

/// Azure SQL Database, and Azure SQL Managed Instance.
/// <https://learn.microsoft.com/sql/t-sql/functions/serverproperty-transact-sql>
const AZURE: [i32; 2] = [5, 8];

/// Sets a session so that what it sends means what it says, whatever the server's `user options`
/// are, and asks what server it is. `mark`: what the session is recognized by, in hex.
///
/// The options are set in a batch of their own: those of `sp_executesql` end with it.
pub(super) fn open(mark: &str) -> String {
    format!("{SETTINGS};SET XACT_ABORT OFF;SET CONTEXT_INFO 0x{mark};{LOOK},{PROOF}")
}

/// The same where nothing of a batch is to be done if a part of it fails.
pub(super) fn open_for_leases() -> String {
    format!("{SETTINGS};SET XACT_ABORT ON;{LOOK}")
}

/// Rows that others write are waited for, in milliseconds, for less than a server may take to answer.
const SETTINGS: &str = "SET NOCOUNT ON;SET IMPLICIT_TRANSACTIONS OFF;SET ROWCOUNT 0;\
    SET LOCK_TIMEOUT 2000;SET TRANSACTION ISOLATION LEVEL READ COMMITTED";
const LOOK: &str = "SELECT (SELECT DATEDIFF_BIG(millisecond,'2000-01-01',login_time) \
    FROM sys.dm_exec_sessions WHERE session_id=@@SPID),\
    DB_NAME(),CAST(DATABASEPROPERTYEX(DB_NAME(),'Updateability') AS nvarchar(60)),\
    @@VERSION,CAST(SERVERPROPERTY('EngineEdition') AS int)";

/// What a session has seen of its server.
#[derive(Debug)]
pub(super) struct Server {
    /// When the session began, as the server knows it.
    pub(super) birth: i64,
    /// Whose locks they are.
    pub(super) database: String,
    pub(super) azure: bool,
    /// It has other return codes, and one space of names for all databases.
    pub(super) babelfish: bool,
}

impl Server {
    /// Reads the answer to [`open`].
    ///
    /// # Errors
    /// [`Error::Unsupported`](crate::Error::Unsupported) where locks exclude nobody; `None` for an answer that means nothing.
    pub(super) fn of(row: &Row, label: &str) -> Result<Option<Self>> {
        let text = |column| text(row, column);
        let (Some(birth), Some(database), Some(version)) =
            (row.try_get::<i64, _>(0).ok().flatten(), text(1), text(3))
        else {
            return Ok(None);
        };
        if text(2).is_some_and(|updateability| updateability != "READ_WRITE") {
            return Err(READ_ONLY.error(label));
        }
        let edition = integer(row, 4);
        if edition.is_some_and(|edition| edition == 6 || edition == 11) {
            return Err(unsupported(
                label,
                "application locks (Azure Synapse has no sp_getapplock)",
                "use a database of SQL Server or of Azure SQL",
            ));
        }
        Ok(Some(Server {
            birth,
            database: database.to_owned(),
            azure: edition.is_some_and(|edition| AZURE.contains(&edition)),
            babelfish: version.contains("Babelfish"),
        }))
    }
}
