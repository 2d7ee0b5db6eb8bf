//! A session: how it is opened and asked, and what its answers mean.
//!
//! The driver can stop a statement with `cancel_query`. If that meets the end of the statement, every
//! later query gets the answer of the one before it (tiberius 0.13). So no statement is ever stopped:
//! a wait that is not wanted any more ends with its connection, and the lock it may have been granted
//! goes with that.

use std::time::Duration;

use tiberius::{Query, Row};
use tokio::time::timeout;

use super::connect::Connection;
use super::errors::{Code, Ended, error_of, kind_of};
use super::results::{self, integer};
use super::server::{self, Server};
use super::session_sql as sql;
use super::socket::Socket;
use super::{GOODBYE, Mssql, TTL_MAX, table};
use crate::backend::errors::{ErrorKind, another_session, neither, unexpected};
use crate::backend::{Answer, BatchItem, Op, SessionLocks, SessionTag, orders_or_locks};
use crate::error::{Error, Result};
use crate::spec::key::Key;
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;
use crate::spec::native::NativeKey;
use crate::text::hex;

/// How many locks a statement is about at most: it may have 2,100 parameters, and takes a share of
/// time to put together.
pub(super) const LOCKS_MAX: usize = 500;

/// Whether a commit here may wait for another server: availability groups, and Azure's replicas.
const COMMITS_WAIT: &str = "SELECT CASE WHEN CAST(SERVERPROPERTY('IsHadrEnabled') AS int)=1 \
    OR CAST(SERVERPROPERTY('EngineEdition') AS int) IN (5,8) THEN 1 ELSE 0 END";

pub(crate) struct Session {
    pub(super) connection: Connection,
    /// The same, to be watched.
    pub(super) socket: Socket,
    /// The server's number of it.
    pub(super) id: i64,
    mark: [u8; 16],
    pub(super) server: Server,
    /// It knows that there is a table to draw tokens from.
    pub(super) fences: bool,
}

/// What the server knows a key by.
pub(super) fn name(key: &NativeKey) -> String {
    match key {
        NativeKey::Name(name) => name.clone(),
        // Not what this backend is asked for.
        other => Key::of_native(other).name(""),
    }
}

