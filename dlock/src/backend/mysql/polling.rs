//! What a session is asked, and what its answers mean.

use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::{AssertSqlSafe, Row as _};

use super::errors::{NO_SUCH_SESSION, NoPrimary, kind_of, number};
use super::session_sql;
use super::{MySql, Session};
use crate::backend::errors::{ErrorKind, another_session, unexpected};
use crate::backend::{Answer, BatchItem, rows};
use crate::error::{Error, Result};

impl MySql {
    /// The rows of a statement.
    pub(super) async fn rows(
        &self,
        connection: &mut MySqlConnection,
        sql: String,
    ) -> Result<Vec<MySqlRow>> {
        let rows = rows::ask(connection, sqlx::raw_sql(AssertSqlSafe(sql))).all().await;
        rows.map_err(|error| self.error(error))
    }

    /// Makes sure that an answer comes from the session that was opened, on a server that is still
    /// what it was then.
    fn vouch(&self, session: &Session, proof: Option<&str>) -> Result<()> {
        match proof {
            Some(proof) if proof == session.proof => Ok(()),
            Some(proof) if proof.split('/').next() == Some(&session.id.to_string()) => {
                Err(Error::unavailable(&self.label, NoPrimary))
            }
            _ => Err(another_session(&self.label, "sessions of the server", "proxy")),
        }
    }

    /// The answer of a statement of one row, whose second column is the session's proof.
    pub(super) async fn ask(
        &self,
        session: &mut Session,
        sql: String,
    ) -> Result<Option<String>, Failed> {
        let rows =
            rows::ask(&mut session.connection, sqlx::raw_sql(AssertSqlSafe(sql))).all().await;
        let rows = rows.map_err(Failed::Sql)?;
        let [row] = &rows[..] else {
            return Err(Failed::Other(self.strange("not one row")));
        };
        self.vouch(session, text(row, 1).as_deref()).map_err(Failed::Other)?;
        Ok(text(row, 0))
    }

    /// Reads answers of a character each.
    pub(super) fn read_flags<'r>(
        &self,
        session: &Session,
        row: &'r MySqlRow,
        count: usize,
    ) -> Result<impl Iterator<Item = Flag> + 'r> {
        let answer = column(row, 0).and_then(|answer| str::from_utf8(answer).ok());
        let answer = answer.unwrap_or_default();
        let (flags, proof) = answer.split_once('/').unwrap_or_default();
        self.vouch(session, Some(proof))?;
        if flags.len() != count || !flags.chars().all(|flag| Flag::of(flag).is_some()) {
            return Err(self.strange(answer));
        }
        Ok(flags.chars().filter_map(Flag::of))
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
        let ignores_case = session.server.family.ignores_case();
        let row = if let Some(sql) = self.prepared(session, ops).await? {
            let query = sqlx::query_with(sql, self.arguments(ops, ignores_case)?);
            rows::ask(&mut session.connection, query).one().await
        } else {
            let sql = session_sql::batch(session.server.proof(), ops, ignores_case);
            rows::ask(&mut session.connection, sqlx::raw_sql(AssertSqlSafe(sql))).one().await
        };
        let row = row.map_err(|error| self.error(error))?;
        for (op, flag) in ops.iter().zip(self.read_flags(session, &row, ops.len())?) {
            out.push(self.done(op, flag)?);
        }
        Ok(())
    }

    /// Whether there was such a session to stop or to end.
    pub(super) async fn kill(&self, session: &mut Session, sql: String) -> Result<bool> {
        match rows::ask(&mut session.connection, sqlx::raw_sql(AssertSqlSafe(sql))).none().await {
            Ok(_) => Ok(true),
            Err(error) if number(&error).is_some_and(|n| NO_SUCH_SESSION.contains(&n)) => Ok(false),
            Err(error) => Err(self.error(error)),
        }
    }

    pub(super) fn failed(&self, failed: Failed) -> Error {
        match failed {
            Failed::Sql(error) => self.error(error),
            Failed::Other(error) => error,
        }
    }

    pub(super) fn strange(&self, answer: &str) -> Error {
        unexpected(&self.label, answer)
    }
}

/// Why a statement has no answer.
pub(super) enum Failed {
    Sql(sqlx::Error),
    Other(Error),
}

impl Failed {
    /// The server has stopped what the session was doing, and goes on with it.
    pub(super) fn is_ended_wait(&self) -> bool {
        let is_end = |kind| matches!(kind, ErrorKind::TimedOut | ErrorKind::Stopped);
        matches!(self, Failed::Sql(error) if is_end(kind_of(error)))
    }
}

/// What a function of locks says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Flag {
    Yes,
    No,
    Null,
}

impl Flag {
    fn of(answer: char) -> Option<Self> {
        match answer {
            '1' => Some(Flag::Yes),
            '0' => Some(Flag::No),
            session_sql::NULL => Some(Flag::Null),
            _ => None,
        }
    }
}

/// What is in a column, whatever type the server calls it: the two do not agree on the types of these
/// functions.
fn column(row: &MySqlRow, column: usize) -> Option<&[u8]> {
    row.try_get_unchecked::<Option<&[u8]>, _>(column).ok()?
}

/// The same as text.
pub(crate) fn text(row: &MySqlRow, at: usize) -> Option<String> {
    String::from_utf8(column(row, at)?.to_vec()).ok()
}

pub(crate) fn integer(row: &MySqlRow, column: usize) -> Option<i64> {
    text(row, column)?.parse().ok()
}
