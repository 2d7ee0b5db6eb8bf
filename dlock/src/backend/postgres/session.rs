//! How a session comes to be, and how it is asked.

use std::slice;
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgConnectOptions, PgListener, PgRow};
use sqlx::query::Query;
use sqlx::{Column as _, Execute, PgPool, Row as _, Type as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::Postgres;
use super::errors::Ended;
use super::listener::Listener;
use super::session_sql::{self, HELD, OPEN, PING, SET, UNLOCK_ALL, WRITES_WAIT};
use crate::backend::errors::another_session;
use crate::backend::pool::{LikePool as _, or_why};
use crate::backend::{Answer, BatchItem, SessionLocks, SessionTag, Waited, rows};
use crate::error::{Error, Result};
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;

/// A setting that no server has: it keeps what the client has said as it started.
/// <https://www.postgresql.org/docs/current/runtime-config-custom.html>
const SIGN: &str = "dlock.session";
const KNOWS: &str = "SELECT pg_catalog.current_setting($1, true)";

pub(crate) struct Session {
    pub(super) listener: Listener,
    /// Of one connection, for the listener's sake.
    pub(super) pool: PgPool,
    pub(super) pid: i32,
    /// When it began, by the server's clock; 0 if that is not to be seen.
    pub(super) birth: i64,
    /// How many connections the server had left at connect.
    pub(super) left: Option<i64>,
    /// What was current at connect.
    pub(super) schema: Option<String>,
    /// Since the first token was wanted.
    pub(super) fences: Option<Fences>,
    pub(super) waits: Waits,
}

/// What a session needs to draw tokens.
pub(super) struct Fences {
    pub(super) table: String,
    /// Does a batch in which some are drawn.
    pub(super) batch: String,
}

/// How a session waits.
#[derive(Debug, Default)]
pub(super) struct Waits {
    /// When the last one was granted.
    granted: Option<Instant>,
    /// The server has no blocks for us.
    no_blocks: bool,
}

/// A wait that begins this soon after one that was granted is probably granted too.
const HANDOVER: Duration = Duration::from_millis(100);

impl Waits {
    /// Returns `true` if the next wait is probably granted, or there are no blocks.
    pub(super) fn needs_no_block(&self) -> bool {
        self.no_blocks || self.granted.is_some_and(|at| at.elapsed() < HANDOVER)
    }

    pub(super) fn have_no_blocks(&mut self) {
        self.no_blocks = true;
    }

    /// Notes how a wait has ended.
    pub(super) fn note(&mut self, waited: Waited) {
        self.granted = (waited == Waited::Granted).then(Instant::now);
    }
}

impl SessionLocks for Postgres {
    type Session = Session;

    fn label(&self) -> &str {
        &self.label
    }

    fn session_ttl(&self) -> Option<Duration> {
        Some(self.session_ttl)
    }

    fn modes(&self) -> &'static [Mode] {
        &[Mode::Exclusive, Mode::Shared]
    }

    fn locks_setting(&self) -> Option<&'static str> {
        Some("max_locks_per_transaction")
    }

    async fn preflight(&self) -> Result<()> {
        // The only session makes sure itself.
        if self.max_sessions == 1 { Ok(()) } else { self.refuse_pooler().await }
    }

    async fn open(&self) -> Result<Session> {
        let options = self.address.connect_options();
        if self.max_sessions > 1 {
            return self.open_as(options, None).await;
        }
        // One connection may be all that there is. What it says as it starts reaches only the server
        // process that is made for it, so if that knows it, there is no pooler between.
        let sign = fastrand::u64(..).to_string();
        let signed = options.clone().options([(SIGN, &sign)]);
        match self.open_as(signed, Some(&sign)).await {
            // There is, or it may be: it takes two to tell of what kind.
            Err(Error::Unsupported { .. }) => {
                self.refuse_pooler().await?;
                self.open_as(options, None).await
            }
            opened => opened,
        }
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
        let part = |op: &BatchItem| session_sql::part(&op.what);
        let batch = match ops {
            [one] => session_sql::batch(&[part(one)]),
            [one, other] => session_sql::batch(&[part(one), part(other)]),
            many => session_sql::batch(&many.iter().map(part).collect::<Vec<_>>()),
        };
        self.read(&self.answer(session, batch).await?, out)
    }

    async fn writes_wait(&self, session: &mut Session) -> Result<bool> {
        let row = self.answer(session, sqlx::query(WRITES_WAIT)).await?;
        let mut waits: Vec<bool> = Vec::new();
        self.read(&row, &mut waits).map(|()| waits != [false])
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

impl Postgres {
    /// `sign`: what the session is to know of itself.
    async fn open_as(&self, options: PgConnectOptions, sign: Option<&str>) -> Result<Session> {
        self.check_reachable(&options).await?;
        let pool = self.address.pool_options().for_one().connect_lazy_with(options.clone());
        let listener = or_why(PgListener::connect_with(&pool), &options).await;
        let mut listener = Listener::new(listener.map_err(|error| self.error(error))?);
        let row = ask_one(&mut listener, sqlx::raw_sql(OPEN)).await;
        let server = self.read_server(&row.map_err(|error| self.error(error))?)?;
        // After a fail-over it may be another one than at the first connect.
        self.vet(&server)?;
        if let Some(sign) = sign {
            let row = ask_one(&mut listener, sqlx::query(KNOWS).bind(SIGN)).await;
            let known = row.and_then(|row| row.try_get::<Option<String>, _>(0));
            if known.map_err(|error| self.error(error))?.as_deref() != Some(sign) {
                return Err(self.pooler("a session does not know how it was started"));
            }
        }
        let settings = self.settings(server.version);
        let mut session = Session {
            listener,
            pool,
            pid: server.pid,
            birth: 0,
            left: None,
            schema: server.schema,
            fences: None,
            waits: Waits::default(),
        };
        let (names, values): (Vec<_>, Vec<_>) = settings.into_iter().unzip();
        let set = session.fetch_all(sqlx::query(SET).bind(names).bind(values)).await;
        let set = set.map_err(|error| self.error(error))?;
        // One that the preflight has not seen, however often it has looked.
        self.same_session(&session, &set)
            .map_err(|_| self.pooler("the statements of a connection go to several processes"))?;
        if let Some(row) = set.first() {
            let number = |column| -> Result<Option<i64>> {
                row.try_get(column).map_err(|error| self.error(error))
            };
            session.birth = number(1)?.unwrap_or(0);
            session.left = number(2)?;
        }
        Ok(session)
    }

    /// sqlx's pool goes on dialling a port where nobody listens; we want to say so at once.
    async fn check_reachable(&self, options: &PgConnectOptions) -> Result<()> {
        let host = options.get_host();
        if options.get_socket().is_some() || host.starts_with('/') {
            return Ok(());
        }
        let dialled = TcpStream::connect((host, options.get_port())).await;
        dialled.map(drop).map_err(|error| self.error(sqlx::Error::Io(error)))
    }

    /// Asks a question that has rows for an answer, whose last column is the server's process id.
    pub(super) async fn answers(
        &self,
        session: &mut Session,
        question: Query<'_, sqlx::Postgres, PgArguments>,
    ) -> Result<Vec<PgRow>> {
        let rows = session.fetch_all(question).await;
        let rows = rows.map_err(|error| self.error(error))?;
        self.same_session(session, &rows).map(|()| rows)
    }

    /// Asks a question that has one row for an answer, whose last column is the server's process id.
    pub(super) async fn answer(
        &self,
        session: &mut Session,
        question: Query<'_, sqlx::Postgres, PgArguments>,
    ) -> Result<PgRow> {
        let row = session.fetch_one(question).await.map_err(|error| self.error(error))?;
        self.same_session(session, slice::from_ref(&row)).map(|()| row)
    }

    /// Whether these rows come from the session that was opened.
    pub(super) fn same_session(&self, session: &Session, rows: &[PgRow]) -> Result<()> {
        let another = || another_session(&self.label, "server processes", "pooler");
        if rows.is_empty() {
            return Err(another());
        }
        for row in rows {
            // A row without columns has no last one.
            let last = row.len().checked_sub(1).ok_or_else(another)?;
            let pid: i32 = row.try_get(last).map_err(|error| self.error(error))?;
            if pid != session.pid {
                return Err(another());
            }
        }
        Ok(())
    }

    /// All columns but the last, or what is in the array that is the first.
    pub(super) fn read<T: From<bool>>(&self, row: &PgRow, out: &mut Vec<T>) -> Result<()> {
        let first = row.try_column(0).map_err(|error| self.error(error))?;
        if Vec::<bool>::compatible(first.type_info()) {
            let several: Vec<bool> = row.try_get(0).map_err(|error| self.error(error))?;
            out.extend(several.into_iter().map(T::from));
            return Ok(());
        }
        for column in 0..row.len().saturating_sub(1) {
            let yes: bool = row.try_get(column).map_err(|error| self.error(error))?;
            out.push(yes.into());
        }
        Ok(())
    }
}

impl Session {
    /// The one row of an answer. Not by way of the listener itself: its future is so large that to
    /// move it takes longer than to ask.
    pub(super) async fn fetch_one(
        &mut self,
        question: Query<'_, sqlx::Postgres, PgArguments>,
    ) -> sqlx::Result<PgRow> {
        ask_one(&mut self.listener, question).await
    }

    /// All rows of an answer.
    pub(super) async fn fetch_all<'q>(
        &mut self,
        question: impl Execute<'q, sqlx::Postgres> + 'q,
    ) -> sqlx::Result<Vec<PgRow>> {
        rows::ask(self.listener.connection().await?, question).all().await
    }

    /// Runs what has no answer.
    pub(super) async fn execute<'q>(
        &mut self,
        statement: impl Execute<'q, sqlx::Postgres> + 'q,
    ) -> sqlx::Result<()> {
        rows::ask(self.listener.connection().await?, statement).none().await.map(drop)
    }
}

async fn ask_one<'q>(
    listener: &mut Listener,
    question: impl Execute<'q, sqlx::Postgres> + 'q,
) -> sqlx::Result<PgRow> {
    rows::ask(listener.connection().await?, question).one().await
}
