//! Batches of one or two locks, as most are: the server has their statements prepared.
//!
//! It then does a quarter of the work for each (MariaDB 10.11 runs 43,000 instructions for an acquire and
//! its release, and 179,000 if both come as text). The first use of each form costs a session one more
//! round trip.

use std::sync::Arc;

use sqlx::mysql::MySqlArguments;
use sqlx::{Arguments as _, AssertSqlSafe, Executor as _, SqlSafeStr as _};

use super::errors::number;
use super::{MySql, Session, session_sql};
use crate::backend::{BatchItem, Op};
use crate::error::Result;
use crate::spec::name::LONGEST;

/// How many forms there are: a try and an unlock, each alone, and two of them.
pub(super) const FORMS: usize = 6;

/// The form of a batch, if it is one that is prepared.
fn form(ops: &[BatchItem]) -> Option<usize> {
    let kind = |op: &BatchItem| match op.what {
        Op::Try(_) => Some(0),
        Op::Unlock(_) => Some(1),
        _ => None,
    };
    match ops {
        [one] => kind(one),
        [one, other] => Some(2 + 2 * kind(one)? + kind(other)?),
        _ => None,
    }
}

/// What a session has prepared.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    forms: [Option<Arc<str>>; FORMS],
    /// The server has refused to prepare one.
    refused: bool,
}

impl MySql {
    /// Returns the prepared statement for this batch, which lacks the [arguments](Self::arguments), or
    /// `None` if the batch is to be sent as text.
    pub(super) async fn prepared(
        &self,
        session: &mut Session,
        ops: &[BatchItem],
    ) -> Result<Option<AssertSqlSafe<Arc<str>>>> {
        // In a group, each answer says what stands in a table of the server's: that is asked as text.
        if session.prepared.refused || session.server.grouped {
            return Ok(None);
        }
        let Some(form) = form(ops) else { return Ok(None) };
        if let Some(sql) = &session.prepared.forms[form] {
            return Ok(Some(AssertSqlSafe(Arc::clone(sql))));
        }
        let ignores_case = session.server.family.ignores_case();
        let sql: Arc<str> = session_sql::form(session.server.proof(), ops, ignores_case).into();
        let statement = AssertSqlSafe(Arc::clone(&sql)).into_sql_str();
        match session.connection.prepare(statement).await {
            Ok(_) => {
                session.prepared.forms[form] = Some(Arc::clone(&sql));
                Ok(Some(AssertSqlSafe(sql)))
            }
            // Perhaps all clients together have as many as max_prepared_stmt_count allows. If it is
            // something else, the server says so again of the text.
            Err(error) if number(&error).is_some() => {
                session.prepared.refused = true;
                Ok(None)
            }
            Err(error) => Err(self.error(error)),
        }
    }

    /// Returns the names for the prepared statement of this batch.
    pub(super) fn arguments(
        &self,
        ops: &[BatchItem],
        ignores_case: bool,
    ) -> Result<MySqlArguments> {
        let mut arguments = MySqlArguments::default();
        // Two names for each, with the byte before each that says how long it is.
        arguments.reserve(2 * ops.len(), 2 * ops.len() * (LONGEST + 1));
        for name in session_sql::names(ops, ignores_case) {
            let added = arguments.add(&*name);
            added.map_err(|error| self.error(sqlx::Error::Encode(error)))?;
        }
        Ok(arguments)
    }
}
