//! Fencing tokens: a counter for each key, in its row of the lease table, drawn in the batch that takes
//! the lock.

use std::collections::HashMap;

use tiberius::{Query, Row};

use super::errors::names_procedures;
use super::results;
use super::session::{DriverOrOurs, Session, name};
use super::session_sql as sql;
use super::{Mssql, table};
use crate::backend::errors::ErrorKind;
use crate::backend::lease;
use crate::backend::{Answer, BatchItem, Op};
use crate::error::Result;

impl Mssql {
    /// Tries and unlocks of which some draw tokens, in one batch.
    pub(super) async fn fenced_locks(
        &self,
        session: &mut Session,
        ops: &[BatchItem],
        out: &mut Vec<Answer>,
    ) -> Result<()> {
        if !session.fences {
            table::prepare(&self.label, &self.tokens, &mut session.connection).await?;
            session.fences = true;
        }
        let drawn: Vec<(usize, &BatchItem)> =
            (1..).zip(ops).filter(|(_, op)| op.what.is_written()).collect();
        // Rows are written in one order, so that two who write the same ones do not meet in a
        // deadlock.
        let mut rows: Vec<(usize, Vec<u8>)> = drawn
            .iter()
            .filter_map(|(n, op)| {
                Some((*n, lease::name(&op.what.lock_id()?.key).into_owned().into()))
            })
            .collect();
        rows.sort_by(|(_, one), (_, other)| one.cmp(other));
        let mut text = sql::batch(ops.iter().map(|op| &op.what));
        let parameters: Vec<(usize, usize)> =
            rows.iter().zip(ops.len() + 1..).map(|((code, _), name)| (*code, name)).collect();
        // Before the row of codes.
        text.insert_str(text.len() - sql::SELECT.len(), &self.tokens.draw(&parameters));
        sql::columns(&mut text, ops.len());
        let mut query = Query::new(text);
        for op in ops {
            if let Some(id) = op.what.lock_id() {
                query.bind(name(&id.key));
            }
        }
        rows.into_iter().for_each(|(_, name)| query.bind(name));
        let answer = async { results::all(query.query(&mut session.connection).await?).await };
        let results = match answer.await {
            Ok(results) => results,
            Err(error) => return Err(self.not_drawn(session, DriverOrOurs::Driver(error))),
        };
        let [tokens, codes] = &results[..] else { return Err(self.unexpected("not two results")) };
        let [codes] = &codes[..] else { return Err(self.unexpected("not one row")) };
        self.same_session(session, codes)?;
        let token = |row: &Row| {
            let name = row.try_get::<&[u8], _>(0).ok().flatten()?.to_vec();
            let token = row.try_get::<i64, _>(1).ok().flatten()?;
            Some((name, u64::try_from(token).ok()?))
        };
        let tokens: HashMap<Vec<u8>, u64> = tokens.iter().filter_map(token).collect();
        for (column, op) in ops.iter().enumerate() {
            let done = self.done(session, op, self.code(codes, column)?)?;
            out.push(match &op.what {
                Op::TryFenced(id) | Op::Fence(id) if done == Answer::Yes => {
                    let token = tokens.get(lease::name(&id.key).as_bytes());
                    Answer::Fence(*token.ok_or_else(|| self.unexpected("no token"))?)
                }
                _ => done,
            });
        }
        Ok(())
    }

    /// Why there is no token. What is locked is read back.
    fn not_drawn(&self, session: &mut Session, error: DriverOrOurs) -> crate::error::Error {
        match (error.kind(), error) {
            // It may be made anew.
            (ErrorKind::NoTable, error) => {
                session.fences = false;
                self.failed(error)
            }
            (ErrorKind::NoRight, DriverOrOurs::Driver(error))
                if !names_procedures(&error.to_string()) =>
            {
                table::no_right(&self.label, &self.tokens, std::sync::Arc::new(error))
            }
            (_, error) => self.failed(error),
        }
    }
}