impl SessionLocks for Mssql {
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
        let (mut connection, socket) = self.target.connect().await?;
        let mark: [u8; 16] = fastrand::u128(..).to_le_bytes();
        let mut shown = String::new();
        mark.iter().for_each(|byte| hex(*byte, &mut shown));
        let open = server::open(&shown);
        let rows = async { results::all(connection.simple_query(open).await?).await };
        let rows = rows.await.map_err(|error| self.error(error))?;
        let row = rows.last().and_then(|rows| rows.first());
        let row = row.ok_or_else(|| self.unexpected("no row"))?;
        let server = Server::of(row, &self.label)?.ok_or_else(|| self.unexpected("no server"))?;
        self.same_database(&server.database)?;
        let id = row.len().checked_sub(2).and_then(|column| integer(row, column));
        let id = id.ok_or_else(|| self.unexpected("no session"))?.into();
        let session = Session { connection, socket, id, mark, server, fences: false };
        self.same_session(&session, row).map(|()| session)
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
        let (orders, locks) = orders_or_locks(ops);
        if ops.is_empty() {
            self.ping(session).await?;
        }
        for order in orders {
            out.push(self.order(session, order).await?.into());
        }
        for part in locks.chunks(LOCKS_MAX) {
            self.locks(session, part, out).await?;
        }
        Ok(())
    }

    async fn writes_wait(&self, session: &mut Session) -> Result<bool> {
        let rows = table::rows(&mut session.connection, COMMITS_WAIT.into()).await;
        let rows = rows.map_err(|error| self.error(error))?;
        Ok(rows.first().and_then(|row| integer(row, 0)) != Some(0))
    }

    async fn held(&self, session: &mut Session, lock_ids: &[LockId]) -> Result<Vec<bool>> {
        let mut held = Vec::with_capacity(lock_ids.len());
        for part in lock_ids.chunks(LOCKS_MAX) {
            let mut query = Query::new(sql::held(part.len()));
            part.iter().for_each(|lock_id| query.bind(name(&lock_id.key)));
            let row = self.ask(session, query).await.map_err(|error| self.failed(error))?;
            for column in 0..part.len() {
                held.push(self.code(&row, column)? == Code::Done);
            }
        }
        Ok(held)
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

impl Mssql {
    /// The row of a statement with these names as parameters.
    pub(super) async fn ask(
        &self,
        session: &mut Session,
        query: Query<'_>,
    ) -> Result<Row, DriverOrOurs> {
        let rows = async { results::all(query.query(&mut session.connection).await?).await };
        let rows = rows.await.map_err(DriverOrOurs::Driver)?;
        // One that is missing is no answer, and two are none either.
        let mut rows = rows.into_iter().flatten();
        let (Some(row), None) = (rows.next(), rows.next()) else {
            return Err(DriverOrOurs::Ours(self.unexpected("not one row")));
        };
        self.same_session(session, &row).map_err(DriverOrOurs::Ours)?;
        Ok(row)
    }

    /// Makes sure that an answer comes from the session that was opened: its last two columns.
    pub(super) fn same_session(&self, session: &Session, row: &Row) -> Result<()> {
        let another = || another_session(&self.label, "sessions of the server", "proxy");
        let at = row.len().checked_sub(2).ok_or_else(another)?;
        let id = integer(row, at).map(i64::from);
        let mark = row.try_get::<&[u8], _>(at + 1).ok().flatten();
        let same = id == Some(session.id) && mark.is_some_and(|m| m.starts_with(&session.mark));
        if same { Ok(()) } else { Err(another()) }
    }

    /// Does these, which are all tries and unlocks.
    pub(super) async fn locks(
        &self,
        session: &mut Session,
        ops: &[BatchItem],
        out: &mut Vec<Answer>,
    ) -> Result<()> {
        if ops.iter().any(|op| op.what.is_written()) {
            return self.fenced_locks(session, ops, out).await;
        }
        let mut text = sql::batch(ops.iter().map(|op| &op.what));
        sql::columns(&mut text, ops.len());
        let mut query = Query::new(text);
        for op in ops {
            if let Some(id) = op.what.lock_id() {
                query.bind(name(&id.key));
            }
        }
        let row = self.ask(session, query).await.map_err(|error| self.failed(error))?;
        for (column, op) in ops.iter().enumerate() {
            let code = self.code(&row, column)?;
            out.push(self.done(session, op, code)?);
        }
        Ok(())
    }

    /// The return code in a column.
    pub(super) fn code(&self, row: &Row, column: usize) -> Result<Code> {
        let code = integer(row, column).ok_or_else(|| self.unexpected("no return code"))?;
        Code::of(code).ok_or_else(|| self.unexpected(&format!("return code {code}")))
    }

    /// What a return code says of a try or of an unlock.
    pub(super) fn done(&self, session: &Session, op: &BatchItem, code: Code) -> Result<Answer> {
        match (&op.what, code) {
            (_, Code::Done) => Ok(Answer::Yes),
            (Op::Unlock(_) | Op::Fence(_), Code::Invalid) => Ok(Answer::No),
            // It is refused all the same: nothing is held.
            (_, Code::Timeout | Code::Deadlock) => Ok(Answer::No),
            // What Babelfish says where it should say -1.
            (_, Code::Invalid) if session.server.babelfish => Ok(Answer::No),
            (_, Code::Invalid | Code::Cancelled) => Err(self.refused(code)),
        }
    }

    pub(super) async fn ping(&self, session: &mut Session) -> Result<()> {
        let rows =
            async { results::first(session.connection.simple_query(sql::PING).await?).await };
        let rows = rows.await.map_err(|error| self.error(error))?;
        let row = rows.first().ok_or_else(|| self.unexpected("no row"))?;
        self.same_session(session, row)
    }

    /// Has the server end another session, if it may. Returns `false` where it may not, or where
    /// that session has gone.
    pub(super) async fn order(&self, session: &mut Session, op: &BatchItem) -> Result<bool> {
        let Some(text) = sql::order(op) else { return Ok(false) };
        match table::rows(&mut session.connection, text).await {
            Ok(rows) => Ok(rows.first().and_then(|row| integer(row, 0)) == Some(1)),
            Err(error) => {
                let error = self.error(error);
                if self.survives(&error) { Ok(false) } else { Err(error) }
            }
        }
    }

    pub(super) fn error(&self, error: tiberius::error::Error) -> Error {
        error_of(&self.label, error)
    }

    pub(super) fn failed(&self, error: DriverOrOurs) -> Error {
        match error {
            DriverOrOurs::Driver(error) => self.error(error),
            DriverOrOurs::Ours(error) => error,
        }
    }

    pub(super) fn unexpected(&self, answer: &str) -> Error {
        unexpected(&self.label, answer)
    }

    /// The server has said neither yes nor no.
    pub(super) fn refused(&self, code: Code) -> Error {
        neither(&self.label, &code)
    }

    pub(super) fn ended(&self) -> Error {
        Error::unavailable(&self.label, Ended)
    }
}

/// A wait: an `int` of milliseconds at most.
pub(super) fn millis(millis: u128) -> i32 {
    i32::try_from(millis).unwrap_or(i32::MAX)
}

/// Why a statement has no answer.
pub(super) enum DriverOrOurs {
    Driver(tiberius::error::Error),
    Ours(Error),
}

impl DriverOrOurs {
    pub(super) fn kind(&self) -> ErrorKind {
        match self {
            DriverOrOurs::Driver(error) => kind_of(error),
            DriverOrOurs::Ours(_) => ErrorKind::Other,
        }
    }
}
