//! Waits, and locks that become exclusive while they are held.
//!
//! A session that takes what it has in a stronger mode holds it in that until its last release,
//! whatever is released before: that is the way up, and why there is no way down.
//!
//! <https://learn.microsoft.com/sql/relational-databases/system-stored-procedures/sp-getapplock-transact-sql#remarks>

use std::time::Duration;

use tiberius::Query;

use super::Mssql;
use super::errors::Code;
use super::results::text;
use super::session::{Session, millis, name};
use super::session_sql::{self as sql, mode};
use crate::backend::errors::{ErrorKind, unsupported};
use crate::backend::{SessionLocks as _, SessionWaits, Waited, no_conversion};
use crate::error::Result;
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;

impl SessionWaits for Mssql {
    async fn wait(
        &self,
        session: &mut Session,
        lock_id: &LockId,
        time: Duration,
    ) -> Result<Waited> {
        let mut query = Query::new(sql::wait(lock_id.mode));
        query.bind(name(&lock_id.key));
        // No shorter than that.
        query.bind(millis(time.as_nanos().div_ceil(1_000_000)));
        let row = match self.ask(session, query).await {
            Ok(row) => row,
            Err(error) if error.kind() == ErrorKind::Deadlock => return Ok(Waited::Deadlock),
            Err(error) => return Err(self.failed(error)),
        };
        match self.code(&row, 0)? {
            Code::Done => Ok(Waited::Granted),
            Code::Timeout => Ok(Waited::Busy),
            Code::Deadlock => Ok(Waited::Deadlock),
            Code::Invalid if session.server.babelfish => Ok(Waited::Busy),
            code @ (Code::Cancelled | Code::Invalid) => Err(self.refused(code)),
        }
    }

    fn check_conversion(&self, from: Mode, to: Mode) -> Result<()> {
        match (from, to) {
            (Mode::Shared | Mode::Update | Mode::Exclusive, Mode::Exclusive) => Ok(()),
            _ if from == to => Ok(()),
            _ => Err(unsupported(
                &self.label,
                &format!("change of a lock from {from} to {to} while it is held"),
                &format!(
                    "a session keeps the strongest mode that it had until the last release, so it is \
                     still held ({from}): release it and take it as {to}"
                ),
            )),
        }
    }

    async fn convert(
        &self,
        session: &mut Session,
        held: &LockId,
        to: Mode,
        time: Duration,
    ) -> Result<Waited> {
        let mut query = Query::new(sql::convert(to));
        query.bind(name(&held.key));
        // No longer than that.
        query.bind(millis(time.as_nanos() / 1_000_000));
        let row = match self.ask(session, query).await {
            Ok(row) => row,
            Err(error) if error.kind() == ErrorKind::Deadlock => {
                // The statement has ended, and what the session holds is to be seen.
                let is_held = self.held(session, std::slice::from_ref(held)).await?;
                let gone = || self.unexpected("a deadlock that has cost the lock");
                return if is_held == [true] { Ok(Waited::Deadlock) } else { Err(gone()) };
            }
            Err(error) => return Err(self.failed(error)),
        };
        let code = self.code(&row, 0)?;
        let released = if code == Code::Done { Some(self.code(&row, 1)?) } else { None };
        let now = text(&row, 2).unwrap_or_default();
        match (code, released) {
            (Code::Done, Some(Code::Done)) if now == mode(to) => Ok(Waited::Granted),
            // Babelfish: the release has taken the stronger mode back.
            (Code::Done, Some(Code::Done)) if now == mode(held.mode) => {
                Err(no_conversion(&self.label, held.mode, to))
            }
            (Code::Timeout, _) if now == mode(held.mode) => Ok(Waited::Busy),
            (Code::Deadlock, _) if now == mode(held.mode) => Ok(Waited::Deadlock),
            (Code::Invalid, _) if session.server.babelfish && now == mode(held.mode) => {
                Ok(Waited::Busy)
            }
            // What is held now, nobody knows.
            _ => Err(self.unexpected(&format!("{code:?} of a lock that is held as {now:?}"))),
        }
    }

    fn stops_waits(&self) -> bool {
        false
    }
}
