//! Waits: a statement that the server ends when the lock is granted, when the time is over, or when it
//! is told to.
//!
//! An error that ends a statement is an `ERROR` line in the server's log, even if it is as ordinary as
//! the end of a wait. One that a block of PL/pgSQL catches is not. To set up a block takes a server longer
//! than the lock does, so it is left out while the lock goes from hand to hand: then waits are granted.

use std::time::Duration;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Row as _};

use super::Postgres;
use super::errors::{code, kind, kind_of};
use super::session::Session;
use super::session_sql;
use super::session_sql::{HELD, halves};
use super::settings::milliseconds;
use crate::backend::errors::{ErrorKind, unexpected};
use crate::backend::{SessionWaits, Waited};
use crate::error::Result;
use crate::spec::lock_id::LockId;

/// What comes of a block where there is no PL/pgSQL (`undefined_object`), or the role may not use it.
const NO_BLOCKS: [&str; 2] = ["42704", "42501"];
const GRANTED: &str = "granted";

/// A block that waits, and catches the end of the wait. The grant and that end may have met: then the
/// lock is held all the same, and given back. What varies is in settings, so that the server's
/// statistics of statements see four statements and not one for each key.
macro_rules! block {
    ($shared:literal, $space:literal, $key:expr) => {
        concat!(
            "DO $dlock$BEGIN PERFORM \
             pg_catalog.set_config('lock_timeout',pg_catalog.current_setting('dlock.time'),true),\
             pg_catalog.pg_advisory_lock",
            $shared,
            "(",
            $key,
            ");EXCEPTION WHEN lock_not_available OR query_canceled OR deadlock_detected THEN \
             IF EXISTS(SELECT FROM pg_catalog.pg_locks l WHERE l.locktype = 'advisory' AND l.granted \
             AND l.pid = pg_catalog.pg_backend_pid() AND l.objsubid = ",
            $space,
            " AND (l.classid::pg_catalog.int8 << 32 | l.objid::pg_catalog.int8) = ",
            id!(),
            ") THEN PERFORM pg_catalog.pg_advisory_unlock",
            $shared,
            "(",
            $key,
            ");END IF;PERFORM pg_catalog.set_config('dlock.end',SQLSTATE,true);END$dlock$"
        )
    };
}
macro_rules! id {
    () => {
        "pg_catalog.current_setting('dlock.key')::pg_catalog.int8"
    };
}
macro_rules! pair {
    () => {
        halves!("pg_catalog.current_setting('dlock.key')::pg_catalog.int8")
    };
}
/// By the code of the lock, halved.
const BLOCKS: [&str; 4] = [
    block!("", "1", id!()),
    block!("_shared", "1", id!()),
    block!("", "2", pair!()),
    block!("_shared", "2", pair!()),
];

/// Waits in a block; how it ended is the last row.
fn block(lock_id: &LockId, timeout: &str) -> String {
    let (key, code) = session_sql::lock(lock_id);
    let block = BLOCKS[usize::from(code.unsigned_abs() / 2) % BLOCKS.len()];
    format!(
        "SELECT pg_catalog.set_config('dlock.key','{key}',true),\
         pg_catalog.set_config('dlock.time','{timeout}',true),\
         pg_catalog.set_config('dlock.end','{GRANTED}',true);{block};\
         SELECT pg_catalog.current_setting('dlock.end'),pg_catalog.pg_backend_pid()"
    )
}

/// Waits without a block. The timeout is in force for this one statement, and is evaluated before the lock is asked
/// for.
fn plain(lock_id: &LockId, timeout: String) -> Query<'static, sqlx::Postgres, PgArguments> {
    let (key, code) = session_sql::lock(lock_id);
    let sql = match code {
        0 => {
            "SELECT pg_catalog.set_config('lock_timeout', $1, true), \
            pg_catalog.pg_advisory_lock($2), pg_catalog.pg_backend_pid()"
        }
        2 => {
            "SELECT pg_catalog.set_config('lock_timeout', $1, true), \
            pg_catalog.pg_advisory_lock_shared($2), pg_catalog.pg_backend_pid()"
        }
        4 => concat!(
            "SELECT pg_catalog.set_config('lock_timeout', $1, true), pg_catalog.pg_advisory_lock(",
            halves!("$2"),
            "), pg_catalog.pg_backend_pid()"
        ),
        _ => concat!(
            "SELECT pg_catalog.set_config('lock_timeout', $1, true), \
            pg_catalog.pg_advisory_lock_shared(",
            halves!("$2"),
            "), pg_catalog.pg_backend_pid()"
        ),
    };
    sqlx::query(sql).bind(timeout).bind(key)
}

