//! Statements that a client has open.

use std::collections::HashMap;
use std::collections::VecDeque;

use super::answer::{self, End, direction};
use super::fault::Fault;
use super::query::Rows;
use super::request::{self, Request};
use super::runner::{Outcome, Prepared, Runner};
use super::value::Value;
use super::wire::Writer;

/// One of them.
#[derive(Debug)]
struct Cursor {
    sql: String,
    prepared: Prepared,
    /// Types of binds, as the client has them.
    types: Vec<u8>,
    /// Types of columns, and rows that are to be fetched.
    columns: Vec<u8>,
    rows: VecDeque<Vec<Value>>,
}

#[derive(Debug, Default)]
pub(super) struct Cursors {
    open: HashMap<u64, Cursor>,
    last: u64,
}

/// An answer.
#[derive(Debug, Default)]
pub(super) struct Reply {
    pub(super) body: Vec<u8>,
    pub(super) fault: Option<Fault>,
    pub(super) end: End,
}

impl Reply {
    pub(super) fn failed(fault: Fault) -> Self {
        Reply { fault: Some(fault), ..Reply::default() }
    }

    pub(super) fn done(writer: Writer) -> Self {
        Reply { body: writer.0, ..Reply::default() }
    }
}

impl Cursor {
    /// The rows of binds of another execution, for which only what goes in is sent; none: there is
    /// more to come.
    fn again(&self, count: u64, rest: &[u8]) -> Option<Vec<Vec<Value>>> {
        let binds = self.prepared.binds.iter().zip(&self.types);
        let ins: Vec<(usize, u8)> = binds
            .enumerate()
            .filter(|(_, (bind, _))| direction(bind) & 32 != 0)
            .map(|(place, (_, of))| (place, *of))
            .collect();
        let types: Vec<u8> = ins.iter().map(|(_, of)| *of).collect();
        let is_once = self.types.is_empty() || is_query(&self.prepared);
        let sent = request::values(rest, &types, if is_once { 1 } else { count.max(1) })?;
        let values = sent.into_iter().map(|row| {
            let mut values = vec![Value::Null; self.types.len()];
            for ((place, _), value) in ins.iter().zip(row) {
                values[*place] = value;
            }
            values
        });
        Some(values.collect())
    }
}

impl Cursors {
    pub(super) fn close(&mut self, all: &[u64]) {
        self.open.retain(|number, _| !all.contains(number));
    }

    /// What a request is about, to find faults by: its text, and its binds as they come.
    pub(super) fn text_of(&self, request: &Request) -> String {
        let (sql, rest) = match request {
            Request::Execute(execute) => {
                let known = self.open.get(&execute.cursor).map(|cursor| cursor.sql.clone());
                (execute.sql.clone().or(known).unwrap_or_default(), &execute.rest[..])
            }
            Request::Again { cursor, rest, .. } => {
                let known = self.open.get(cursor).map(|cursor| cursor.sql.clone());
                (known.unwrap_or_default(), &rest[..])
            }
            Request::Fetch { .. } => ("FETCH".to_owned(), &[][..]),
            Request::Commit => ("COMMIT".to_owned(), &[][..]),
            Request::Rollback => ("ROLLBACK".to_owned(), &[][..]),
            Request::Ping => ("PING".to_owned(), &[][..]),
            _ => return String::new(),
        };
        sql + "\n" + &String::from_utf8_lossy(rest)
    }

    /// Returns `true` if the request has come as a whole: a statement with all of its binds.
    pub(super) fn has_all(&self, runner: &Runner, request: &Request) -> bool {
        match request {
            Request::Execute(execute) if execute.executes && !execute.types.is_empty() => {
                let known = self.open.get(&execute.cursor).map(|cursor| cursor.prepared.clone());
                let prepared = execute.sql.as_ref().map(|sql| runner.prepare(sql).ok());
                // What cannot be read has no binds.
                let Some(prepared) = prepared.unwrap_or(known) else { return true };
                let sent = sent(&prepared, &execute.types);
                request::values(&execute.rest, &sent, execute.times.max(1)).is_some()
            }
            Request::Again { cursor, count, rest } => {
                self.open.get(cursor).is_none_or(|cursor| cursor.again(*count, rest).is_some())
            }
            _ => true,
        }
    }

    pub(super) fn run(&mut self, runner: &mut Runner, request: Request) -> Reply {
        let done = match request {
            Request::Execute(execute) => self.execute(runner, execute),
            Request::Again { cursor, count, rest } => self.again(runner, cursor, count, &rest),
            Request::Fetch { cursor, count } => self.fetch(cursor, count, Writer::default()),
            _ => Err((0, Fault::numbered(3120))),
        };
        let in_transaction = runner.is_in_transaction();
        match done {
            Ok((mut writer, mut end, at_end)) => {
                end.in_transaction = in_transaction;
                let fault = at_end.then(|| Fault::numbered(1403));
                writer.end(end, fault.as_ref());
                Reply::done(writer)
            }
            Err((cursor, fault)) => Reply {
                fault: Some(fault),
                end: End { cursor, count: 0, in_transaction },
                ..Reply::default()
            },
        }
    }

