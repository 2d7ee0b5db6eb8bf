//! What the server's error numbers mean.

use std::sync::Arc;

use sqlx::mysql::MySqlDatabaseError;

use super::MySql;
use crate::backend::{handshake, tls};
use crate::error::{Error, Source, cause};

/// `ER_NO_SUCH_THREAD`, and `ER_KILL_DENIED_ERROR`: it is another user's, so it is not ours.
pub(super) const NO_SUCH_SESSION: [u16; 2] = [1094, 1095];
/// `ER_QUERY_INTERRUPTED`, and `ER_QUERY_TIMEOUT` of MySQL and `ER_STATEMENT_TIMEOUT` of MariaDB.
pub(super) const WAIT_ENDED: [u16; 3] = [1317, 3024, 1969];
/// `ER_TABLEACCESS_DENIED_ERROR`, `ER_COLUMNACCESS_DENIED_ERROR`,
/// `ER_SPECIFIC_ACCESS_DENIED_ERROR`, `ER_PROCACCESS_DENIED_ERROR`, and `ER_DBACCESS_DENIED_ERROR`.
pub(crate) const NO_RIGHT: [u16; 5] = [1142, 1143, 1227, 1370, 1044];

const FULL: &str = "raise the server's max_connections or the user's MAX_USER_CONNECTIONS, make the \
    application's pools smaller, or lower LockerBuilder::max_sessions";

impl MySql {
    pub(super) fn error(&self, error: sqlx::Error) -> Error {
        error_kind(&self.label, error)
    }

    /// A lock that the server says neither yes nor no to.
    pub(super) fn null(&self) -> Error {
        Error::backend(&self.label, Arc::new(Neither))
    }
}

/// What the error of that server means.
pub(crate) fn error_kind(label: &str, error: sqlx::Error) -> Error {
    let refused = tls::refused(label, &error);
    if let Some(error) = refused.or_else(|| handshake::error(label, &error)) {
        return error;
    }
    let number = number(&error);
    of_number(label, number, cause(error))
}

/// The same, of any driver: with the server's number, if it is the server's error.
/// <https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html>,
/// <https://mariadb.com/kb/en/mariadb-error-code-reference/>
pub(crate) fn of_number(label: &str, number: Option<u16>, source: Source) -> Error {
    let permission = |remedy: &str, source| Error::permission(label, remedy, source);
    match number {
        // No such user or another password; no password where one is wanted; this host not; an
        // account that is locked, or whose password has expired.
        Some(1045 | 1698 | 1130 | 1820 | 1862 | 3118 | 4151) => {
            permission("check the user, its host and the password", source)
        }
        Some(1044) => {
            const ANY: &str = "any right on the database of the url will do, like GRANT SELECT ON \
                database.* TO user";
            permission(ANY, source)
        }
        Some(number) if NO_RIGHT.contains(&number) => {
            permission("grant the right that this error's source names", source)
        }
        Some(1049) => Error::config(format!(
            "{label} has no such database; make it, or name another one in the url"
        )),
        Some(3159) => Error::config(format!(
            "{label} takes encrypted connections only; {}, and leave ssl-mode=disabled out of the url",
            tls::FEATURES
        )),
        // Too many connections: of all, or of this user.
        Some(1040 | 1203 | 1226) => Error::full(label, FULL, source),
        // Too many errors of this host; shutting down; offline; connection killed, or closed for its silence; errors of
        // the network; a node of a cluster that is not ready.
        Some(
            1129
            | 1053
            | 3032
            | 3168
            | 1927
            | 4031
            | 1152
            | 1158..=1161
            | 1184
            | 1077..=1080
            | 1047
            | 2006
            | 2013,
        )
        | None => Error::away(label, source),
        Some(_) => Error::backend(label, source),
    }
}

pub(crate) fn number(error: &sqlx::Error) -> Option<u16> {
    let error = error.as_database_error()?.try_downcast_ref::<MySqlDatabaseError>()?;
    Some(error.number())
}

#[derive(Debug, thiserror::Error)]
#[error(
    "statements of one connection reach different sessions of the server: is there a proxy between?"
)]
pub(super) struct AnotherSession;

#[derive(Debug, thiserror::Error)]
#[error(
    "the server has become read-only, or is cut off from the majority of its group: has another server \
     taken over?"
)]
pub(super) struct NoPrimary;

#[derive(Debug, thiserror::Error)]
#[error("the server said NULL when it was asked for a lock")]
struct Neither;

#[derive(Debug, thiserror::Error)]
#[error("the server gave an answer that means nothing: {0}")]
pub(super) struct UnexpectedReply(pub(super) Box<str>);
