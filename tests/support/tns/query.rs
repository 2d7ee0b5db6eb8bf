//! Queries.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::doubles::waiting::Outcome;

use super::ast::{Expr, From, Query, Source, Waits};
use super::eval::Bound;
use super::fault::Fault;
use super::modes::Mode;
use super::runner::Runner;
use super::table::{Cells, Refusal};
use super::value::Value;
use super::views;
use super::world::{Resource, owner};

/// A result set.
#[derive(Debug, Clone, Default)]
pub(super) struct Rows {
    pub(super) names: Vec<String>,
    pub(super) rows: Vec<Vec<Value>>,
}

/// Rows of all sources that go together, and the keys of the first one's.
type Joined = Vec<(Vec<Bound>, String)>;

/// Rows of a source, those of a table with their keys.
pub(super) struct Found {
    pub(super) names: Arc<[String]>,
    pub(super) rows: Vec<(String, Cells)>,
}

impl Runner {
    pub(super) fn query(&mut self, query: &Query) -> Result<Rows, Fault> {
        let (depth, group) = (self.rows.len(), self.group.take());
        let rows = self.select(query);
        self.rows.truncate(depth);
        self.group = group;
        let mut rows = rows?;
        if let Some(more) = &query.more {
            rows.rows.extend(self.query(more)?.rows);
        }
        Ok(rows)
    }

    fn select(&mut self, query: &Query) -> Result<Rows, Fault> {
        let begin = self.progress();
        let mut joined = loop {
            let joined = self.joined(query)?;
            match query.for_update {
                None => break joined,
                Some(waits) => match self.lock_rows(query, joined, waits)? {
                    Some(joined) => break joined,
                    // Somebody else has changed something.
                    None => self.undo(begin),
                },
            }
        };
        let is_grouped = !query.group.is_empty()
            || query.columns.iter().any(|(expr, _)| expr.as_ref().is_some_and(aggregates));
        let mut answer = Rows::default();
        let mut sorted = Vec::new();
        if is_grouped {
            let mut groups: BTreeMap<Vec<String>, Vec<Vec<Bound>>> = BTreeMap::new();
            for (bound, _) in joined.drain(..) {
                let key = self.with(&bound, |runner| {
                    query
                        .group
                        .iter()
                        .map(|by| Ok(runner.eval(by)?.key()))
                        .collect::<Result<Vec<_>, Fault>>()
                })?;
                groups.entry(key).or_default().push(bound);
            }
            if groups.is_empty() && query.group.is_empty() {
                groups.insert(Vec::new(), Vec::new());
            }
            for rows in groups.into_values() {
                let first = rows.first().cloned().unwrap_or_default();
                self.group = Some(Arc::new(rows));
                sorted.push(self.row(query, &first, &mut answer.names)?);
                self.group = None;
            }
        } else {
            for (bound, _) in joined {
                sorted.push(self.row(query, &bound, &mut answer.names)?);
            }
        }
        sorted.sort_by(|(a, _), (b, _)| {
            let pairs = a.iter().zip(b).zip(&query.order);
            let mut orders = pairs.map(
                |((a, b), (_, descends))| if *descends { in_order(b, a) } else { in_order(a, b) },
            );
            orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        });
        answer.rows = sorted.into_iter().map(|(_, row)| row).collect();
        if answer.names.is_empty() {
            answer.names = query.columns.iter().map(|(_, name)| name.clone()).collect();
        }
        if let Some(first) = &query.first {
            let first = self.eval(first)?.int()?.unwrap_or(0);
            answer.rows.truncate(usize::try_from(first).unwrap_or(0));
        }
        Ok(answer)
    }

    pub(super) fn with<T>(&mut self, bound: &[Bound], what: impl FnOnce(&mut Self) -> T) -> T {
        let depth = self.rows.len();
        self.rows.extend(bound.iter().cloned());
        let result = what(self);
        self.rows.truncate(depth);
        result
    }

