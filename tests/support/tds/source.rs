//! The rows that a query is about.

use std::collections::HashMap;
use std::sync::Arc;

use super::ast::{Expr, Join, Name, Source};
use super::error::Fault;
use super::eval::{eval, is_true};
use super::query;
use super::scope::{Answer, Column, Frame, Row, Scope, find};
use super::types;
use super::value::{Type, Value};
use super::views;

/// The rows of FROM, and one of NULLs.
pub(super) fn rows(source: &Source, scope: &Scope<'_>) -> Result<(Row, Vec<Row>), Fault> {
    match source {
        Source::Table { name, alias } => Ok(framed(alias, table(name, scope)?)),
        Source::Values { rows, alias, columns } => Ok(framed(alias, values(rows, columns, scope)?)),
        Source::Query { query, alias, columns } => {
            let mut answer = query::run(query, scope)?;
            answer.columns = renamed(&answer.columns, columns);
            Ok(framed(alias, answer))
        }
        Source::Function { call, columns, alias } => {
            Ok(framed(alias, function(call, columns, scope)?))
        }
        Source::Join { left, right, kind, on } => join(left, right, *kind, on.as_ref(), scope),
    }
}

/// A table of that name, a view, or what WITH has named so.
pub(super) fn table(name: &Name, scope: &Scope<'_>) -> Result<Answer, Fault> {
    if name.len() == 1
        && let Some(answer) = scope.named(&name[0])
    {
        return Ok(answer.clone());
    }
    if let Some(view) = views::view(name, scope) {
        return view;
    }
    let (database, table) = match name.get(2).filter(|database| !database.is_empty()) {
        Some(database) => (scope.world.database(database)?, &name[0]),
        None => (scope.locals.database, &name[0]),
    };
    let own = scope.locals.tables.get(&table.to_lowercase());
    let found = own.or_else(|| scope.world.table(database, table));
    let found = found.ok_or_else(|| Fault::new(208, format!("Invalid object name '{table}'.")))?;
    let columns = Arc::new(found.def.columns.iter().map(Column::from).collect());
    Ok(Answer { columns, rows: found.rows.clone() })
}

/// Its columns by other names.
pub(super) fn renamed(columns: &Arc<Vec<Column>>, names: &[String]) -> Arc<Vec<Column>> {
    if names.is_empty() {
        return Arc::clone(columns);
    }
    let renamed = columns
        .iter()
        .zip(names)
        .map(|(column, name)| Column { name: name.clone(), ..column.clone() });
    Arc::new(renamed.collect())
}

/// Its rows as parts of joined ones.
pub(super) fn framed(alias: &str, answer: Answer) -> (Row, Vec<Row>) {
    let alias: Arc<str> = alias.into();
    let columns = answer.columns;
    let frame = |place, values| {
        let (alias, columns) = (Arc::clone(&alias), Arc::clone(&columns));
        vec![Frame { alias, columns, values: Arc::new(values), place }]
    };
    let blank = frame(usize::MAX, vec![Value::Null; columns.len()]);
    let rows = answer.rows.into_iter().enumerate().map(|(place, values)| frame(place, values));
    (blank, rows.collect())
}

fn values(rows: &[Vec<Expr>], names: &[String], scope: &Scope<'_>) -> Result<Answer, Fault> {
    let width = rows.first().map_or(0, Vec::len);
    let mut columns = Vec::new();
    for place in 0..width {
        let all = rows.iter().filter_map(|row| row.get(place));
        let name = names.get(place).cloned().unwrap_or_default();
        let binary = rows.first().is_some_and(|row| types::is_binary(&row[place], scope));
        columns.push(Column { name, of: types::of_any(all, scope)?, binary });
    }
    let mut answer = Answer { columns: Arc::new(columns), rows: Vec::new() };
    for row in rows {
        let values = row.iter().zip(answer.columns.iter());
        let values = values.map(|(expr, column)| eval(expr, scope)?.into_type(column.of));
        answer.rows.push(values.collect::<Result<_, _>>()?);
    }
    Ok(answer)
}

