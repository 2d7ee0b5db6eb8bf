//! Tables, and the versions of their rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ast::Column;
use super::value::Value;

/// A row's values.
pub(super) type Cells = Arc<[Value]>;

/// A table, and what is in it, by the primary key.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    pub(super) names: Arc<[String]>,
    /// Columns of the primary key.
    pub(super) key: Vec<usize>,
    pub(super) rows: BTreeMap<String, Row>,
    next: u64,
}

/// A row as all see it, and as the transaction sees it that changes it.
#[derive(Debug, Clone, Default)]
pub(super) struct Row {
    committed: Option<Cells>,
    pending: Option<(u64, Option<Cells>)>,
}

/// What a transaction has changed: a row of a table, and how it was before.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) table: String,
    pub(super) key: String,
    pub(super) before: Option<Row>,
}

/// Why a row cannot be written.
#[derive(Debug, PartialEq)]
pub(super) enum Refusal {
    /// That transaction is at it.
    Blocked(u64),
    /// It is there already, or not as it was read.
    Changed,
}

impl Row {
    /// As transactions see it that are these.
    pub(super) fn seen_by(&self, transactions: &[u64]) -> Option<&Cells> {
        match &self.pending {
            Some((by, cells)) if transactions.last() == Some(by) => cells.as_ref(),
            _ => self.committed.as_ref(),
        }
    }
}

impl Table {
    pub(super) fn new(columns: Vec<Column>, key: &[String]) -> Self {
        let place = |name: &String| columns.iter().position(|column| column.name == *name);
        let key = key.iter().filter_map(place).collect();
        let names = columns.iter().map(|column| column.name.clone()).collect();
        Table { columns, names, key, rows: BTreeMap::new(), next: 0 }
    }

    /// What these values are found by.
    pub(super) fn key_of(&mut self, cells: &[Value]) -> String {
        if self.key.is_empty() {
            self.next += 1;
            return format!("{:020}", self.next);
        }
        let parts: Vec<String> = self.key.iter().map(|at| cells[*at].key()).collect();
        parts.join("\0")
    }

    /// Writes a row, if it is as it was read by this transaction; `None` deletes it, or was not there.
    pub(super) fn write(
        &mut self,
        transaction: u64,
        key: &str,
        read: Option<&Cells>,
        cells: Option<Cells>,
    ) -> Result<Option<Row>, Refusal> {
        let before = self.rows.get(key).cloned();
        let now = match before.as_ref().and_then(|row| row.pending.as_ref()) {
            Some((by, _)) if *by != transaction => return Err(Refusal::Blocked(*by)),
            Some((_, cells)) => cells.as_ref(),
            None => before.as_ref().and_then(|row| row.committed.as_ref()),
        };
        let same = match (now, read) {
            (Some(now), Some(read)) => Arc::ptr_eq(now, read),
            (None, None) => true,
            _ => false,
        };
        if !same {
            return Err(Refusal::Changed);
        }
        let row = self.rows.entry(key.to_owned()).or_default();
        row.pending = Some((transaction, cells));
        Ok(before)
    }

    /// All see now what a transaction has done to a row.
    pub(super) fn commit(&mut self, key: &str) {
        let Some(row) = self.rows.get_mut(key) else { return };
        if let Some((_, cells)) = row.pending.take() {
            row.committed = cells;
        }
        if row.committed.is_none() {
            self.rows.remove(key);
        }
    }

    /// Removes all rows, unless somebody is at one.
    #[must_use]
    pub(super) fn truncate(&mut self) -> bool {
        let is_free = self.rows.values().all(|row| row.pending.is_none());
        if is_free {
            self.rows.clear();
        }
        is_free
    }

    /// A row is as it was.
    pub(super) fn restore(&mut self, key: &str, before: Option<Row>) {
        match before {
            Some(row) if row.committed.is_some() || row.pending.is_some() => {
                self.rows.insert(key.to_owned(), row);
            }
            _ => {
                self.rows.remove(key);
            }
        }
    }
}