    /// What a row is sorted by, and what it shows.
    fn row(
        &mut self,
        query: &Query,
        bound: &[Bound],
        names: &mut Vec<String>,
    ) -> Result<(Vec<Value>, Vec<Value>), Fault> {
        self.with(bound, |runner| {
            let (mut row, mut shown) = (Vec::new(), Vec::new());
            for (expr, name) in &query.columns {
                match expr {
                    Some(expr) => {
                        row.push(runner.eval(expr)?);
                        shown.push(name.clone());
                    }
                    None => {
                        for bound in
                            bound.iter().filter(|bound| name.is_empty() || bound.alias == *name)
                        {
                            row.extend(bound.cells.iter().cloned());
                            shown.extend(bound.names.iter().cloned());
                        }
                    }
                }
            }
            let by = query.order.iter().map(|(by, _)| match by {
                Expr::Literal(Value::Int(place)) => {
                    Ok(row.get(*place as usize - 1).cloned().unwrap_or(Value::Null))
                }
                Expr::Name(path) if path.len() == 1 && shown.contains(&path[0]) => {
                    let place = shown.iter().position(|name| *name == path[0]).unwrap_or(0);
                    Ok(row[place].clone())
                }
                by => runner.eval(by),
            });
            let by = by.collect::<Result<Vec<_>, Fault>>()?;
            *names = shown;
            Ok((by, row))
        })
    }

    /// Rows of all sources that go together, and the key of the first one's.
    fn joined(&mut self, query: &Query) -> Result<Joined, Fault> {
        let mut joined = vec![(Vec::new(), String::new())];
        for (place, source) in query.from.iter().enumerate() {
            let found = self.find(source, if place == 0 { query.filter.as_ref() } else { None })?;
            let equal = source.on.as_ref().and_then(|on| equality(on, &source.alias, &found.names));
            let index = equal.map(|(column, other)| {
                let mut index: HashMap<String, Vec<usize>> = HashMap::new();
                for (place, (_, cells)) in found.rows.iter().enumerate() {
                    index.entry(cells[column].key()).or_default().push(place);
                }
                (index, other)
            });
            let mut next = Vec::new();
            for (bound, key) in joined {
                let places = match &index {
                    Some((index, other)) => {
                        let value = self.with(&bound, |runner| runner.eval(other))?;
                        index.get(&value.key()).cloned().unwrap_or_default()
                    }
                    None => (0..found.rows.len()).collect(),
                };
                let before = next.len();
                for at in places {
                    let (own, cells) = &found.rows[at];
                    let mut bound = bound.clone();
                    bound.push(source_row(source, &found, Arc::clone(cells)));
                    if self.with(&bound, |runner| runner.is_true(source.on.as_ref()))? {
                        next.push((bound, if place == 0 { own.clone() } else { key.clone() }));
                    }
                }
                if source.is_left && next.len() == before {
                    let mut bound = bound.clone();
                    bound.push(source_row(
                        source,
                        &found,
                        vec![Value::Null; found.names.len()].into(),
                    ));
                    next.push((bound, key));
                }
            }
            joined = next;
        }
        let mut kept = Vec::new();
        for (bound, key) in joined {
            self.row_number = kept.len() as i64 + 1;
            if self.with(&bound, |runner| runner.is_true(query.filter.as_ref()))? {
                kept.push((bound, key));
            }
        }
        Ok(kept)
    }

    /// The rows of a source as this session sees them; fewer, where the condition names a key.
    pub(super) fn find(
        &mut self,
        source: &Source,
        condition: Option<&Expr>,
    ) -> Result<Found, Fault> {
        let name = match &source.what {
            From::Query(query) => {
                let rows = self.query(query)?;
                let with_no_key = |row: Vec<Value>| (String::new(), row.into());
                return Ok(Found {
                    names: rows.names.into(),
                    rows: rows.rows.into_iter().map(with_no_key).collect(),
                });
            }
            From::Table(name) => name,
        };
        let numbers = self.numbers();
        let table = {
            let world = self.shared.world();
            world.tables.get(name).map(|table| {
                let key = if let [key] = table.key[..] {
                    Some((key, table.columns[key].of))
                } else {
                    None
                };
                (Arc::clone(&table.names), key)
            })
        };
        let Some((names, key)) = table else {
            return views::find(&self.shared.world(), name, (&self.user, self.container));
        };
        let looked_up = match (key, condition) {
            (Some((key, of)), Some(condition)) => {
                let equal = equality(condition, &source.alias, &names);
                let other = equal.filter(|(column, _)| *column == key).map(|(_, other)| other);
                // Rows that come later are not known yet.
                let value = other.and_then(|other| self.eval(other).ok());
                value.map(|value| value.into_type(of)).transpose()?.map(|value| value.key())
            }
            _ => None,
        };
        let world = self.shared.world();
        let table = world.tables.get(name).ok_or_else(|| Fault::numbered(942))?;
        let rows = match looked_up {
            Some(key) => {
                let row = table.rows.get(&key).and_then(|row| row.seen_by(&numbers));
                row.map(|cells| (key, Arc::clone(cells))).into_iter().collect()
            }
            None => {
                let seen = table.rows.iter().filter_map(|(key, row)| {
                    Some((key.clone(), Arc::clone(row.seen_by(&numbers)?)))
                });
                seen.collect()
            }
        };
        Ok(Found { names, rows })
    }