/// Only what cuts a text.
fn function(call: &Expr, columns: &[(String, Type)], scope: &Scope<'_>) -> Result<Answer, Fault> {
    let Expr::Call(name, arguments) = call else { return Err(Fault::syntax("no such function")) };
    let texts = arguments.iter().map(|argument| eval(argument, scope)?.into_text());
    let texts = texts.collect::<Result<Vec<_>, _>>()?;
    let parts: Vec<Value> = match (name.as_str(), &texts[..]) {
        ("STRING_SPLIT", [Some(text), Some(by), ..]) => {
            text.split(by.as_str()).map(Value::text).collect()
        }
        ("STRING_SPLIT", _) => Vec::new(),
        _ => return Err(Fault::new(208, format!("Invalid object name '{name}'."))),
    };
    let column = Column::new("value", columns.get(1).map_or(Type::Text(None), |(_, of)| *of));
    Ok(Answer {
        columns: Arc::new(vec![column]),
        rows: parts.into_iter().map(|part| vec![part]).collect(),
    })
}

fn join(
    left: &Source,
    right: &Source,
    kind: Join,
    on: Option<&Expr>,
    scope: &Scope<'_>,
) -> Result<(Row, Vec<Row>), Fault> {
    let (left_blank, left_rows) = rows(left, scope)?;
    let mut joined = Vec::new();
    if let (Join::Apply | Join::OuterApply, Source::Query { .. } | Source::Function { .. }) =
        (kind, right)
    {
        // The right side may speak of the left one.
        let named = [];
        let right_blank = {
            let at = scope.at(&left_blank);
            rows(right, &at.inside(&named))?.0
        };
        for left in left_rows {
            let at = scope.at(&left);
            let mut found = rows(right, &at.inside(&named))?.1;
            if found.is_empty() && kind == Join::OuterApply {
                found.push(right_blank.clone());
            }
            joined.extend(found.into_iter().map(|right| [left.clone(), right].concat()));
        }
        return Ok(([left_blank, right_blank].concat(), joined));
    }
    let (right_blank, right_rows) = rows(right, scope)?;
    let index = match on.and_then(|on| equal_sides(on, &left_blank, &right_blank)) {
        Some((left_side, right_side)) => Some((left_side, index(&right_rows, right_side, scope)?)),
        None => None,
    };
    for left in left_rows {
        let mut matched = false;
        let candidates = match &index {
            Some((side, index)) => {
                let key = key_of(side, &scope.at(&left))?;
                key.and_then(|key| index.get(&key)).cloned().unwrap_or_default()
            }
            None => (0..right_rows.len()).collect(),
        };
        for place in candidates {
            let row = [left.clone(), right_rows[place].clone()].concat();
            if on.map_or(Ok(true), |on| is_true(on, &scope.at(&row)))? {
                matched = true;
                joined.push(row);
            }
        }
        if !matched && kind == Join::Left {
            joined.push([left, right_blank.clone()].concat());
        }
    }
    Ok(([left_blank, right_blank].concat(), joined))
}

/// The two sides of an equality that a join's condition asks for: one of each table.
pub(super) fn equal_sides<'e>(
    on: &'e Expr,
    left: &Row,
    right: &Row,
) -> Option<(&'e Expr, &'e Expr)> {
    let belongs = |expr: &Expr, to: &Row| match expr {
        Expr::Column(name) => find(to, name).is_some(),
        Expr::Collate(of, _) => matches!(&**of, Expr::Column(name) if find(to, name).is_some()),
        _ => false,
    };
    match on {
        Expr::Binary("AND", a, b) => {
            equal_sides(a, left, right).or_else(|| equal_sides(b, left, right))
        }
        Expr::Binary("=", a, b) if belongs(a, left) && belongs(b, right) => Some((a, b)),
        Expr::Binary("=", a, b) if belongs(b, left) && belongs(a, right) => Some((b, a)),
        _ => None,
    }
}

/// Which rows have which value there. What is looked up is compared once more: it need not be exact.
pub(super) fn index(
    rows: &[Row],
    side: &Expr,
    scope: &Scope<'_>,
) -> Result<HashMap<String, Vec<usize>>, Fault> {
    let mut index: HashMap<String, Vec<usize>> = HashMap::new();
    for (place, row) in rows.iter().enumerate() {
        if let Some(key) = key_of(side, &scope.at(row))? {
            index.entry(key).or_default().push(place);
        }
    }
    Ok(index)
}

/// What a row is looked up by.
pub(super) fn key_of(side: &Expr, scope: &Scope<'_>) -> Result<Option<String>, Fault> {
    let value = eval(side, scope)?;
    Ok(if value.is_null() { None } else { Some(value.key(false)) })
}
