//! What the server's error codes mean to a lease.

use sqlx::error::DatabaseError;

use super::Postgres;
use crate::backend::lease::Failure;
use crate::backend::postgres::{
    DEADLOCK_DETECTED, LOCK_NOT_AVAILABLE, QUERY_CANCELED, code, error_of, refused_parameter,
};
use crate::error::{Error, cause};
use crate::status::holder::foreign;

const SERIALIZATION_FAILURE: &str = "40001";
/// What a standby says to whoever wants to write.
const READ_ONLY: &str = "25006";
const FEATURE_NOT_SUPPORTED: &str = "0A000";
/// Before it is known where the table is.
const UNKNOWN_GRANT: &str = "GRANT SELECT, INSERT, UPDATE ON the table of leases TO this role";
pub(super) const UNDEFINED_TABLE: &str = "42P01";
pub(super) const INSUFFICIENT_PRIVILEGE: &str = "42501";
/// What comes of making a table that another process makes at the same time.
pub(super) const MADE_MEANWHILE: [&str; 3] = ["23505", "42P07", "42710"];

impl Postgres {
    /// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
    pub(super) fn failure(&self, error: sqlx::Error) -> Failure {
        let backend = &*self.label;
        match code(&error).as_deref() {
            // Each has undone its whole transaction.
            Some(
                SERIALIZATION_FAILURE | DEADLOCK_DETECTED | LOCK_NOT_AVAILABLE | QUERY_CANCELED,
            ) => Failure::Busy(Error::away(backend, cause(error))),
            // The next connect finds the primary, or makes the table.
            Some(READ_ONLY | FEATURE_NOT_SUPPORTED | UNDEFINED_TABLE) => {
                Failure::Failed(Error::away(backend, cause(error)))
            }
            Some(INSUFFICIENT_PRIVILEGE) => {
                let grant = self.opened.get().map_or(UNKNOWN_GRANT, |opened| &opened.grant);
                Failure::Failed(Error::permission(backend, grant, cause(error)))
            }
            _ => match refused_parameter(&error) {
                Some(said) => Failure::Failed(Error::config(format!(
                    "a pooler before {backend} refuses a parameter of the url: {}; leave it out",
                    foreign(said)
                ))),
                None => Failure::Failed(error_of(&self.label, error)),
            },
        }
    }
}

/// The class of errors that say that a statement does not fit its tables.
pub(super) fn is_about_syntax(error: &dyn DatabaseError) -> bool {
    error.code().is_some_and(|code| code.starts_with("42"))
}
