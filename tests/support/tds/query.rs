//! Runs queries.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::ast::{Expr, Item, Query};
use super::error::Fault;
use super::eval::{eval, is_true};
use super::functions::AGGREGATES;
use super::scope::{Answer, Column, Frame, Row, Scope};
use super::source;
use super::types;
use super::value::Value;

/// What a query answers.
pub(super) fn run(query: &Query, scope: &Scope<'_>) -> Result<Answer, Fault> {
    let named = named(query, scope)?;
    let inner = scope.inside(&named);
    let mut answer = part(query, &inner)?;
    let mut rest = query.union.as_ref();
    while let Some((all, other)) = rest {
        answer.rows.extend(part(other, &inner)?.rows);
        if !all {
            answer.rows = distinct(std::mem::take(&mut answer.rows));
        }
        rest = other.union.as_ref();
    }
    let columns = Arc::clone(&answer.columns);
    for row in &mut answer.rows {
        for (value, column) in row.iter_mut().zip(columns.iter()) {
            *value = std::mem::replace(value, Value::Null).into_type(column.of)?;
        }
    }
    Ok(answer)
}

/// What WITH has named, each with what came before it.
fn named(query: &Query, scope: &Scope<'_>) -> Result<Vec<(String, Answer)>, Fault> {
    let mut named = Vec::new();
    for (name, columns, query) in &query.with {
        let mut answer = run(query, &scope.inside(&named))?;
        answer.columns = source::renamed(&answer.columns, columns);
        named.push((name.clone(), answer));
    }
    Ok(named)
}

/// The columns that a query has.
pub(super) fn columns(query: &Query, scope: &Scope<'_>) -> Result<Vec<Column>, Fault> {
    let named = named(query, scope)?;
    let inner = scope.inside(&named);
    let blank = match &query.from {
        Some(from) => source::rows(from, &inner)?.0,
        None => Row::new(),
    };
    item_columns(&query.items, &inner.at(&blank))
}

/// The tables whose columns `*` stands for, or `alias.*`.
fn meant_by_star<'a>(
    alias: Option<&'a str>,
    scope: &'a Scope<'_>,
) -> impl Iterator<Item = &'a Frame> {
    let is_meant = move |name: &str| alias.is_none_or(|alias| alias.eq_ignore_ascii_case(name));
    scope.frames.iter().filter(move |frame| is_meant(&frame.alias))
}

/// The columns of these items, in that row.
pub(super) fn item_columns(items: &[Item], scope: &Scope<'_>) -> Result<Vec<Column>, Fault> {
    let mut columns = Vec::new();
    for item in items {
        match item {
            Item::All(alias) => {
                let frames = meant_by_star(alias.as_deref(), scope);
                columns.extend(frames.flat_map(|frame| frame.columns.iter().cloned()));
            }
            Item::Expr { expr, alias } => {
                let name = match (alias, expr) {
                    (Some(alias), _) => alias.clone(),
                    (None, Expr::Column(name)) => name[0].clone(),
                    _ => String::new(),
                };
                let (of, binary) = (types::type_of(expr, scope)?, types::is_binary(expr, scope));
                columns.push(Column { name, of, binary });
            }
            Item::Assign { variable, expr } => {
                let of = types::type_of(expr, scope)?;
                columns.push(Column { name: variable.clone(), of, binary: false });
            }
        }
    }
    Ok(columns)
}

/// The values of these items, in that row.
pub(super) fn item_values(items: &[Item], scope: &Scope<'_>) -> Result<Vec<Value>, Fault> {
    let mut values = Vec::new();
    for item in items {
        match item {
            Item::All(alias) => {
                let frames = meant_by_star(alias.as_deref(), scope);
                values.extend(frames.flat_map(|frame| frame.values.iter().cloned()));
            }
            Item::Expr { expr, .. } | Item::Assign { expr, .. } => values.push(eval(expr, scope)?),
        }
    }
    Ok(values)
}

