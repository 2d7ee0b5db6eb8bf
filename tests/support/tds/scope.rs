//! What names mean where an expression stands.

use std::collections::HashMap;
use std::sync::Arc;

use super::ast::{ColumnDef, Name};
use super::error::Fault;
use super::value::{Type, Value};
use super::world::{Table, World};

/// A column of a table or an answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) of: Type,
    /// Its text compares by bytes.
    pub(super) binary: bool,
}

impl Column {
    pub(super) fn new(name: &str, of: Type) -> Self {
        Column { name: name.to_owned(), of, binary: false }
    }
}

impl From<&ColumnDef> for Column {
    fn from(def: &ColumnDef) -> Self {
        Column { name: def.name.clone(), of: def.of, binary: def.binary }
    }
}

/// Rows, and what they consist of.
#[derive(Debug, Clone, Default)]
pub(super) struct Answer {
    pub(super) columns: Arc<Vec<Column>>,
    pub(super) rows: Vec<Vec<Value>>,
}

/// One table's part of a joined row.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) alias: Arc<str>,
    pub(super) columns: Arc<Vec<Column>>,
    pub(super) values: Arc<Vec<Value>>,
    /// Which of its table's rows it is.
    pub(super) place: usize,
}

pub(super) type Row = Vec<Frame>;

/// What a session has for itself.
#[derive(Debug, Clone)]
pub(super) struct Locals {
    pub(super) id: u16,
    pub(super) login: String,
    pub(super) program: String,
    pub(super) host: String,
    pub(super) database: u32,
    pub(super) variables: HashMap<String, (Type, Value)>,
    pub(super) tables: HashMap<String, Table>,
    /// `@@TRANCOUNT`
    pub(super) transactions: u32,
    /// Nothing but a rollback is left for it.
    pub(super) is_doomed: bool,
    pub(super) lock_timeout: i64,
    pub(super) row_count: i64,
    /// What a CATCH is about.
    pub(super) caught: Option<Fault>,
    /// `@@ERROR`
    pub(super) last_error: u32,
    /// `CONTEXT_INFO()`
    pub(super) context: Vec<u8>,
}

impl Locals {
    /// Of a session that has just begun.
    pub(super) fn new(id: u16, login: &str, program: &str, host: &str, database: u32) -> Self {
        Locals {
            id,
            login: login.into(),
            program: program.into(),
            host: host.into(),
            database,
            variables: HashMap::new(),
            tables: HashMap::new(),
            transactions: 0,
            is_doomed: false,
            lock_timeout: -1,
            row_count: 0,
            caught: None,
            last_error: 0,
            context: Vec::new(),
        }
    }
}

/// Where an expression stands: in a row, in a query, in another query.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) world: &'a World,
    pub(super) locals: &'a Locals,
    pub(super) frames: &'a [Frame],
    /// The rows of its group, for functions over all of them.
    pub(super) group: Option<&'a [Row]>,
    /// Queries that WITH has named.
    pub(super) named: &'a [(String, Answer)],
    pub(super) outer: Option<&'a Scope<'a>>,
}

impl<'a> Scope<'a> {
    /// Outside of any row.
    pub(super) fn new(world: &'a World, locals: &'a Locals) -> Self {
        Scope { world, locals, frames: &[], group: None, named: &[], outer: None }
    }

    /// The same in that row.
    pub(super) fn at(&self, frames: &'a [Frame]) -> Scope<'a> {
        Scope { frames, group: None, ..*self }
    }

    /// A scope inside this one.
    pub(super) fn inside(&'a self, named: &'a [(String, Answer)]) -> Scope<'a> {
        Scope { frames: &[], group: None, named, outer: Some(self), ..*self }
    }

    /// A column and its value.
    pub(super) fn column(&self, name: &Name) -> Result<(&Column, &Value), Fault> {
        if let Some(found) = find(self.frames, name) {
            return Ok(found);
        }
        match self.outer {
            Some(outer) => outer.column(name),
            None => Err(Fault::new(207, format!("Invalid column name '{}'.", name[0]))),
        }
    }

    pub(super) fn named(&self, name: &str) -> Option<&Answer> {
        let own = self.named.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        match own {
            Some((_, answer)) => Some(answer),
            None => self.outer.and_then(|outer| outer.named(name)),
        }
    }

    pub(super) fn variable(&self, name: &str) -> Result<&(Type, Value), Fault> {
        self.locals.variables.get(name).ok_or_else(|| undeclared(name))
    }
}

/// That there is no such variable.
pub(super) fn undeclared(name: &str) -> Fault {
    Fault::new(137, format!("Must declare the scalar variable \"{name}\"."))
}

/// A column in a row, by `name` or `alias.name`.
pub(super) fn find<'a>(frames: &'a [Frame], name: &Name) -> Option<(&'a Column, &'a Value)> {
    let wanted =
        |frame: &&Frame| name.get(1).is_none_or(|alias| frame.alias.eq_ignore_ascii_case(alias));
    frames.iter().filter(wanted).find_map(|frame| {
        let place =
            frame.columns.iter().position(|column| column.name.eq_ignore_ascii_case(&name[0]))?;
        Some((&frame.columns[place], &frame.values[place]))
    })
}
