//! PostgreSQL: session-level advisory locks with 64-bit keys.
//!
//! <https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADVISORY-LOCKS>
//!
//! A session is a `PgListener`: it is the one connection of sqlx's that can be watched, so that the
//! end of a session is known within milliseconds. Its one trap: when it has told that it is dead,
//! the next statement would run on a new connection. So that report ends the session, and every
//! statement returns the server's process id, which must stay the same.

mod codes;
mod settings;

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions, PgRow};
use sqlx::{ConnectOptions as _, PgPool, Row as _};
use tokio::net::TcpStream;

use self::codes::{AnotherSession, Ended, LOCK_NOT_AVAILABLE, QUERY_CANCELED, has_code};
use self::settings::milliseconds;
use super::{About, Do, Op, Options, Seen, SessionBackend, Tag};
use crate::claim::Claim;
use crate::error::{Error, Result};
use crate::mode::Mode;
use crate::native::{Naming, NativeKey};
use crate::status::Finding;

/// All names are qualified, and `search_path` is set to `pg_catalog`: whoever can make functions in
/// a schema of the application's must not make our locks.
const OPEN: &str = "SELECT pg_catalog.pg_backend_pid(), pg_catalog.version(), \
    pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('server_version_num')::pg_catalog.int4";
const SET: &str = "SELECT pg_catalog.set_config(n, v, false), pg_catalog.pg_backend_pid() \
    FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[])) t(n, v)";
const PING: &str = "SELECT true, pg_catalog.pg_backend_pid()";
const BATCH: &str = "SELECT CASE o \
    WHEN 0 THEN pg_catalog.pg_try_advisory_lock(k) \
    WHEN 1 THEN pg_catalog.pg_advisory_unlock(k) \
    WHEN 2 THEN pg_catalog.pg_cancel_backend(k::pg_catalog.int4) \
    ELSE pg_catalog.pg_terminate_backend(k::pg_catalog.int4) END, pg_catalog.pg_backend_pid() \
    FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.int8[]), pg_catalog.unnest($2::pg_catalog.int2[])) t(k, o)";
/// The timeout is in force for this one statement, and is evaluated before the lock is asked for.
const WAIT: &str = "SELECT pg_catalog.set_config('lock_timeout', $1, true), \
    pg_catalog.pg_advisory_lock($2)::pg_catalog.text, pg_catalog.pg_backend_pid()";
const UNLOCK: &str = "SELECT pg_catalog.pg_advisory_unlock($1), pg_catalog.pg_backend_pid()";
const UNLOCK_ALL: &str = "SELECT pg_catalog.pg_advisory_unlock_all()";
/// A 64-bit key is shown as its two halves, with objsubid 1:
/// <https://www.postgresql.org/docs/current/view-pg-locks.html>
const HELD: &str = "SELECT EXISTS (SELECT FROM pg_catalog.pg_locks l \
    WHERE l.locktype = 'advisory' AND l.granted AND l.pid = pg_catalog.pg_backend_pid() \
    AND l.objsubid = 1 AND (l.classid::pg_catalog.int8 << 32 | l.objid::pg_catalog.int8) = k), \
    pg_catalog.pg_backend_pid() FROM pg_catalog.unnest($1::pg_catalog.int8[]) k";

pub(super) struct Postgres {
    from: From,
    label: Box<str>,
    session_ttl: Duration,
    application_name: Option<String>,
}

enum From {
    Url(Box<PgConnectOptions>),
    /// Its options are read at each connect.
    Pool(PgPool),
}

pub(super) struct Session {
    listener: PgListener,
    /// Of one connection, for the listener's sake.
    pool: PgPool,
    pid: i32,
}

impl Postgres {
    pub(super) fn from_url(url: &str, options: &Options) -> Result<Self> {
        let parsed: PgConnectOptions = url.parse().map_err(|_| {
            // The parser's own words may repeat the url, and so the password.
            Error::config(
                "the postgres:// url cannot be read; \
                 it should look like postgres://user:password@host:5432/database",
            )
        })?;
        Ok(Postgres::new(From::Url(Box::new(parsed)), options))
    }

    pub(super) fn from_pool(pool: PgPool, options: &Options) -> Self {
        Postgres::new(From::Pool(pool), options)
    }

    fn new(from: From, options: &Options) -> Self {
        let connect = from.options();
        let host = connect.get_host();
        let database = connect.get_database().unwrap_or(connect.get_username());
        // Of a url with a slash too few or too many, user and password end up here.
        let database = if database.contains('@') { "…" } else { database };
        Postgres {
            label: format!("postgres ({host}:{}/{database})", connect.get_port()).into(),
            from,
            session_ttl: options.session_ttl,
            application_name: options.application_name.clone(),
        }
    }

    /// What is known of it without asking.
    pub(super) fn about(&self) -> About {
        About {
            label: self.label.clone(),
            naming: Naming::Id,
            modes: &[Mode::Exclusive],
            explain: Box::new(|_| String::new()),
        }
    }

    fn connect_options(&self) -> PgConnectOptions {
        // A wait is not a slow statement.
        let options = self.from.options().disable_statement_logging();
        match (&self.application_name, options.get_application_name()) {
            (Some(name), _) => options.application_name(name),
            (None, None) => options.application_name("dlock"),
            (None, Some(_)) => options,
        }
    }

    /// Reads the answers of a statement whose last column is the session's process id.
    fn answers(&self, session: &Session, rows: &[PgRow], out: &mut Vec<bool>) -> Result<()> {
        for row in rows {
            let pid: i32 = row.try_get(1).map_err(|error| self.error(error))?;
            if pid != session.pid {
                return Err(self.another_session());
            }
            out.push(row.try_get(0).map_err(|error| self.error(error))?);
        }
        Ok(())
    }