/// One SELECT.
fn part(query: &Query, scope: &Scope<'_>) -> Result<Answer, Fault> {
    let (blank, rows) = match &query.from {
        Some(from) => source::rows(from, scope)?,
        None => (Row::new(), vec![Row::new()]),
    };
    let columns = Arc::new(item_columns(&query.items, &scope.at(&blank))?);
    let mut kept = Vec::new();
    for row in rows {
        let passes = match &query.filter {
            Some(filter) => is_true(filter, &scope.at(&row))?,
            None => true,
        };
        if passes {
            kept.push(row);
        }
    }
    let mut found = Vec::new();
    let mut add = |at: &Scope<'_>| -> Result<(), Fault> {
        let values = item_values(&query.items, at)?;
        let order = query.order.iter().map(|(expr, _)| order_key(expr, &columns, &values, at));
        found.push((order.collect::<Result<Vec<_>, _>>()?, values));
        Ok(())
    };
    if !query.group.is_empty() || query.items.iter().any(is_aggregate) {
        for group in groups(query, scope, kept)? {
            let first = group.first().unwrap_or(&blank);
            let at = Scope { group: Some(&group), ..scope.at(first) };
            if query.having.as_ref().map_or(Ok(true), |having| is_true(having, &at))? {
                add(&at)?;
            }
        }
    } else {
        for row in &kept {
            add(&scope.at(row))?;
        }
    }
    found.sort_by(|(a, _), (b, _)| {
        let orders = a.iter().zip(b).zip(&query.order).map(|((a, b), (_, descends))| {
            let order = nulls_first(a, b);
            if *descends { order.reverse() } else { order }
        });
        orders.fold(Ordering::Equal, Ordering::then)
    });
    let mut rows: Vec<_> = found.into_iter().map(|(_, values)| values).collect();
    if query.distinct {
        rows = distinct(rows);
    }
    if let Some(top) = &query.top {
        rows.truncate(
            eval(top, scope)?.int()?.and_then(|top| usize::try_from(top).ok()).unwrap_or(0),
        );
    }
    Ok(Answer { columns, rows })
}

/// The rows of each group, in the order in which they came up.
fn groups(query: &Query, scope: &Scope<'_>, rows: Vec<Row>) -> Result<Vec<Vec<Row>>, Fault> {
    if query.group.is_empty() {
        return Ok(vec![rows]);
    }
    let mut groups: Vec<Vec<Row>> = Vec::new();
    let mut places = HashMap::new();
    for row in rows {
        let at = scope.at(&row);
        let key =
            query.group.iter().map(|expr| Ok(eval(expr, &at)?.key(types::is_binary(expr, &at))));
        let key = key.collect::<Result<Vec<_>, Fault>>()?;
        let place = *places.entry(key).or_insert(groups.len());
        if place == groups.len() {
            groups.push(Vec::new());
        }
        groups[place].push(row);
    }
    Ok(groups)
}

/// A number is a column's place, a name may be that of an item.
fn order_key(
    expr: &Expr,
    columns: &[Column],
    values: &[Value],
    at: &Scope<'_>,
) -> Result<Value, Fault> {
    let place = match expr {
        Expr::Literal(Value::Int(place), _) => usize::try_from(*place - 1).ok(),
        Expr::Column(name) if name.len() == 1 => {
            columns.iter().position(|column| column.name.eq_ignore_ascii_case(&name[0]))
        }
        _ => None,
    };
    match place.and_then(|place| values.get(place)) {
        Some(value) => Ok(value.clone()),
        None => eval(expr, at),
    }
}

fn nulls_first(a: &Value, b: &Value) -> Ordering {
    match (a.is_null(), b.is_null()) {
        (false, false) => a.compare(b, false).ok().flatten().unwrap_or(Ordering::Equal),
        (a, b) => b.cmp(&a),
    }
}

fn distinct(rows: Vec<Vec<Value>>) -> Vec<Vec<Value>> {
    let mut seen = HashSet::new();
    let key = |row: &[Value]| row.iter().map(|value| value.key(false)).collect::<Vec<_>>();
    rows.into_iter().filter(|row| seen.insert(key(row))).collect()
}

fn is_aggregate(item: &Item) -> bool {
    fn has(expr: &Expr) -> bool {
        match expr {
            Expr::Call(name, arguments) => {
                AGGREGATES.contains(&name.as_str()) || arguments.iter().any(has)
            }
            Expr::Binary(_, left, right) => has(left) || has(right),
            Expr::Cast { of, .. }
            | Expr::Negative(of)
            | Expr::Not(of)
            | Expr::IsNull(of)
            | Expr::Collate(of, _) => has(of),
            Expr::Case { whens, otherwise, .. } => {
                whens.iter().any(|(when, then)| has(when) || has(then))
                    || otherwise.as_deref().is_some_and(has)
            }
            _ => false,
        }
    }
    match item {
        Item::All(_) => false,
        Item::Expr { expr, .. } | Item::Assign { expr, .. } => has(expr),
    }
}
