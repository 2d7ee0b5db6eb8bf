//! Fencing tokens: a counter for each key, in its row of the lease table.
//!
//! Not a sequence: what those gave before a crash, they may give again after it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use sqlx::{AssertSqlSafe, Row as _};

use super::Postgres;
use super::errors::kind_of;
use super::session::{Fences, Session};
use super::session_sql::fenced;
use crate::backend::errors::{Busy, ErrorKind};
use crate::backend::lease::{Rights, ddl, name};
use crate::backend::{Answer, BatchItem, Op};
use crate::error::{Error, Result, Source, cause};

/// Whether the table is there; and a token that was given out is to outlast a crash.
const PREPARE: &str = "SELECT pg_catalog.to_regclass($1) IS NOT NULL, \
    pg_catalog.set_config('synchronous_commit', \
    CASE WHEN c IN ('off', 'local') THEN 'on' ELSE c END, false), \
    pg_catalog.current_setting('fsync'), pg_catalog.pg_backend_pid() \
    FROM pg_catalog.current_setting('synchronous_commit') c";

impl Postgres {
    /// A batch in which tokens are drawn: in the same statement as the locks are taken, after them.
    pub(super) async fn fenced_batch(
        &self,
        session: &mut Session,
        ops: &[BatchItem],
        out: &mut Vec<Answer>,
    ) -> Result<()> {
        let fences = match session.fences.take() {
            Some(fences) => fences,
            None => self.prepare(session).await?,
        };
        let (keys, codes): (Vec<i64>, Vec<i16>) =
            ops.iter().map(|op| super::session_sql::part(&op.what)).unzip();
        let names: Vec<_> = ops.iter().map(|op| counter(&op.what)).collect();
        let batch = sqlx::query(AssertSqlSafe(fences.batch.clone()));
        let batch = batch.bind(keys).bind(codes).bind(names);
        let rows = match session.fetch_all(batch).await {
            Ok(rows) => rows,
            Err(error) => {
                // The table may have been dropped so as to get a new one.
                let gone = kind_of(&error) == ErrorKind::NoTable;
                let error = self.fence_error(error, &fences.table);
                session.fences = Some(fences).filter(|_| !gone);
                return Err(error);
            }
        };
        session.fences = Some(fences);
        self.same_session(session, &rows)?;
        for (op, row) in ops.iter().zip(&rows) {
            let yes: bool = row.try_get(0).map_err(|error| self.error(error))?;
            let token: Option<i64> = row.try_get(1).map_err(|error| self.error(error))?;
            out.push(match (counter(&op.what), token) {
                (None, _) => yes.into(),
                (Some(_), _) if !yes => Answer::No,
                (Some(_), token) => Answer::Fence(self.token(token)?),
            });
        }
        Ok(())
    }

    /// Finds the table, or makes it.
    async fn prepare(&self, session: &mut Session) -> Result<Fences> {
        let mut table = self.table.clone();
        if table.schema.is_none() {
            table.schema = session.schema.as_deref().map(Into::into);
        }
        if table.schema.is_none() {
            return Err(Error::config(
                "no schema is current for this role, so there is none for the table of fencing \
                 tokens; name one: LeaseOptions::table(\"schema.table\")",
            ));
        }
        let quoted = table.quoted('"');
        if !self.is_there(session, &quoted).await? {
            let ddl = ddl::postgres(&table);
            let made = sqlx::raw_sql(AssertSqlSafe(ddl.clone()));
            match session.execute(made).await {
                Ok(_) => {}
                Err(error) if kind_of(&error) == ErrorKind::TableExists => {}
                Err(error) if kind_of(&error) == ErrorKind::NoRight => {
                    let rights = Rights { label: &self.label, table: &quoted, user: "the role" };
                    let why = "which is not there, and this role may not make it";
                    return Err(rights.no_table_for_tokens(why, ddl, cause(error)));
                }
                Err(error) => return Err(self.fence_error(error, &quoted)),
            }
        }
        Ok(Fences { batch: fenced(&quoted), table: quoted })
    }

    async fn is_there(&self, session: &mut Session, table: &str) -> Result<bool> {
        let rows = session.fetch_all(sqlx::query(PREPARE).bind(table)).await;
        let rows = rows.map_err(|error| self.fence_error(error, table))?;
        self.same_session(session, &rows)?;
        if rows.first().and_then(|row| row.try_get::<String, _>(2).ok()).as_deref() == Some("off")
            && !self.warned.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                target: "dlock",
                backend = &*self.label,
                "fsync is off: after a crash of the server's machine a fencing token may be given out \
                 once more; turn it on"
            );
        }
        let there = rows.first().map(|row| row.try_get(0));
        there.unwrap_or(Ok(false)).map_err(|error| self.error(error))
    }

    fn token(&self, token: Option<i64>) -> Result<u64> {
        let token = token.and_then(|token| u64::try_from(token).ok());
        token.ok_or_else(|| {
            let source: Source = Arc::from(Box::from("the row of a fencing token has none"));
            Error::backend(&self.label, source)
        })
    }

    fn fence_error(&self, error: sqlx::Error, table: &str) -> Error {
        match kind_of(&error) {
            ErrorKind::TimedOut | ErrorKind::Busy | ErrorKind::Deadlock => {
                Busy::token(&self.label, cause(error))
            }
            ErrorKind::NoRight => {
                let user = "the role (and USAGE on its schema)";
                Rights { label: &self.label, table, user }.missing_for_tokens(cause(error))
            }
            _ => self.error(error),
        }
    }
}

/// Which counter a part of a batch draws from, if from any.
fn counter(what: &Op) -> Option<String> {
    match what {
        Op::TryFenced(lock_id) | Op::Fence(lock_id) => Some(name(&lock_id.key).into_owned()),
        Op::Try(_) | Op::Unlock(_) | Op::Cancel(_) | Op::End(_) => None,
    }
}
