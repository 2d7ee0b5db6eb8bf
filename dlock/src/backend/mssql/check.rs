//! What is wrong with the set-up, as far as a session can see it.

use tiberius::Row;

use super::errors::kind_of;
use super::results::{self, integer};
use super::session::Session;
use super::{Mssql, TTL_MAX};
use crate::backend::errors::ErrorKind;
use crate::error::Result;
use crate::status::Finding;

/// The rights on the procedures, and to see the locks of all.
const RIGHTS: &str = "SELECT HAS_PERMS_BY_NAME('sys.sp_getapplock','OBJECT','EXECUTE'),\
    HAS_PERMS_BY_NAME('sys.sp_releaseapplock','OBJECT','EXECUTE')";
const SEES_LOCKS: &str = "SELECT TOP (1) l.request_session_id FROM sys.dm_tran_locks l \
    WHERE l.resource_type='APPLICATION'";

impl Mssql {
    pub(super) async fn findings(&self, session: &mut Session) -> Result<Vec<Finding>> {
        let mut found = Vec::new();
        self.check_rights(session, &mut found).await?;
        self.check_server(session, &mut found);
        Ok(found)
    }

    async fn check_rights(&self, session: &mut Session, found: &mut Vec<Finding>) -> Result<()> {
        let rows = self.if_allowed(session, RIGHTS).await?.unwrap_or_default();
        let row = rows.first();
        for (column, procedure) in ["sp_getapplock", "sp_releaseapplock"].into_iter().enumerate() {
            if row.and_then(|row| integer(row, column)) == Some(0) {
                found.push(Finding::problem(
                    format!("this user may not execute {procedure}: no lock can be taken"),
                    "GRANT EXECUTE on it to this user (in master; usually public has it)",
                ));
            }
        }
        if self.if_allowed(session, SEES_LOCKS).await?.is_none() {
            found.push(Finding::note(
                "this login may not see the server's locks: status and errors say that a lock is \
                 held, and not by whom",
                "GRANT VIEW SERVER STATE to this login (SQL Server 2022: VIEW SERVER PERFORMANCE \
                 STATE; Azure SQL Database: VIEW DATABASE STATE)",
            ));
        }
        Ok(())
    }

    fn check_server(&self, session: &Session, found: &mut Vec<Finding>) {
        found.push(Finding::note(
            "SQL Server ends no session for its silence: a holder whose process is frozen keeps its \
             locks until it ends, one whose host has vanished for some 35 s",
            "nothing, if what the lock guards can wait; else use lease+mssql://, where a lock ends \
             with its ttl",
        ));
        if self.session_ttl > TTL_MAX {
            found.push(Finding::note(
                format!(
                    "session_ttl is {:?}, and SQL Server gives the locks of a vanished client back \
                     before that: guards are valid for {TTL_MAX:?} without an answer",
                    self.session_ttl
                ),
                "set session_ttl to 30 s or less",
            ));
        }
        if session.server.babelfish {
            found.push(Finding::note(
                "this is Babelfish: its locks are those of the whole server and not of one database, \
                 and a failed try is no different from a wrong one",
                "give each database's locker a namespace of its own",
            ));
        }
        if session.server.azure {
            found.push(Finding::note(
                "this is Azure SQL: it limits sessions and workers by the service tier, moves databases, \
                 and ends sessions that are silent for 30 minutes; dlock asks each of its sessions \
                 well before that",
                "fence what a lock guards, if two holders at once would do harm",
            ));
        }
    }

    /// The rows of a statement; `None` when this user has no right to it.
    async fn if_allowed(&self, session: &mut Session, sql: &str) -> Result<Option<Vec<Row>>> {
        let rows = async { results::first(session.connection.simple_query(sql).await?).await };
        match rows.await {
            Ok(rows) => Ok(Some(rows)),
            Err(error) if kind_of(&error) == ErrorKind::NoRight => Ok(None),
            Err(error) => Err(self.error(error)),
        }
    }
}
