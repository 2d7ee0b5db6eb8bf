//! Oracle: user locks of a session, the package `DBMS_LOCK`.
//!
//! <https://docs.oracle.com/en/database/oracle/oracle-database/19/arpls/DBMS_LOCK.html>
//!
//! The locks are those of one database (of one pluggable one, where there are such), in all instances
//! of a cluster. The server frees them when the session ends. It ends no session for its silence
//! unless it is told to; a client that has vanished it notices by the packets that
//! `SQLNET.EXPIRE_TIME` has it send, and without that setting maybe never. So a guard ends by its own
//! clock before that, see [`TTL_MAX`].

#[cfg(feature = "oracle")]
pub(crate) mod caller_sql;
mod check;
mod connect;
mod errors;
mod fencing;
mod lease;
mod lease_sql;
mod session;
mod session_sql;
mod status;
mod table;

use std::future::pending;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

pub(crate) use self::connect::Target;
pub(crate) use self::errors::{Said, number};
pub(crate) use self::lease::OracleLeases;
use self::lease_sql::LeaseSql;
use self::session::Session;
use self::session_sql::MODES;
use super::{
    Answer, BackendInfo, BatchItem, LockView, Op, Options, SessionBackend, SessionTag, Waited,
};
use crate::error::{Error, Result};
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;
use crate::spec::native::{Naming, NativeKey};
use crate::status::Finding;

/// For how long a guard is valid without an answer, at most: with the shortest `SQLNET.EXPIRE_TIME`,
/// a minute, the server gives the locks of a silent client back after that.
/// <https://docs.oracle.com/en/database/oracle/oracle-database/19/netrf/parameters-for-the-sqlnet.ora.html>
const TTL_MAX: Duration = Duration::from_secs(60);
/// That a session has ended does not show without a question.
const HEARTBEAT_MAX: Duration = Duration::from_secs(2);

pub(crate) struct Oracle {
    target: Target,
    label: Box<str>,
    /// What was asked for.
    session_ttl: Duration,
    connect_timeout: Duration,
    /// The database of the first session: that of all others must be the same.
    database: OnceLock<String>,
    /// Where fencing tokens are drawn.
    tokens: LeaseSql,
    block: Arc<str>,
    /// The same that draws tokens as well.
    fenced_block: Arc<str>,
}

impl Oracle {
    pub(crate) fn new(target: Target, options: &Options) -> Result<Self> {
        let tokens = LeaseSql::new(&options.lease.table_of(false)?);
        Ok(Oracle {
            label: target.label().into(),
            target,
            session_ttl: options.session_ttl,
            connect_timeout: options.connect_timeout,
            database: OnceLock::new(),
            block: session_sql::block(None).into(),
            fenced_block: session_sql::block(Some(&tokens.draw())).into(),
            tokens,
        })
    }

    /// What is known of it without asking.
    pub(crate) fn about(&self) -> BackendInfo {
        BackendInfo {
            label: self.label.clone(),
            naming: Naming::UserLock,
            modes: self.modes(),
            leases: None,
            fences: true,
            explain: Box::new(status::explain),
        }
    }

    /// Refuses a session in another database than the first one: its locks are others.
    fn same_database(&self, database: &str) -> Result<()> {
        let first = self.database.get_or_init(|| database.to_owned());
        if first == database {
            return Ok(());
        }
        Err(Error::config(format!(
            "{} has led to database {first} before and leads to {database} now, where locks are \
             others; name a service that is of one database only",
            self.label
        )))
    }
}

impl SessionBackend for Oracle {
    type Session = Session;

    fn label(&self) -> &str {
        &self.label
    }

    fn session_ttl(&self) -> Option<Duration> {
        Some(self.session_ttl.min(TTL_MAX))
    }

    fn heartbeat(&self) -> Duration {
        (self.session_ttl.min(TTL_MAX) / 3).min(HEARTBEAT_MAX)
    }

    fn modes(&self) -> &'static [Mode] {
        MODES
    }

    async fn open(&self) -> Result<Session> {
        self.open_session().await
    }

    fn tag(&self, session: &Session) -> SessionTag {
        SessionTag { id: session.id, birth: session.connection.serial }
    }

    async fn batch(
        &self,
        session: &mut Session,
        ops: &[BatchItem],
        out: &mut Vec<Answer>,
    ) -> Result<()> {
        if ops.is_empty() {
            return self.ping(session).await;
        }
        for op in ops.iter().filter(|op| op.what.is_order()) {
            out.push(self.order(session, op).await?.into());
        }
        let locks: Vec<&BatchItem> = ops.iter().filter(|op| !op.what.is_order()).collect();
        if locks.iter().any(|op| matches!(op.what, Op::TryFenced(_) | Op::Fence(_))) {
            self.prepare_tokens(session).await?;
        }
        self.locks(session, &locks, out).await
    }

    async fn writes_wait(&self, session: &mut Session) -> Result<bool> {
        self.waits_for_others(session).await
    }

    async fn wait(
        &self,
        session: &mut Session,
        lock_id: &LockId,
        time: Duration,
    ) -> Result<Waited> {
        self.wait_for(session, lock_id, time).await
    }

    fn check_conversion(&self, _: Mode, _: Mode) -> Result<()> {
        Ok(())
    }

    async fn convert(
        &self,
        session: &mut Session,
        held: &LockId,
        to: Mode,
        time: Duration,
    ) -> Result<Waited> {
        self.convert_to(session, held, to, time).await
    }

    /// The server looks whether a wait is part of a circle when it has lasted some seconds.
    fn conversion_wait_max(&self) -> Duration {
        session::SLICE
    }

    fn stops_waits(&self) -> bool {
        false
    }

    async fn held(&self, session: &mut Session, lock_ids: &[LockId]) -> Result<Vec<bool>> {
        self.held_of(session, lock_ids).await
    }

    async fn status(&self, session: &mut Session, of: Option<&NativeKey>) -> Result<Vec<LockView>> {
        self.look(session, of).await
    }

    async fn tags(&self, session: &mut Session, ids: &[i64]) -> Result<Vec<SessionTag>> {
        self.tags_of(session, ids).await
    }

    fn right_to_end(&self) -> &'static str {
        "GRANT ALTER SYSTEM, SELECT_CATALOG_ROLE TO this user"
    }

    async fn check(&self, session: &mut Session) -> Result<Vec<Finding>> {
        self.findings(session).await
    }

    /// Nothing shows without a question.
    async fn watch(&self, _: &mut Session) -> Error {
        pending().await
    }

    async fn close(&self, session: Session) {
        session.connection.close().await;
    }
}
