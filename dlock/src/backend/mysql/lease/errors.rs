//! What can go wrong with a server.

use std::io;
use std::sync::atomic::Ordering;

use super::MySql;
use crate::backend::errors::ErrorKind;
use crate::backend::lease::{Failure, Rights};
use crate::backend::mysql::errors::{GUARDED, TOO_LARGE, error_of, kind_of, number};
use crate::error::{Error, Source, cause};

impl MySql {
    pub(super) fn failure(&self, error: sqlx::Error) -> Failure {
        let backend = &*self.label;
        match (kind_of(&error), number(&error)) {
            // Nothing was done.
            (kind, _) if kind.is_busy() => Failure::Busy(Error::away(backend, cause(error))),
            // What was done, nobody knows; a table that is gone is made at the next connect.
            (
                ErrorKind::NotWritten
                | ErrorKind::Stopped
                | ErrorKind::TimedOut
                | ErrorKind::ReadOnly
                | ErrorKind::NoTable,
                _,
            ) => Failure::Failed(Error::away(backend, cause(error))),
            (_, Some(GUARDED)) => self.handed_over(),
            (_, Some(TOO_LARGE)) => Failure::Failed(Error::config(format!(
                "{backend} takes no statement about a single lease: its max_allowed_packet is {}; \
                 raise it, or use shorter keys",
                self.packet.load(Ordering::Relaxed)
            ))),
            (ErrorKind::NoRight, _) => Failure::Failed(self.refused(cause(error))),
            _ => Failure::Failed(error_of(&self.label, error)),
        }
    }

    /// What a user must be allowed.
    fn refused(&self, source: Source) -> Error {
        let table = self.sql.table().quoted('`');
        let rights = Rights { label: &self.label, table: &table, user: "this user" };
        rights.missing(self.sql.ddl().map(|ddl| ("CREATE", ddl)), source)
    }

    /// It takes no writes any more.
    pub(super) fn handed_over(&self) -> Failure {
        self.out_of_service(
            "the server has become read-only: has it handed over to another server?",
        )
    }

    /// It is there, and of no use now.
    pub(super) fn out_of_service(&self, why: &str) -> Failure {
        let source = io::Error::new(io::ErrorKind::NotConnected, why);
        Failure::Failed(Error::unavailable(&self.label, source))
    }
}
