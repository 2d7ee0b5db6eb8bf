//! Fencing tokens: a counter for each key, in its row of the lease table.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use sqlx::AssertSqlSafe;

use super::errors::{NO_DATABASE_NAMED, kind_of, number};
use super::polling::{Flag, text};
use super::{MySql, Session, session_sql};
use crate::backend::errors::{Busy, ErrorKind};
use crate::backend::lease::{Rights, ddl, name};
use crate::backend::{Answer, BatchItem, Op, SessionLocks as _, rows};
use crate::error::{Error, Result, cause};

/// How long others may keep the row of a token, or its table, in seconds: less than a server
/// may take to answer what it need not wait for.
const PATIENCE: &str = "SET SESSION innodb_lock_wait_timeout=2,lock_wait_timeout=2";

impl MySql {
    /// Tries and unlocks of which some draw tokens: in one packet with the locks, after them.
    pub(super) async fn fenced_locks(
        &self,
        session: &mut Session,
        ops: &[BatchItem],
        out: &mut Vec<Answer>,
    ) -> Result<()> {
        let table = self.table.quoted('`');
        if !session.fences {
            self.prepare(session, &table).await?;
            session.fences = true;
        }
        let ignores_case = session.server.family.ignores_case();
        let sql = session_sql::fenced(session.server.proof(), &table, ops, ignores_case);
        let sql = AssertSqlSafe(sql);
        let rows = match rows::ask(&mut session.connection, sqlx::raw_sql(sql)).all().await {
            Ok(rows) => rows,
            Err(error) => {
                // The table may have been dropped so as to get a new one.
                session.fences = kind_of(&error) != ErrorKind::NoTable;
                let error = self.fence_error(error, &table);
                // Only a session that is in no transaction goes on.
                if self.survives(&error) {
                    self.rows(&mut session.connection, "ROLLBACK".into()).await?;
                }
                return Err(error);
            }
        };
        let [first, tokens @ ..] = &rows[..] else {
            return Err(self.strange("no row"));
        };
        let flags = self.read_flags(session, first, ops.len())?;
        let token = |row| Some((text(row, 0)?, text(row, 1)?.parse().ok()?));
        let tokens: HashMap<String, u64> = tokens.iter().filter_map(token).collect();
        for (op, flag) in ops.iter().zip(flags) {
            let done = self.done(op, flag)?;
            out.push(match &op.what {
                Op::TryFenced(lock_id) | Op::Fence(lock_id) if done == Answer::Yes => {
                    let token = tokens.get(&*name(&lock_id.key));
                    Answer::Fence(*token.ok_or_else(|| self.strange("no token"))?)
                }
                _ => done,
            });
        }
        Ok(())
    }

    /// Finds the table, or makes it.
    async fn prepare(&self, session: &mut Session, table: &str) -> Result<()> {
        self.rows(&mut session.connection, PATIENCE.into()).await?;
        if let Some(flush) = session.server.flush.as_deref().filter(|flush| *flush != "1")
            && !self.warned.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                target: "dlock",
                backend = &*self.label,
                "innodb_flush_log_at_trx_commit is {flush}: after a crash of the server a fencing \
                 token may be given out once more; set it to 1"
            );
        }
        let look = AssertSqlSafe(format!("SELECT name,fence FROM {table} LIMIT 0"));
        let look = rows::ask(&mut session.connection, sqlx::raw_sql(look)).none().await;
        match look.map_err(|error| (kind_of(&error), error)) {
            Ok(_) => return Ok(()),
            Err((ErrorKind::NoTable, _)) => {}
            // It may be there or not.
            Err((ErrorKind::NoRight, error)) => return Err(self.no_table(error, table)),
            Err((_, error)) if number(&error) == Some(NO_DATABASE_NAMED) => {
                return Err(Error::config(
                    "the url names no database, so there is none for the table of fencing tokens; \
                     add one to the url, or name one: LeaseOptions::table(\"database.table\")",
                ));
            }
            Err((_, error)) => return Err(self.fence_error(error, table)),
        }
        let ddl = ddl::mysql(&self.table);
        let made =
            rows::ask(&mut session.connection, sqlx::raw_sql(AssertSqlSafe(ddl))).none().await;
        match made.map_err(|error| (kind_of(&error), error)) {
            Ok(_) => Ok(()),
            Err((ErrorKind::NoRight, error)) => Err(self.no_table(error, table)),
            Err((_, error)) => Err(self.fence_error(error, table)),
        }
    }

    fn no_table(&self, error: sqlx::Error, table: &str) -> Error {
        let (ddl, why) = (ddl::mysql(&self.table), "and this user may neither see nor make it");
        self.rights(table).no_table_for_tokens(why, ddl, cause(error))
    }

    fn rights<'a>(&'a self, table: &'a str) -> Rights<'a> {
        Rights { label: &self.label, table, user: "the user" }
    }

    fn fence_error(&self, error: sqlx::Error, table: &str) -> Error {
        match kind_of(&error) {
            kind if kind.is_busy() => Busy::token(&self.label, cause(error)),
            ErrorKind::NoRight => self.rights(table).missing_for_tokens(cause(error)),
            _ => self.error(error),
        }
    }

    /// What a function of locks says of a try or of an unlock.
    pub(super) fn done(&self, op: &BatchItem, flag: Flag) -> Result<Answer> {
        match (&op.what, flag) {
            (_, Flag::Yes) => Ok(Answer::Yes),
            (_, Flag::No) | (Op::Unlock(_) | Op::Fence(_), Flag::Null) => Ok(Answer::No),
            // Out of memory, or what else nobody knows: the session goes on, and what it holds is
            // read back.
            (_, Flag::Null) => Err(self.null()),
        }
    }
}
