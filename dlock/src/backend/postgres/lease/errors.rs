//! What the server's errors mean to a lease.

use super::Postgres;
use crate::backend::errors::ErrorKind;
use crate::backend::lease::{Failure, Rights};
use crate::backend::postgres::errors::{error_of, kind_of, refused_parameter};
use crate::error::{Error, cause};
use crate::status::holder::foreign;

impl Postgres {
    pub(super) fn failure(&self, error: sqlx::Error) -> Failure {
        let backend = &*self.label;
        match kind_of(&error) {
            // Each has undone its whole transaction.
            ErrorKind::Busy | ErrorKind::Deadlock | ErrorKind::TimedOut | ErrorKind::Stopped => {
                Failure::Busy(Error::away(backend, cause(error)))
            }
            // The next connect finds the primary, or makes the table.
            ErrorKind::ReadOnly | ErrorKind::NoTable => {
                Failure::Failed(Error::away(backend, cause(error)))
            }
            ErrorKind::NoRight => Failure::Failed(match self.opened.get() {
                Some(opened) => Error::permission(backend, &*opened.grant, cause(error)),
                // Before it is known where the table is.
                None => Rights { label: backend, table: "the table of leases", user: "this role" }
                    .missing(None, cause(error)),
            }),
            _ => match refused_parameter(&error) {
                Some(said) => Failure::Failed(Error::config(format!(
                    "a pooler before {backend} refuses a parameter of the url: {}; leave it out",
                    foreign(said)
                ))),
                None => Failure::Failed(error_of(backend, error)),
            },
        }
    }
}
