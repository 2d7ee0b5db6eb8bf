//! What the server's error codes mean: said once, here.

use super::Postgres;
use crate::backend::errors::{ErrorKind, Remedies};
use crate::backend::tls;
use crate::error::{Error, Source, cause};

/// The server has ended a session that it had not heard from for long.
pub(super) const IDLE_SESSION_TIMEOUT: &str = "57P05";
/// What pgbouncer says to a connection with a setting that it does not know.
const PROTOCOL_VIOLATION: &str = "08P01";
const REMEDIES: Remedies = Remedies {
    login: "check the user and the password, and pg_hba.conf",
    room: "raise the server's max_connections or the CONNECTION LIMIT of the role or the database, make the \
           application's pools smaller, or lower LockerBuilder::max_sessions",
};

/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
pub(super) fn kind(code: &str) -> ErrorKind {
    match code {
        // A lock was not to be had in `lock_timeout`.
        "55P03" => ErrorKind::TimedOut,
        "57014" => ErrorKind::Stopped,
        "40001" => ErrorKind::Busy,
        "40P01" => ErrorKind::Deadlock,
        "25P01" => ErrorKind::NoTransaction,
        "25P02" => ErrorKind::Aborted,
        "3B001" => ErrorKind::NoSavepoint,
        "57P01" | "57P02" | IDLE_SESSION_TIMEOUT | "25P03" | "25P04" => ErrorKind::Ended,
        "57P03" => ErrorKind::Away,
        "53300" => ErrorKind::Full,
        "42501" => ErrorKind::NoRight,
        "3D000" => ErrorKind::NoDatabase,
        "42P01" => ErrorKind::NoTable,
        // What two get who make one table at the same time: `unique_violation`, `duplicate_table`,
        // `duplicate_object`.
        "23505" | "42P07" | "42710" => ErrorKind::TableExists,
        // What a standby says to a write.
        "25006" | "0A000" => ErrorKind::ReadOnly,
        _ if code.starts_with("08") => ErrorKind::Away,
        _ if code.starts_with("28") => ErrorKind::NoLogin,
        _ => ErrorKind::Other,
    }
}

/// The same of an error of sqlx: without a code of the server's, the connection is gone.
pub(super) fn kind_of(error: &sqlx::Error) -> ErrorKind {
    code(error).map_or(ErrorKind::Ended, |code| kind(&code))
}

impl Postgres {
    pub(super) fn error(&self, error: sqlx::Error) -> Error {
        match refused_parameter(&error) {
            Some(said) => self.pooler(said),
            None => error_of(&self.label, error),
        }
    }
}

/// What it says, if a pooler refuses a parameter of the connection that it does not know.
pub(super) fn refused_parameter(error: &sqlx::Error) -> Option<&str> {
    let said = error.as_database_error()?;
    let refused = said.code().as_deref() == Some(PROTOCOL_VIOLATION);
    Some(said.message()).filter(|said| refused && said.contains("startup parameter"))
}

/// What went wrong on that server.
pub(super) fn error_of(label: &str, error: sqlx::Error) -> Error {
    tls::error(label, &error).unwrap_or_else(|| {
        let code = code(&error).map(String::from);
        of_code(label, code.as_deref(), cause(error))
    })
}

/// The same, of any driver: with the server's code, if it is the server's error.
pub(crate) fn of_code(label: &str, code: Option<&str>, source: Source) -> Error {
    match (code, tls::remedy(&source)) {
        (Some(PROTOCOL_VIOLATION | "28000"), Some(remedy)) => {
            Error::permission(label, remedy, source)
        }
        _ => code.map_or(ErrorKind::Ended, kind).error(label, &REMEDIES, source),
    }
}

/// The server's code, if it is the server's error.
pub(super) fn code(error: &sqlx::Error) -> Option<std::borrow::Cow<'_, str>> {
    error.as_database_error()?.code()
}

#[derive(Debug, thiserror::Error)]
#[error("the server has ended the session, or the connection is cut")]
pub(super) struct Ended;
