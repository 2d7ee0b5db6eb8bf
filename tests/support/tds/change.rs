//! What a statement has changed: whether it may be so, and what it puts out.

use std::cmp::Ordering;
use std::sync::Arc;

use super::ast::{Output, TableDef};
use super::error::Fault;
use super::query;
use super::scope::{Answer, Column, Frame, Row, Scope};
use super::value::Value;
use super::world::Table;

/// What a statement makes of a table, and what it answers.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) rows: Vec<Vec<Value>>,
    pub(super) count: i64,
    pub(super) output: Option<Answer>,
}

/// A row before and after.
pub(super) struct Changed {
    pub(super) action: &'static str,
    pub(super) deleted: Option<Vec<Value>>,
    pub(super) inserted: Option<Vec<Value>>,
    /// What it was joined with.
    pub(super) with: Row,
}

/// Where in its table a column is.
pub(super) fn place_of(def: &TableDef, name: &str) -> Result<usize, Fault> {
    let place = def.columns.iter().position(|column| column.name.eq_ignore_ascii_case(name));
    place.ok_or_else(|| Fault::new(207, format!("Invalid column name '{name}'.")))
}

/// Looks whether the table is as it may be, and puts the output together; `with`: NULLs of all that it may be
/// joined with.
pub(super) fn finish(
    table: &Table,
    rows: Vec<Vec<Value>>,
    changed: Vec<Changed>,
    (output, with): (Option<&Output>, Row),
    scope: &Scope<'_>,
) -> Result<Change, Fault> {
    check(table, &rows, &changed)?;
    let count = i64::try_from(changed.len()).unwrap_or(0);
    let Some(output) = output else { return Ok(Change { rows, count, output: None }) };
    let columns: Arc<Vec<Column>> = Arc::new(table.def.columns.iter().map(Column::from).collect());
    let nulls = || vec![Value::Null; columns.len()];
    let frame = |alias: &str, values: Vec<Value>| Frame {
        alias: alias.into(),
        columns: Arc::clone(&columns),
        values: Arc::new(values),
        place: 0,
    };
    let items = &output.items;
    let action = |name: &str| Frame {
        alias: "$".into(),
        columns: Arc::new(vec![Column::new("$action", super::value::Type::Text(Some(10)))]),
        values: Arc::new(vec![Value::text(name)]),
        place: 0,
    };
    let mut answer = Answer::default();
    let own = vec![frame("inserted", nulls()), frame("deleted", nulls()), action("")];
    answer.columns = Arc::new(query::item_columns(items, &scope.at(&[own, with].concat()))?);
    for one in changed {
        let own = vec![
            frame("inserted", one.inserted.unwrap_or_else(nulls)),
            frame("deleted", one.deleted.unwrap_or_else(nulls)),
            action(one.action),
        ];
        let row = [own, one.with].concat();
        let values = query::item_values(items, &scope.at(&row))?;
        let values = values.into_iter().zip(answer.columns.iter());
        answer.rows.push(
            values.map(|(value, column)| value.into_type(column.of)).collect::<Result<_, _>>()?,
        );
    }
    Ok(Change { rows, count, output: Some(answer) })
}

/// Whether the rows that are new are as they may be, beside all others.
fn check(table: &Table, rows: &[Vec<Value>], changed: &[Changed]) -> Result<(), Fault> {
    let def = &table.def;
    let new = || changed.iter().filter_map(|one| Some((one, one.inserted.as_ref()?)));
    for (place, column) in def.columns.iter().enumerate() {
        if !column.nullable && new().any(|(_, row)| row[place].is_null()) {
            return Err(Fault::new(
                515,
                format!(
                    "Cannot insert the value NULL into column '{}', table '{}'; column does not allow nulls.",
                    column.name, table.name
                ),
            ));
        }
    }
    let key = def.key.iter().map(|name| place_of(def, name)).collect::<Result<Vec<_>, _>>()?;
    let is_same = |a: &[Value], b: &[Value]| {
        let same = |place: &usize| {
            let binary = def.columns[*place].binary;
            a[*place].compare(&b[*place], binary).ok().flatten() == Some(Ordering::Equal)
        };
        key.iter().all(same)
    };
    for (one, row) in new().filter(|_| !key.is_empty()) {
        let keeps_key = one.deleted.as_ref().is_some_and(|old| is_same(old, row));
        if !keeps_key && rows.iter().filter(|other| is_same(other, row)).count() > 1 {
            return Err(Fault::new(
                2627,
                format!(
                    "Violation of PRIMARY KEY constraint. Cannot insert duplicate key in object 'dbo.{}'.",
                    table.name
                ),
            ));
        }
    }
    Ok(())
}
