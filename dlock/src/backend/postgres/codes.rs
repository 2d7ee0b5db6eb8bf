//! What the server's error codes mean.

use super::Postgres;
use crate::error::{Error, cause};

/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
pub(super) const LOCK_NOT_AVAILABLE: &str = "55P03";
pub(super) const QUERY_CANCELED: &str = "57014";
/// What pgbouncer says to a connection with a setting that it does not know.
const PROTOCOL_VIOLATION: &str = "08P01";

impl Postgres {
    pub(super) fn error(&self, error: sqlx::Error) -> Error {
        let backend = self.label.clone();
        let code = error.as_database_error().and_then(|e| e.code().map(String::from));
        if let Some(said) = error.as_database_error()
            && code.as_deref() == Some(PROTOCOL_VIOLATION)
            && said.message().contains("startup parameter")
        {
            return self.pooler(said.message());
        }
        let source = cause(error);
        match code.as_deref() {
            Some(code) => match (code.get(..2).unwrap_or_default(), code) {
                ("08", _) | (_, "53300" | "57P01" | "57P02" | "57P03" | "57P05" | "25P03") => {
                    Error::Unavailable { backend, source }
                }
                ("28", _) => {
                    let grant = "check the user and the password, and pg_hba.conf".into();
                    Error::Permission { backend, grant, source }
                }
                (_, "42501") => {
                    let grant = "see the source for what to grant".into();
                    Error::Permission { backend, grant, source }
                }
                (_, "3D000") => Error::config(format!("{backend} has no such database")),
                _ => Error::Backend { backend, source },
            },
            None => Error::Unavailable { backend, source },
        }
    }
}

pub(super) fn has_code(error: &sqlx::Error, code: &str) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|c| c == code)
}

#[derive(Debug, thiserror::Error)]
#[error("the server has ended the session, or the connection is cut")]
pub(super) struct Ended;

#[derive(Debug, thiserror::Error)]
#[error(
    "statements of one connection reach different server processes: is there a pooler between?"
)]
pub(super) struct AnotherSession;
