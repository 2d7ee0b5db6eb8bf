//! What changes tables: first it is worked out, then it is done as a whole.

use std::collections::HashSet;
use std::sync::Arc;

use super::ast::{Expr, Output, Query, Source, TableDef};
use super::change::{Change, Changed, finish, place_of};
use super::error::Fault;
use super::eval::{eval, is_true};
use super::query;
use super::scope::{Answer, Column, Row, Scope};
use super::source;
use super::value::Value;
use super::world::Table;

/// Rows that are added, with what fills the columns that are not named.
pub(super) fn insert(
    table: &Table,
    columns: &[String],
    query: &Query,
    output: Option<&Output>,
    scope: &Scope<'_>,
) -> Result<Change, Fault> {
    let answer = query::run(query, scope)?;
    let mut rows = table.rows.clone();
    let mut changed = Vec::new();
    for values in answer.rows {
        let row = new_row(&table.def, columns, values, scope)?;
        rows.push(row.clone());
        changed.push(Changed {
            action: "INSERT",
            deleted: None,
            inserted: Some(row),
            with: Row::new(),
        });
    }
    finish(table, rows, changed, (output, Row::new()), scope)
}

/// A row of these values.
pub(super) fn new_row(
    def: &TableDef,
    names: &[String],
    values: Vec<Value>,
    scope: &Scope<'_>,
) -> Result<Vec<Value>, Fault> {
    if !names.is_empty() && names.len() != values.len() {
        return Err(Fault::new(
            110,
            "There are fewer columns in the INSERT statement than values specified in the VALUES clause.",
        ));
    }
    let mut row = Vec::new();
    for (place, column) in def.columns.iter().enumerate() {
        let given = match names {
            [] => Some(place),
            names => names.iter().position(|name| name.eq_ignore_ascii_case(&column.name)),
        };
        let value = match (given.and_then(|given| values.get(given)), &column.default) {
            (Some(value), _) => value.clone(),
            (None, Some(default)) => eval(default, scope)?,
            (None, None) => Value::Null,
        };
        row.push(value.into_column(column.of, &column.name)?);
    }
    for name in names {
        place_of(def, name)?;
    }
    Ok(row)
}

/// The alias by which FROM knows the table, or what stands for it without FROM.
pub(super) fn alias_in<'a>(from: Option<&'a Source>, table: &'a str) -> Option<(&'a str, &'a str)> {
    match from? {
        Source::Table { name, alias } if alias.eq_ignore_ascii_case(table) => {
            Some((alias, &name[0]))
        }
        Source::Table { name, alias } if name[0].eq_ignore_ascii_case(table) => {
            Some((alias, &name[0]))
        }
        Source::Join { left, right, .. } => {
            alias_in(Some(left), table).or_else(|| alias_in(Some(right), table))
        }
        _ => None,
    }
}

/// The rows that an UPDATE or DELETE is about: each of the table's once, with what it was joined with; and one of
/// NULLs.
fn targets(
    table: &Table,
    which: &Which<'_>,
    scope: &Scope<'_>,
) -> Result<(Row, Vec<(usize, Row)>), Fault> {
    let Which { alias, from, filter, top } = *which;
    let (blank, rows) = match from {
        Some(from) => source::rows(from, scope)?,
        None => source::framed(alias, as_answer(table)),
    };
    let most = match top {
        Some(top) => {
            eval(top, scope)?.int()?.and_then(|top| usize::try_from(top).ok()).unwrap_or(0)
        }
        None => usize::MAX,
    };
    let mut seen = HashSet::new();
    let mut targets = Vec::new();
    for row in rows {
        if filter.map_or(Ok(true), |filter| is_true(filter, &scope.at(&row)))? {
            let own = row.iter().find(|frame| frame.alias.eq_ignore_ascii_case(alias));
            let place = own
                .map(|frame| frame.place)
                .ok_or_else(|| Fault::syntax("its table is not in FROM"))?;
            if place < table.rows.len() && targets.len() < most && seen.insert(place) {
                targets.push((place, row));
            }
        }
    }
    Ok((blank, targets))
}

/// All of a table.
fn as_answer(table: &Table) -> Answer {
    Answer { columns: columns(table), rows: table.rows.clone() }
}

/// A table's columns.
pub(super) fn columns(table: &Table) -> Arc<Vec<Column>> {
    Arc::new(table.def.columns.iter().map(Column::from).collect())
}

/// An UPDATE's parts that say which rows.
pub(super) struct Which<'a> {
    pub(super) alias: &'a str,
    pub(super) from: Option<&'a Source>,
    pub(super) filter: Option<&'a Expr>,
    pub(super) top: Option<&'a Expr>,
}

pub(super) fn update(
    table: &Table,
    which: &Which<'_>,
    set: &[(String, Expr)],
    output: Option<&Output>,
    scope: &Scope<'_>,
) -> Result<Change, Fault> {
    let mut rows = table.rows.clone();
    let mut changed = Vec::new();
    let (blank, targets) = targets(table, which, scope)?;
    for (place, with) in targets {
        let row = assigned(table, &table.rows[place], set, &scope.at(&with))?;
        let deleted = Some(std::mem::replace(&mut rows[place], row.clone()));
        changed.push(Changed { action: "UPDATE", deleted, inserted: Some(row), with });
    }
    finish(table, rows, changed, (output, blank), scope)
}

/// All values are worked out before any is changed.
pub(super) fn assigned(
    table: &Table,
    old: &[Value],
    set: &[(String, Expr)],
    at: &Scope<'_>,
) -> Result<Vec<Value>, Fault> {
    let mut row = old.to_vec();
    for (name, expr) in set {
        let place = place_of(&table.def, name)?;
        row[place] = eval(expr, at)?.into_column(table.def.columns[place].of, name)?;
    }
    Ok(row)
}

pub(super) fn delete(
    table: &Table,
    which: &Which<'_>,
    output: Option<&Output>,
    scope: &Scope<'_>,
) -> Result<Change, Fault> {
    let mut gone = HashSet::new();
    let mut changed = Vec::new();
    let (blank, targets) = targets(table, which, scope)?;
    for (place, with) in targets {
        gone.insert(place);
        let deleted = Some(table.rows[place].clone());
        changed.push(Changed { action: "DELETE", deleted, inserted: None, with });
    }
    let rows = table.rows.iter().enumerate().filter(|(place, _)| !gone.contains(place));
    let rows = rows.map(|(_, row)| row.clone()).collect();
    finish(table, rows, changed, (output, blank), scope)
}
