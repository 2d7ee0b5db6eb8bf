//! What can go wrong with a server.

use std::io::{Error as IoError, ErrorKind};
use std::sync::atomic::Ordering;

use super::MySql;
use crate::backend::lease::Failure;
use crate::backend::mysql::{NO_RIGHT, error_kind, number};
use crate::error::{Error, Source, cause};

impl MySql {
    /// <https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html>,
    /// <https://galeracluster.com/library/documentation/certification-based-replication.html>
    pub(super) fn failure(&self, error: sqlx::Error) -> Failure {
        let backend = &*self.label;
        let number = number(&error);
        match number {
            // A lock that was waited for too long; a deadlock, which is what the nodes of a cluster
            // also call a conflict; the same in the words of group replication, and of snapshots.
            // Nothing was done.
            Some(1205 | 1213 | 3101 | 1020) => Failure::Busy(Error::away(backend, cause(error))),
            // A commit that failed, perhaps; a statement that was stopped; a server that became
            // read-only; a full disk; a table that is gone, and is made at the next connect.
            Some(1180 | 1317 | 3024 | 1969 | 1290 | 1836 | 1792 | 1021 | 1114 | 1146) => {
                Failure::Failed(Error::away(backend, cause(error)))
            }
            // What our own statements say where they must not write.
            Some(1048) => self.out_of_service(
                "the server has become read-only: has it handed over to another server?",
            ),
            Some(1153) => Failure::Failed(Error::config(format!(
                "{backend} takes no statement about a single lease: its max_allowed_packet is {}; \
                 raise it, or use shorter keys",
                self.packet.load(Ordering::Relaxed)
            ))),
            Some(number) if NO_RIGHT.contains(&number) => {
                Failure::Failed(self.refused(cause(error)))
            }
            _ => Failure::Failed(error_kind(&self.label, error)),
        }
    }

    /// What a user must be allowed.
    fn refused(&self, source: Source) -> Error {
        let table = self.texts.table().quoted('`');
        let remedy = format!("GRANT SELECT, INSERT, UPDATE ON {table} TO this user");
        match self.texts.ddl() {
            Some(ddl) => {
                let remedy = format!(
                    "{remedy}; if the table is not there, GRANT CREATE as well, or run the statements \
                     that make it"
                );
                Error::permission(&self.label, remedy, source).with_ddl(ddl)
            }
            None => Error::permission(&self.label, remedy, source),
        }
    }

    /// It is there, and of no use now.
    pub(super) fn out_of_service(&self, why: &str) -> Failure {
        let source = IoError::new(ErrorKind::NotConnected, why);
        Failure::Failed(Error::unavailable(&self.label, source))
    }
}