    fn another_session(&self) -> Error {
        Error::unavailable(&self.label, AnotherSession)
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

    /// After an error of a blocking `pg_advisory_lock` the lock may be held all the same, when the
    /// grant and the timer (or the cancel) met.
    async fn let_go(&self, session: &mut Session, key: i64) -> Result<()> {
        // A cancel that came too late for the wait may hit this statement.
        let mut tries = 3;
        loop {
            let unlocked = sqlx::query(UNLOCK).bind(key).fetch_all(&mut session.listener).await;
            match unlocked {
                Ok(rows) => return self.answers(session, &rows, &mut Vec::new()),
                Err(error) if tries > 0 && has_code(&error, QUERY_CANCELED) => tries -= 1,
                Err(error) => return Err(self.error(error)),
            }
        }
    }
}

impl From {
    fn options(&self) -> PgConnectOptions {
        match self {
            From::Url(options) => (**options).clone(),
            From::Pool(pool) => (*pool.connect_options()).clone(),
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

    fn supports(&self, mode: Mode) -> bool {
        mode == Mode::Exclusive
    }

    async fn open(&self) -> Result<Session> {
        let options = self.connect_options();
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
        let row = sqlx::query(OPEN).fetch_one(&mut listener).await;
        let row = row.map_err(|error| self.error(error))?;
        let column = |error| self.error(error);
        let pid = row.try_get(0).map_err(column)?;
        let name: String = row.try_get(1).map_err(column)?;
        let standby = row.try_get(2).map_err(column)?;
        let version = row.try_get(3).map_err(column)?;
        self.check(version, &name, standby)?;
        let (names, values): (Vec<_>, Vec<_>) = self.settings(version).into_iter().unzip();
        let set = sqlx::query(SET).bind(names).bind(values).fetch_all(&mut listener).await;
        match set.map_err(|error| self.error(error))?.first().map(|row| row.try_get::<i32, _>(1)) {
            Some(Ok(same)) if same == pid => Ok(Session { listener, pool, pid }),
            _ => Err(self.another_session()),
        }
    }

    fn tag(&self, session: &Session) -> Tag {
        session.pid.into()
    }

    async fn batch(&self, session: &mut Session, ops: &[Op], out: &mut Vec<bool>) -> Result<()> {
        let rows = if ops.is_empty() {
            sqlx::query(PING).fetch_all(&mut session.listener).await
        } else {
            let (keys, codes): (Vec<i64>, Vec<i16>) = ops
                .iter()
                .map(|op| match &op.what {
                    Do::Try(claim) => (id(&claim.key), 0),
                    Do::Unlock(claim) => (id(&claim.key), 1),
                    Do::Cancel(pid) => (*pid, 2),
                    Do::End(pid) => (*pid, 3),
                })
                .unzip();
            sqlx::query(BATCH).bind(keys).bind(codes).fetch_all(&mut session.listener).await
        };
        let rows = rows.map_err(|error| self.error(error))?;
        let before = out.len();
        self.answers(session, &rows, out)?;
        if ops.is_empty() {
            out.truncate(before);
        }
        Ok(())
    }

    async fn wait(&self, session: &mut Session, claim: &Claim, time: Duration) -> Result<bool> {
        let key = id(&claim.key);
        let waited = sqlx::query(WAIT).bind(milliseconds(time)).bind(key);
        let row = match waited.fetch_one(&mut session.listener).await {
            Ok(row) => row,
            Err(error) => {
                let over = has_code(&error, LOCK_NOT_AVAILABLE) || has_code(&error, QUERY_CANCELED);
                if over {
                    self.let_go(session, key).await?;
                    return Ok(false);
                }
                return Err(self.error(error));
            }
        };
        match row.try_get::<i32, _>(2) {
            Ok(pid) if pid == session.pid => Ok(true),
            _ => Err(self.another_session()),
        }
    }

    fn survives(&self, error: &Error) -> bool {
        matches!(error, Error::Backend { .. })
    }

    async fn held(&self, session: &mut Session, claims: &[Claim]) -> Result<Vec<bool>> {
        let keys: Vec<i64> = claims.iter().map(|claim| id(&claim.key)).collect();
        let rows = sqlx::query(HELD).bind(keys).fetch_all(&mut session.listener).await;
        let mut held = Vec::new();
        self.answers(session, &rows.map_err(|error| self.error(error))?, &mut held)?;
        Ok(held)
    }

    async fn status(&self, _: &mut Session, _: Option<&NativeKey>) -> Result<Vec<Seen>> {
        Ok(Vec::new())
    }

    async fn check(&self, _: &mut Session) -> Result<Vec<Finding>> {
        Ok(Vec::new())
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

    async fn close(&self, session: Session) {
        let Session { mut listener, pool, .. } = session;
        // The goodbye is not answered: the server would let go some time after it.
        let _ = sqlx::query(UNLOCK_ALL).execute(&mut listener).await;
        // Its drop gives the connection back to its pool, which closes it.
        drop(listener);
        pool.close().await;
    }
}

fn id(key: &NativeKey) -> i64 {
    match key {
        NativeKey::Id(id) => *id,
        // Not made for this backend; the hash of the name is as good an id as any.
        NativeKey::Name(name) => crate::Key::from(name.as_str()).id(""),
        // Exclusive among programs with dlock, but not yet the pair's own lock.
        NativeKey::Pair(a, b) => crate::Key::pair(*a, *b).id(""),
    }
}
