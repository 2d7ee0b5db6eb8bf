//! How a session comes to be, and how it is asked.

use std::slice;

use sqlx::postgres::{PgArguments, PgConnectOptions, PgListener, PgPoolOptions, PgRow};
use sqlx::query::Query;
use sqlx::{Acquire as _, Column as _, PgPool, Row as _, Type as _};
use tokio::net::TcpStream;

use super::Postgres;
use super::codes::AnotherSession;
use super::fence::Fences;
use super::sql::{OPEN, SET};
use super::wait::Waits;
use crate::error::{Error, Result};

pub(in crate::backend) struct Session {
    pub(super) listener: PgListener,
    /// Of one connection, for the listener's sake.
    pub(super) pool: PgPool,
    pub(super) pid: i32,
    /// When it began, by the server's clock; 0 if that is not to be seen.
    pub(super) birth: i64,
    /// What was current at connect.
    pub(super) schema: Option<String>,
    /// Since the first token was wanted.
    pub(super) fences: Option<Fences>,
    pub(super) waits: Waits,
}

impl Postgres {
    pub(super) async fn open_session(&self) -> Result<Session> {
        let options = self.address.connect_options();
        self.dial(&options).await?;
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .max_lifetime(None)
            .idle_timeout(None)
            .test_before_acquire(false)
            // A session that we have given up must not be kept.
            .after_release(|_, _| Box::pin(async { Ok(false) }))
            .connect_lazy_with(options);
        let connected = PgListener::connect_with(&pool).await;
        let mut listener = connected.map_err(|error| self.error(error))?;
        listener.eager_reconnect(false);
        listener.ignore_pool_close_event(true);
        let row = sqlx::raw_sql(OPEN).fetch_one(&mut listener).await;
        let server = self.read_server(&row.map_err(|error| self.error(error))?)?;
        // After a fail-over it may be another one than at the first connect.
        self.vet(&server)?;
        let settings = self.settings(server.version);
        let mut session = Session {
            listener,
            pool,
            pid: server.pid,
            birth: 0,
            schema: server.schema,
            fences: None,
            waits: Waits::default(),
        };
        let (names, values): (Vec<_>, Vec<_>) = settings.into_iter().unzip();
        let set = sqlx::query(SET).bind(names).bind(values).fetch_all(&mut session.listener).await;
        let set = set.map_err(|error| self.error(error))?;
        // One that the preflight has not seen, however often it has looked.
        self.same_session(&session, &set)
            .map_err(|_| self.pooler("the statements of a connection go to several processes"))?;
        let birth: Option<i64> = match set.first() {
            Some(row) => row.try_get(1).map_err(|error| self.error(error))?,
            None => None,
        };
        session.birth = birth.unwrap_or(0);
        Ok(session)
    }

    /// sqlx's pool goes on dialling a port where nobody listens; we want to say so at once.
    async fn dial(&self, options: &PgConnectOptions) -> Result<()> {
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
        let rows = question.fetch_all(&mut session.listener).await;
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
        let another = || Error::unavailable(&self.label, AnotherSession);
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
        question.fetch_one(self.listener.acquire().await?).await
    }
}