    /// Locks the rows of the first source; none: they are not as they were read any more.
    fn lock_rows(
        &mut self,
        query: &Query,
        joined: Joined,
        waits: Waits,
    ) -> Result<Option<Joined>, Fault> {
        let Some(Source { what: From::Table(table), .. }) = query.from.first() else {
            return Ok(Some(joined));
        };
        let mut locked = Vec::new();
        for (bound, key) in joined {
            let cells = Arc::clone(&bound[0].cells);
            match self.write(table, &key, Some(&cells), Some(Arc::clone(&cells)))? {
                Ok(()) => locked.push((bound, key)),
                Err(Refusal::Blocked(_)) if waits == Waits::Skip => {}
                Err(Refusal::Blocked(by)) => {
                    self.wait_for(by, waits)?;
                    return Ok(None);
                }
                Err(Refusal::Changed) => return Ok(None),
            }
        }
        Ok(Some(locked))
    }

    /// Waits for the end of a transaction.
    pub(super) fn wait_for(&mut self, transaction: u64, waits: Waits) -> Result<(), Fault> {
        let millis = match waits {
            Waits::Seconds(0) => return Err(Fault::numbered(54)),
            Waits::Seconds(seconds) => seconds * 1000,
            _ => -1,
        };
        // An autonomous transaction that waits for the one around it does so for ever.
        if self.transactions.iter().any(|own| own.number == Some(transaction)) {
            return Err(Fault::numbered(60));
        }
        let resource = Resource::Transaction(transaction);
        let outcome = self.wait(resource.clone(), owner(self.id, true), Mode::EXCLUSIVE, millis)?;
        self.shared.world().locks.release_whole(&resource, owner(self.id, true));
        match outcome {
            Outcome::Timeout => Err(Fault::numbered(30_006)),
            Outcome::Deadlock => Err(Fault::numbered(60)),
            _ => Ok(()),
        }
    }
}

/// NULL comes last.
fn in_order(a: &Value, b: &Value) -> Ordering {
    match (a.is_null(), b.is_null()) {
        (false, false) => a.compare(b).ok().flatten().unwrap_or(Ordering::Equal),
        (a, b) => a.cmp(&b),
    }
}

fn source_row(source: &Source, found: &Found, cells: Cells) -> Bound {
    Bound { alias: source.alias.clone(), names: Arc::clone(&found.names), cells }
}

/// A column of a source that a condition wants to be equal to something else.
fn equality<'a>(condition: &'a Expr, alias: &str, names: &[String]) -> Option<(usize, &'a Expr)> {
    let Expr::Binary(sign, left, right) = condition else { return None };
    if *sign == "AND" {
        return equality(left, alias, names).or_else(|| equality(right, alias, names));
    }
    let column = |expr: &Expr| match expr {
        Expr::Name(path) if path.len() == 1 || path[0] == alias => {
            names.iter().position(|name| path.last() == Some(name))
        }
        _ => None,
    };
    match (*sign, column(left), column(right)) {
        ("=", Some(column), None) if is_outside(right, alias, names) => Some((column, right)),
        ("=", None, Some(column)) if is_outside(left, alias, names) => Some((column, left)),
        _ => None,
    }
}

/// Whether there is a function over groups in it.
fn aggregates(expr: &Expr) -> bool {
    match expr {
        Expr::Aggregate(..) => true,
        Expr::Binary(_, left, right) => aggregates(left) || aggregates(right),
        Expr::Call(_, arguments) => arguments.iter().any(|argument| aggregates(&argument.value)),
        Expr::Negative(of) | Expr::Cast(of, _) | Expr::Extract(_, of) => aggregates(of),
        _ => false,
    }
}

/// Whether an expression says nothing of a row of these columns.
fn is_outside(expr: &Expr, alias: &str, names: &[String]) -> bool {
    match expr {
        Expr::Literal(_) | Expr::Bind(_) => true,
        Expr::Name(path) => match &path[..] {
            [name] => !names.contains(name),
            [of, ..] => of != alias,
            [] => false,
        },
        Expr::Call(_, arguments) => {
            arguments.iter().all(|argument| is_outside(&argument.value, alias, names))
        }
        Expr::Binary(_, left, right) => {
            is_outside(left, alias, names) && is_outside(right, alias, names)
        }
        Expr::Cast(of, _) => is_outside(of, alias, names),
        _ => false,
    }
}
