//! What the server's error codes mean.

use super::Postgres;
use crate::backend::{handshake, tls};
use crate::error::{Error, Source, cause};

/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
pub(crate) const LOCK_NOT_AVAILABLE: &str = "55P03";
pub(crate) const QUERY_CANCELED: &str = "57014";
pub(crate) const DEADLOCK_DETECTED: &str = "40P01";
const TOO_MANY_CONNECTIONS: &str = "53300";
const FULL: &str = "raise the server's max_connections or the CONNECTION LIMIT of the role or the \
    database, make the application's pools smaller, or lower LockerBuilder::max_sessions";
/// What pgbouncer says to a connection with a setting that it does not know.
const PROTOCOL_VIOLATION: &str = "08P01";

impl Postgres {
    pub(super) fn error(&self, error: sqlx::Error) -> Error {
        match refused_parameter(&error) {
            Some(said) => self.pooler(said),
            None => error_of(&self.label, error),
        }
    }
}

/// What it says, if a pooler refuses a parameter of the connection that it does not know.
pub(crate) fn refused_parameter(error: &sqlx::Error) -> Option<&str> {
    let said = error.as_database_error()?;
    let refused = said.code().as_deref() == Some(PROTOCOL_VIOLATION);
    Some(said.message()).filter(|said| refused && said.contains("startup parameter"))
}

/// What went wrong on that server.
pub(crate) fn error_of(label: &str, error: sqlx::Error) -> Error {
    let refused = tls::refused(label, &error);
    if let Some(error) = refused.or_else(|| handshake::error(label, &error)) {
        return error;
    }
    let code = code(&error).map(String::from);
    of_code(label, code.as_deref(), cause(error))
}

/// The same, of any driver: with the server's code, if it is the server's error.
pub(crate) fn of_code(label: &str, code: Option<&str>, source: Source) -> Error {
    let permission = |remedy: &str, source| Error::permission(label, remedy, source);
    if let (Some("08P01"), Some(remedy)) | (Some("28000"), Some(remedy)) =
        (code, tls::remedy(&source))
    {
        return permission(&remedy, source);
    }
    match code {
        Some(code) => match (code.get(..2).unwrap_or_default(), code) {
            (_, TOO_MANY_CONNECTIONS) => Error::full(label, FULL, source),
            ("08", _) | (_, "57P01" | "57P02" | "57P03" | "57P05" | "25P03" | "25P04") => {
                Error::away(label, source)
            }
            ("28", _) => permission("check the user and the password, and pg_hba.conf", source),
            (_, "42501") => permission("grant the right that this error's source names", source),
            (_, "3D000") => Error::config(format!(
                "{label} has no such database; make it, or name another one in the url"
            )),
            _ => Error::backend(label, source),
        },
        None => Error::away(label, source),
    }
}

/// The server's code, if it is the server's error.
pub(crate) fn code(error: &sqlx::Error) -> Option<std::borrow::Cow<'_, str>> {
    error.as_database_error()?.code()
}

pub(crate) fn has_code(error: &sqlx::Error, other: &str) -> bool {
    code(error).is_some_and(|code| code == other)
}

#[derive(Debug, thiserror::Error)]
#[error("the server has ended the session, or the connection is cut")]
pub(super) struct Ended;

#[derive(Debug, thiserror::Error)]
#[error(
    "statements of one connection reach different server processes: is there a pooler between?"
)]
pub(super) struct AnotherSession;
