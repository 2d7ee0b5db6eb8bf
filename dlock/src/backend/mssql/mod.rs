//! SQL Server: application locks of a session, `sp_getapplock` and `sp_releaseapplock`.
//!
//! <https://learn.microsoft.com/sql/relational-databases/system-stored-procedures/sp-getapplock-transact-sql>
//!
//! The locks are those of one database of the server. A session is recognized by its number and by a
//! mark that it was given when it was opened (`CONTEXT_INFO`); every answer has both. SQL Server ends
//! no session for its silence: it notices a client whose connection is closed at once, one whose host
//! has vanished by the keep-alive packets of its network (after some 35 s), and one that is frozen not
//! at all. So a guard ends by its own clock before that, see [`TTL_MAX`].

pub(crate) mod caller_sql;
mod check;
mod connect;
mod conversion;
mod errors;
mod fencing;
mod lease;
mod lease_sql;
pub(crate) mod results;
mod server;
mod session;
mod session_sql;
mod socket;
mod status;
mod table;

use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::timeout;

pub(crate) use self::connect::Target;
pub(crate) use self::lease::MssqlLeases;
use self::lease_sql::LeaseSql;
use self::session::{LOCKS_MAX, Session};
use super::{
    Answer, BackendInfo, BatchItem, LockView, Options, SessionBackend, SessionTag, Waited,
};
use crate::error::{Error, Result};
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;
use crate::spec::native::{Naming, NativeKey};
use crate::status::Finding;

/// For how long a guard is valid without an answer, at most: SQL Server gives a silent client's locks
/// back when its keep-alive packets have not been answered, which it begins to send after 30 s.
/// <https://learn.microsoft.com/sql/tools/configuration-manager/tcp-ip-properties-protocols-tab>
const TTL_MAX: Duration = Duration::from_secs(30);
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

pub(crate) struct Mssql {
    target: Target,
    label: Box<str>,
    /// What was asked for.
    session_ttl: Duration,
    /// The database of the first session: that of all others must be the same.
    database: OnceLock<String>,
    /// Where fencing tokens are drawn.
    tokens: LeaseSql,
}

impl Mssql {
    pub(crate) fn new(target: Target, options: &Options) -> Result<Self> {
        Ok(Mssql {
            label: target.label().into(),
            target,
            session_ttl: options.session_ttl,
            database: OnceLock::new(),
            tokens: LeaseSql::new(&options.lease.table_of(false)?),
        })
    }

    /// What is known of it without asking.
    pub(crate) fn about(&self) -> BackendInfo {
        BackendInfo {
            label: self.label.clone(),
            naming: Naming::AppLock,
            modes: self.modes(),
            leases: None,
            fences: true,
            explain: Box::new(|key| status::explain(&session::name(key))),
        }
    }

    /// Refuses a session in another database than the first one: its locks are others.
    fn same_database(&self, database: &str) -> Result<()> {
        let first = self.database.get_or_init(|| database.to_owned());
        if first == database {
            return Ok(());
        }
        Err(Error::config(format!(
            "{} has moved this login from database {first:?} to {database:?}, where locks are others; \
             name the database in the url",
            self.label
        )))
    }
}

impl SessionBackend for Mssql {
    type Session = Session;

    fn label(&self) -> &str {
        &self.label
    }

    fn session_ttl(&self) -> Option<Duration> {
        Some(self.session_ttl.min(TTL_MAX))
    }

    fn modes(&self) -> &'static [Mode] {
        &[Mode::Exclusive, Mode::Shared, Mode::Update]
    }

    async fn open(&self) -> Result<Session> {
        self.open_session().await
    }

    fn tag(&self, session: &Session) -> SessionTag {
        SessionTag { id: session.id, birth: session.server.birth }
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
        for part in locks.chunks(LOCKS_MAX) {
            if part.iter().any(|op| op.what.is_written()) {
                self.fenced_locks(session, part, out).await?;
            } else {
                self.locks(session, part, out).await?;
            }
        }
        Ok(())
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

    fn stops_waits(&self) -> bool {
        false
    }

    fn check_conversion(&self, from: Mode, to: Mode) -> Result<()> {
        self.check_way_up(from, to)
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

    async fn held(&self, session: &mut Session, lock_ids: &[LockId]) -> Result<Vec<bool>> {
        self.held_of(session, lock_ids).await
    }

    async fn status(&self, session: &mut Session, of: Option<&NativeKey>) -> Result<Vec<LockView>> {
        self.look(session, of).await
    }

    fn is_shown_cut(&self, key: &NativeKey, shown: &NativeKey) -> bool {
        matches!(shown, NativeKey::Name(shown) if status::is_cut(&session::name(key), shown))
    }

    async fn tags(&self, session: &mut Session, ids: &[i64]) -> Result<Vec<SessionTag>> {
        self.tags_of(session, ids).await
    }

    /// <https://learn.microsoft.com/sql/t-sql/language-elements/kill-transact-sql#permissions>
    fn right_to_end(&self) -> &'static str {
        "GRANT ALTER ANY CONNECTION, VIEW SERVER STATE TO this login (Azure SQL Database: KILL DATABASE \
         CONNECTION and VIEW DATABASE STATE)"
    }

    async fn check(&self, session: &mut Session) -> Result<Vec<Finding>> {
        self.findings(session).await
    }

    async fn watch(&self, session: &mut Session) -> Error {
        match session.socket.ended().await {
            Ok(()) => self.ended(),
            Err(error) => Error::unavailable(&self.label, error),
        }
    }

    async fn close(&self, session: Session) {
        let Session { connection, socket, .. } = session;
        // The server closes its side when the session has ended, and its locks with it.
        let _ = timeout(GOODBYE, async {
            connection.close().await.ok()?;
            socket.ended().await.ok()
        })
        .await;
    }
}
