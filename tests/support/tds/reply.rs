//! What a server answers, before it is bytes.

use std::sync::Arc;

use super::error::Fault;
use super::scope::{Answer, Column};
use super::value::Value;

/// One part of a reply.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    Columns(Arc<Vec<Column>>),
    Row(Vec<Value>),
    /// The end of a statement, with how many rows it was about.
    Done(Option<i64>),
    Error(Fault),
    /// A database, by its name: from and to.
    Database(String, String),
    /// Transactions, by their numbers.
    Began(u64),
    Committed(u64),
    RolledBack(u64),
    /// What a procedure returns.
    Status(i64),
}

/// A result set.
pub(super) fn rows(reply: &mut Vec<Reply>, answer: Answer) {
    let count = i64::try_from(answer.rows.len()).unwrap_or(0);
    reply.push(Reply::Columns(answer.columns));
    reply.extend(answer.rows.into_iter().map(Reply::Row));
    reply.push(Reply::Done(Some(count)));
}
