//! MERGE.

use std::collections::HashSet;

use super::ast::{Action, Expr, Output, Source, When};
use super::change::{Change, Changed, finish};
use super::error::Fault;
use super::eval::{eval, is_true};
use super::scope::{Row, Scope};
use super::source;
use super::value::Value;
use super::world::Table;
use super::write::{as_answer, assigned, new_row};

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
    let (blank, targets) = source::framed(merge.alias, as_answer(table));
    let (source_blank, sources) = source::rows(merge.source, scope)?;
    let index = match source::equal_sides(merge.on, &source_blank, &blank) {
        Some((side, own)) => Some((side, source::index(&targets, own, scope)?)),
        None => None,
    };
    let mut matched = HashSet::new();
    // What becomes of each row of the table.
    let mut rows: Vec<Option<Vec<Value>>> = table.rows.iter().cloned().map(Some).collect();
    let (mut new, mut changed) = (Vec::new(), Vec::new());
    for source in sources {
        let candidates = match &index {
            Some((side, index)) => {
                let key = source::key_of(side, &scope.at(&source))?;
                key.and_then(|key| index.get(&key)).cloned().unwrap_or_default()
            }
            None => (0..targets.len()).collect(),
        };
        let mut any = false;
        for place in candidates {
            let with = [targets[place].clone(), source.clone()].concat();
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
