//! What the server's error numbers mean: said once, here.

use std::sync::Arc;

use sqlx::mysql::MySqlDatabaseError;

use super::MySql;
use crate::backend::errors::{ErrorKind, Remedies};
use crate::backend::tls;
use crate::error::{Error, Source, cause};

/// `ER_NO_SUCH_THREAD`, and `ER_KILL_DENIED_ERROR`: it is another user's, so it is not ours.
pub(super) const NO_SUCH_SESSION: [u16; 2] = [1094, 1095];
/// `ER_PARSE_ERROR`: the server is too old for these words.
pub(super) const NO_SUCH_WORDS: u16 = 1064;
/// `ER_NO_DB_ERROR`: a table without a database in its name, on a connection without one.
pub(super) const NO_DATABASE_NAMED: u16 = 1046;
/// `ER_BAD_NULL_ERROR`: what our own statements say where they must not write.
pub(super) const GUARDED: u16 = 1048;
/// `ER_NET_PACKET_TOO_LARGE`.
pub(super) const TOO_LARGE: u16 = 1153;
/// `ER_DBACCESS_DENIED_ERROR`.
const NOT_OF_THIS_DATABASE: u16 = 1044;
/// `ER_SECURE_TRANSPORT_REQUIRED`.
const ENCRYPTED_ONLY: u16 = 3159;

const REMEDIES: Remedies = Remedies {
    login: "check the user, its host and the password",
    room: "raise the server's max_connections or the user's MAX_USER_CONNECTIONS, make the application's pools \
           smaller, or lower LockerBuilder::max_sessions",
};

/// <https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html>,
/// <https://mariadb.com/kb/en/mariadb-error-code-reference/>,
/// <https://galeracluster.com/library/documentation/certification-based-replication.html>
pub(super) fn kind(number: u16) -> ErrorKind {
    match number {
        // The limit of a statement: MySQL's, and MariaDB's.
        3024 | 1969 => ErrorKind::TimedOut,
        1317 => ErrorKind::Stopped,
        // A lock that was waited for too long; a conflict, in the words of group replication and of snapshots.
        1205 | 3101 | 1020 => ErrorKind::Busy,
        // Of rows, which is what the nodes of a cluster also call a conflict, and of named locks.
        1213 | 3058 => ErrorKind::Deadlock,
        1568 => ErrorKind::Open,
        // The last one: what was prepared is gone, as all else that a session has is when somebody resets it.
        1053 | 1927 | 4031 | 1243 => ErrorKind::Ended,
        // Too many errors of this host; offline; errors of the network; shutting down; a node of a cluster that is
        // not ready; a member of a group that leaves it while a commit waits for the others (3100), or waits for them in
        // vain; what clients say of a connection that is gone.
        1129
        | 3032
        | 3168
        | 1152
        | 1158..=1161
        | 1184
        | 1077..=1080
        | 1047
        | 3100
        | 3796..=3799
        | 2006
        | 2013 => ErrorKind::Away,
        // Too many connections: of all, or of this user.
        1040 | 1203 | 1226 => ErrorKind::Full,
        // No such user or another password; no password where one is wanted; this host not; an account that is
        // locked, or whose password has expired.
        1045 | 1698 | 1130 | 1820 | 1862 | 3118 | 4151 => ErrorKind::NoLogin,
        // To a table, a column, of an administrator, to a procedure.
        1142 | 1143 | 1227 | 1370 | NOT_OF_THIS_DATABASE => ErrorKind::NoRight,
        1049 => ErrorKind::NoDatabase,
        1146 => ErrorKind::NoTable,
        1290 | 1836 | 1792 => ErrorKind::ReadOnly,
        // A commit that failed, perhaps; a disk, or a table, that is full.
        1180 | 1021 | 1114 => ErrorKind::NotWritten,
        _ => ErrorKind::Other,
    }
}

/// The same of an error of sqlx: without a number of the server's, the connection is gone.
pub(super) fn kind_of(error: &sqlx::Error) -> ErrorKind {
    number(error).map_or(ErrorKind::Ended, kind)
}

impl MySql {
    pub(super) fn error(&self, error: sqlx::Error) -> Error {
        error_of(&self.label, error)
    }

    /// A lock that the server says neither yes nor no to.
    pub(super) fn null(&self) -> Error {
        Error::backend(&self.label, Arc::new(Neither))
    }
}

/// What the error of that server means.
pub(super) fn error_of(label: &str, error: sqlx::Error) -> Error {
    tls::error(label, &error).unwrap_or_else(|| {
        let number = number(&error);
        of_number(label, number, cause(error))
    })
}

/// The same, of any driver: with the server's number, if it is the server's error.
pub(crate) fn of_number(label: &str, number: Option<u16>, source: Source) -> Error {
    match number {
        Some(NOT_OF_THIS_DATABASE) => Error::permission(
            label,
            "any right on the database of the url will do, like GRANT SELECT ON database.* TO user",
            source,
        ),
        Some(ENCRYPTED_ONLY) => Error::config(format!(
            "{label} takes encrypted connections only; {}, and leave ssl-mode=disabled out of the url",
            tls::FEATURES
        )),
        number => number.map_or(ErrorKind::Ended, kind).error(label, &REMEDIES, source),
    }
}

pub(super) fn number(error: &sqlx::Error) -> Option<u16> {
    let error = error.as_database_error()?.try_downcast_ref::<MySqlDatabaseError>()?;
    Some(error.number())
}

#[derive(Debug, thiserror::Error)]
#[error(
    "the server has become read-only, is not in its group, or is cut off from the majority of its group: \
     has another server taken over?"
)]
pub(super) struct NoPrimary;

#[derive(Debug, thiserror::Error)]
#[error("the server said NULL when it was asked for a lock")]
struct Neither;