    fn execute(&mut self, runner: &mut Runner, execute: request::Execute) -> Done {
        let mut number = execute.cursor;
        if let Some(sql) = execute.sql {
            let prepared = runner.prepare(&sql).map_err(|fault| (0, fault))?;
            if !self.open.contains_key(&number) {
                self.last = if self.last >= 60_000 { 1 } else { self.last + 1 };
                number = self.last;
            }
            let cursor = Cursor {
                sql,
                prepared,
                types: Vec::new(),
                columns: Vec::new(),
                rows: VecDeque::new(),
            };
            self.open.insert(number, cursor);
        }
        let cursor = self.open.get_mut(&number).ok_or_else(|| (0, Fault::numbered(1001)))?;
        cursor.types = execute.types;
        if !execute.executes {
            return Ok((Writer::default(), End { cursor: number, ..End::default() }, false));
        }
        let sent = sent(&cursor.prepared, &cursor.types);
        let times = if cursor.types.is_empty() { 1 } else { execute.times.max(1) };
        let values = request::values(&execute.rest, &sent, times)
            .ok_or_else(|| (number, Fault::syntax("binds that end too early")))?;
        self.perform(runner, number, values, execute.rows)
    }

    fn again(&mut self, runner: &mut Runner, number: u64, count: u64, rest: &[u8]) -> Done {
        let cursor = self.open.get(&number).ok_or_else(|| (0, Fault::numbered(1001)))?;
        let values = cursor.again(count, rest);
        let values = values.ok_or_else(|| (number, Fault::syntax("binds that end too early")))?;
        self.perform(runner, number, values, count)
    }

    /// Runs a statement, once for each row of its binds.
    fn perform(
        &mut self,
        runner: &mut Runner,
        number: u64,
        rows: Vec<Vec<Value>>,
        fetched: u64,
    ) -> Done {
        let cursor = self.open.get_mut(&number).ok_or_else(|| (0, Fault::numbered(1001)))?;
        let (prepared, types) = (cursor.prepared.clone(), cursor.types.clone());
        let directions: Vec<u8> = prepared.binds.iter().map(direction).collect();
        let returns = prepared.binds.iter().any(|bind| bind.returns);
        let comes_out = directions.iter().any(|direction| direction & 16 != 0);
        let mut writer = Writer::default();
        let mut end = End { cursor: number, ..End::default() };
        let is_block = matches!(*prepared.statement, super::ast::Statement::Block(_));
        if (is_block || returns) && !directions.is_empty() {
            writer.directions(&directions);
        }
        let failed = |fault| (number, fault);
        for values in rows {
            let Outcome { rows, count, returned } =
                runner.run(&prepared, values).map_err(failed)?;
            end.count += count;
            if returns {
                writer.returned(&returned, &types, &prepared.binds).map_err(failed)?;
            } else if is_block && comes_out {
                writer.out(&runner.binds, &types, &directions).map_err(failed)?;
            }
            if let Some(rows) = rows {
                return self.answer(number, rows, fetched, writer);
            }
        }
        Ok((writer, end, false))
    }

    /// A result's columns and its first rows.
    fn answer(&mut self, number: u64, rows: Rows, fetched: u64, mut writer: Writer) -> Done {
        let types = answer::types(&rows);
        writer.columns(&rows, &types);
        let cursor = self.open.get_mut(&number).ok_or_else(|| (0, Fault::numbered(1001)))?;
        (cursor.columns, cursor.rows) = (types, rows.rows.into());
        self.fetch(number, fetched, writer)
    }

    fn fetch(&mut self, number: u64, count: u64, mut writer: Writer) -> Done {
        let cursor = self.open.get_mut(&number).ok_or_else(|| (0, Fault::numbered(1001)))?;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let rows: Vec<_> = cursor.rows.drain(..count.min(cursor.rows.len())).collect();
        for row in &rows {
            writer.row(row, &cursor.columns).map_err(|fault| (number, fault))?;
        }
        let end = End { cursor: number, count: rows.len() as i64, in_transaction: false };
        // Whether there are more than asked for is not known yet.
        Ok((writer, end, rows.len() < count))
    }
}

/// The types of those binds that are sent: all but those which RETURNING fills.
fn sent(prepared: &Prepared, types: &[u8]) -> Vec<u8> {
    let all = prepared.binds.iter().zip(types);
    all.filter(|(bind, _)| !bind.returns).map(|(_, of)| *of).collect()
}

fn is_query(prepared: &Prepared) -> bool {
    matches!(*prepared.statement, super::ast::Statement::Query(_))
}

/// The answer but its end, the end, and whether there are no more rows; or of which cursor that was an error.
type Done = Result<(Writer, End, bool), (u64, Fault)>;
