//! PostgreSQL: session-level advisory locks, with 64-bit keys and with pairs of 32-bit ones.
//!
//! <https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADVISORY-LOCKS>
//!
//! A session is a `PgListener`: it is the one connection of sqlx's that can be watched, so that the
//! end of a session is known within milliseconds. Its one trap: when it has told that it is dead,
//! the next statement would run on a new connection. So that report ends the session, and every
//! statement returns the server's process id, which must stay the same.

#[cfg(feature = "postgres")]
pub(crate) mod caller_sql;
mod check;
mod connect;
mod errors;
mod fencing;
#[cfg(feature = "postgres")]
pub(crate) mod lease;
pub(crate) mod lease_sql;
mod listener;
mod server;
mod session;
mod session_sql;
mod settings;
mod status;
mod wait;

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::Row as _;

pub(crate) use self::connect::Address;
use self::errors::Ended;
#[cfg(test)]
pub(crate) use self::errors::of_code;
use self::session::Session;
pub(crate) use self::session_sql::FIRST_FENCE;
use self::session_sql::{HELD, PING, UNLOCK_ALL, WRITES_WAIT};
pub(crate) use self::settings::BEGIN;
use super::lease::Table;
use super::{
    Answer, BackendInfo, BatchItem, LockView, Options, SessionBackend, SessionTag, Waited,
};
use crate::error::{Error, Result};
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;
use crate::spec::native::{Naming, NativeKey};
use crate::status::Finding;

pub(crate) struct Postgres {
    address: Address,
    label: Box<str>,
    session_ttl: Duration,
    /// How many sessions there may be.
    max_sessions: u32,
    /// Where fencing tokens are drawn.
    table: Table,
    /// It has been said that tokens may repeat here.
    warned: AtomicBool,
}

impl Postgres {
    pub(crate) fn from_url(url: &str, options: &Options) -> Result<Self> {
        let address = Address::of_url(url, options.application_name.as_deref())?;
        Postgres::new(address, options)
    }

    pub(crate) fn from_pool(pool: PgPool, options: &Options) -> Result<Self> {
        Postgres::new(Address::of_pool(pool, options.application_name.as_deref()), options)
    }

    fn new(address: Address, options: &Options) -> Result<Self> {
        Ok(Postgres {
            label: address.label(),
            address,
            session_ttl: options.session_ttl,
            max_sessions: options.max_sessions,
            table: options.lease.table_of(false)?,
            warned: AtomicBool::new(false),
        })
    }

    /// What is known of it without asking.
    pub(crate) fn about(&self) -> BackendInfo {
        BackendInfo {
            label: self.label.clone(),
            naming: Naming::Id,
            modes: self.modes(),
            leases: None,
            fences: true,
            explain: Box::new(status::explain),
        }
    }
}

impl SessionBackend for Postgres {
    type Session = Session;

    fn label(&self) -> &str {
        &self.label
    }

    fn session_ttl(&self) -> Option<Duration> {
        Some(self.session_ttl)
    }

    fn locks_setting(&self) -> Option<&'static str> {
        Some("max_locks_per_transaction")
    }

    fn modes(&self) -> &'static [Mode] {
        &[Mode::Exclusive, Mode::Shared]
    }

    async fn preflight(&self) -> Result<()> {
        // The only session makes sure itself.
        if self.max_sessions == 1 { Ok(()) } else { self.refuse_pooler().await }
    }

    async fn open(&self) -> Result<Session> {
        self.open_session().await
    }

    fn tag(&self, session: &Session) -> SessionTag {
        SessionTag { id: session.pid.into(), birth: session.birth }
    }

    fn connections_left(&self, session: &Session) -> Option<i64> {
        session.left
    }

    async fn batch(
        &self,
        session: &mut Session,
        ops: &[BatchItem],
        out: &mut Vec<Answer>,
    ) -> Result<()> {
        if ops.is_empty() {
            return self.answer(session, sqlx::query(PING)).await.map(drop);
        }
        if ops.iter().any(|op| op.what.is_written()) {
            return self.fenced_batch(session, ops, out).await;
        }
        if ops.iter().any(|op| op.what.is_order()) {
            let orders = session_sql::orders(ops);
            return self.read(&self.answer(session, orders).await?, out);
        }
        let parts: Vec<(i64, i16)> = ops.iter().map(|op| session_sql::part(&op.what)).collect();
        let batch = session_sql::batch(&parts);
        self.read(&self.answer(session, batch).await?, out)
    }

    async fn writes_wait(&self, session: &mut Session) -> Result<bool> {
        let row = self.answer(session, sqlx::query(WRITES_WAIT)).await?;
        let mut waits: Vec<bool> = Vec::new();
        self.read(&row, &mut waits).map(|()| waits != [false])
    }

    async fn wait(
        &self,
        session: &mut Session,
        lock_id: &LockId,
        time: Duration,
    ) -> Result<Waited> {
        self.wait_for(session, lock_id, time).await
    }

    async fn held(&self, session: &mut Session, lock_ids: &[LockId]) -> Result<Vec<bool>> {
        let mut held = Vec::new();
        if lock_ids.is_empty() {
            return Ok(held);
        }
        let (keys, codes): (Vec<i64>, Vec<i16>) = lock_ids.iter().map(session_sql::lock).unzip();
        let row = self.answer(session, sqlx::query(HELD).bind(keys).bind(codes)).await?;
        self.read(&row, &mut held).map(|()| held)
    }

    async fn status(&self, session: &mut Session, of: Option<&NativeKey>) -> Result<Vec<LockView>> {
        self.seen(session, of).await
    }

    async fn tags(&self, session: &mut Session, ids: &[i64]) -> Result<Vec<SessionTag>> {
        let row = self.answer(session, sqlx::query(session_sql::TAGS).bind(ids)).await?;
        let read = || Ok((row.try_get(0)?, row.try_get(1)?));
        let (ids, births): (Vec<i64>, Vec<i64>) = read().map_err(|error| self.error(error))?;
        Ok(ids.into_iter().zip(births).map(|(id, birth)| SessionTag { id, birth }).collect())
    }

    /// <https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-SIGNAL>
    fn right_to_end(&self) -> &'static str {
        "GRANT pg_signal_backend, pg_read_all_stats TO this role, or connect as the role that holds \
         the lock (a superuser's sessions only a superuser can end)"
    }

    async fn check(&self, session: &mut Session) -> Result<Vec<Finding>> {
        self.findings(session).await
    }

    async fn watch(&self, session: &mut Session) -> Error {
        loop {
            match session.listener.try_recv().await {
                // Nobody notifies us.
                Ok(Some(_)) => {}
                Ok(None) => return Error::unavailable(&self.label, Ended),
                Err(error) => return self.error(error),
            }
        }
    }

    async fn close(&self, mut session: Session) {
        // The goodbye is not answered: the server would let go some time after it.
        let _ = session.execute(sqlx::query(UNLOCK_ALL)).await;
        let Session { listener, pool, .. } = session;
        // That gives the connection back to its pool, which closes it.
        listener.close();
        pool.close().await;
    }
}
