//! MERGE.

use std::collections::HashSet;
use std::sync::Arc;

use super::ast::{Action, Expr, Output, Source, When};
use super::change::{Change, Changed, finish, place_of};
use super::error::Fault;
use super::eval::{eval, is_true};
use super::scope::{Answer, Frame, Row, Scope};
use super::source;
use super::value::Value;
use super::world::Table;
use super::write::{assigned, columns, new_row};

/// A MERGE's parts.
pub(super) struct Merge<'a> {
    pub(super) alias: &'a str,
    pub(super) source: &'a Source,
    pub(super) on: &'a Expr,
    pub(super) whens: &'a [(When, Option<Expr>, Action)],
}

pub(super) fn merge(
    table: &Table,
    merge: &Merge<'_>,
    output: Option<&Output>,
    scope: &Scope<'_>,
) -> Result<Change, Fault> {
    let columns = columns(table);
    let (blank, _) = source::framed(merge.alias, Answer { columns, rows: Vec::new() });
    let (source_blank, sources) = source::rows(merge.source, scope)?;
    let sides = source::equal_sides(merge.on, &source_blank, &blank);
    let mut matched = HashSet::new();
    // What becomes of each row of the table.
    let mut rows: Vec<Option<Vec<Value>>> = table.rows.iter().cloned().map(Some).collect();
    let (mut new, mut changed) = (Vec::new(), Vec::new());
    for source in sources {
        let candidates = candidates(table, sides, &scope.at(&source))?;
        let mut any = false;
        for place in candidates {
            let with = [own_frame(&blank, table, place), source.clone()].concat();
            if !is_true(merge.on, &scope.at(&with))? {
                continue;
            }
            any = true;
            let Some(action) = chosen(merge, When::Matched, &scope.at(&with))? else { continue };
            if !matched.insert(place) {
                return Err(Fault::new(
                    8672,
                    "The MERGE statement attempted to UPDATE or DELETE the same row more than once.",
                ));
            }
            changed.push(apply(table, &mut rows[place], action, with, scope)?);
        }
        let with = [blank.clone(), source].concat();
        if let (false, Some(Action::Insert { columns, values })) =
            (any, chosen(merge, When::NotMatched, &scope.at(&with))?)
        {
            let values = values.iter().map(|value| eval(value, &scope.at(&with)));
            let row = new_row(&table.def, columns, values.collect::<Result<_, _>>()?, scope)?;
            new.push(row.clone());
            changed.push(Changed { action: "INSERT", deleted: None, inserted: Some(row), with });
        }
    }
    let rows = rows.into_iter().flatten().chain(new).collect();
    finish(table, rows, changed, (output, [blank, source_blank].concat()), scope)
}

/// The rows of the table that may be meant: all, or those with the value that the condition asks for. Only bytes
/// and numbers are equal when they are the same.
fn candidates(
    table: &Table,
    sides: Option<(&Expr, &Expr)>,
    at: &Scope<'_>,
) -> Result<Vec<usize>, Fault> {
    if let Some((side, Expr::Column(own))) = sides {
        let value = eval(side, at)?;
        let place = place_of(&table.def, &own[0])?;
        if matches!(value, Value::Bytes(_) | Value::Int(_)) {
            let same = table.rows.iter().enumerate().filter(|(_, row)| row[place] == value);
            return Ok(same.map(|(place, _)| place).collect());
        }
    }
    Ok((0..table.rows.len()).collect())
}

/// A row of the table, as a part of a joined one.
fn own_frame(blank: &Row, table: &Table, place: usize) -> Row {
    let values = Arc::new(table.rows[place].clone());
    blank
        .iter()
        .map(|frame| Frame { values: Arc::clone(&values), place, ..frame.clone() })
        .collect()
}

fn chosen<'a>(merge: &Merge<'a>, when: When, at: &Scope<'_>) -> Result<Option<&'a Action>, Fault> {
    for (own, condition, action) in merge.whens {
        if *own == when
            && condition.as_ref().map_or(Ok(true), |condition| is_true(condition, at))?
        {
            return Ok(Some(action));
        }
    }
    Ok(None)
}

fn apply(
    table: &Table,
    row: &mut Option<Vec<Value>>,
    action: &Action,
    with: Row,
    scope: &Scope<'_>,
) -> Result<Changed, Fault> {
    let deleted = row.take();
    let (action, inserted) = match action {
        Action::Update(set) => {
            let old = deleted.as_deref().unwrap_or_default();
            ("UPDATE", Some(assigned(table, old, set, &scope.at(&with))?))
        }
        _ => ("DELETE", None),
    };
    row.clone_from(&inserted);
    Ok(Changed { action, deleted, inserted, with })
}