impl SessionWaits for Postgres {
    async fn wait(
        &self,
        session: &mut Session,
        lock_id: &LockId,
        time: Duration,
    ) -> Result<Waited> {
        let time = milliseconds(time);
        let waited = if session.waits.needs_no_block() {
            self.wait_plainly(session, lock_id, time).await?
        } else {
            self.wait_in_block(session, lock_id, time).await?
        };
        session.waits.note(waited);
        Ok(waited)
    }
}

impl Postgres {
    async fn wait_in_block(
        &self,
        session: &mut Session,
        lock_id: &LockId,
        time: String,
    ) -> Result<Waited> {
        let rows = sqlx::raw_sql(AssertSqlSafe(block(lock_id, &time)));
        let rows = match session.fetch_all(rows).await {
            Ok(rows) => rows,
            Err(error) if code(&error).is_some_and(|code| NO_BLOCKS.contains(&&*code)) => {
                session.waits.have_no_blocks();
                return self.wait_plainly(session, lock_id, time).await;
            }
            // A cancel that came when the block had ended.
            Err(error) => return self.ended(session, lock_id, error).await,
        };
        let row = rows.last().map(std::slice::from_ref).unwrap_or_default();
        self.same_session(session, row)?;
        let end = row.first().map_or(Ok(String::new()), |row| row.try_get(0));
        let end = end.map_err(|error| self.error(error))?;
        match &*end {
            GRANTED => Ok(Waited::Granted),
            end => waited(kind(end)).ok_or_else(|| unexpected(&self.label, &format!("{end:?}"))),
        }
    }

    async fn wait_plainly(
        &self,
        session: &mut Session,
        lock_id: &LockId,
        time: String,
    ) -> Result<Waited> {
        match session.fetch_one(plain(lock_id, time)).await {
            Ok(row) => self.same_session(session, &[row]).map(|()| Waited::Granted),
            Err(error) => self.ended(session, lock_id, error).await,
        }
    }

    /// How a statement has ended that was not granted the lock, or was, and then stopped.
    async fn ended(
        &self,
        session: &mut Session,
        lock_id: &LockId,
        error: sqlx::Error,
    ) -> Result<Waited> {
        let Some(waited) = waited(kind_of(&error)) else {
            return Err(self.error(error));
        };
        // A cancel that came too late for the wait may hit the next statement.
        let mut tries = 3;
        loop {
            match self.unlock_if_held(session, lock_id).await {
                Ok(rows) => return self.same_session(session, &rows).map(|()| waited),
                Err(error) if tries > 0 && kind_of(&error) == ErrorKind::Stopped => tries -= 1,
                Err(error) => return Err(self.error(error)),
            }
        }
    }

    /// An unlock of what is not held is a warning in the server's log: so it is looked up first.
    async fn unlock_if_held(
        &self,
        session: &mut Session,
        lock_id: &LockId,
    ) -> sqlx::Result<Vec<PgRow>> {
        let (key, code) = session_sql::lock(lock_id);
        let held = sqlx::query(HELD).bind(vec![key]).bind(vec![code]);
        let mut rows = vec![session.fetch_one(held).await?];
        let held: Option<Vec<bool>> = rows.first().map(|row| row.try_get(0)).transpose()?;
        if held.is_some_and(|held| held.contains(&true)) {
            rows.push(
                session.fetch_one(session_sql::batch(&[session_sql::unlock(lock_id)])).await?,
            );
        }
        Ok(rows)
    }
}

/// What the server's error says of a wait.
fn waited(kind: ErrorKind) -> Option<Waited> {
    match kind {
        ErrorKind::TimedOut | ErrorKind::Stopped => Some(Waited::Busy),
        ErrorKind::Deadlock => Some(Waited::Deadlock),
        _ => None,
    }
}
