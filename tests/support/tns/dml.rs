//! Statements that change tables.

use std::slice::from_ref;
use std::sync::Arc;

use super::ast::{Column, Dml, Expr, From, Returning, Rows, Source, Waits};
use super::eval::Bound;
use super::fault::Fault;
use super::runner::Runner;
use super::table::{Cells, Refusal};
use super::time;
use super::value::{Type, Value};

/// A statement begins again: a row that it is about is not as it was read any more.
struct Again;

type Done<T> = Result<Result<T, Again>, Fault>;

impl Runner {
    /// Changes rows; gives what RETURNING says of each.
    pub(super) fn dml(&mut self, dml: &Dml) -> Result<Vec<Vec<Value>>, Fault> {
        let begin = self.progress();
        let before = self.statement_time.replace(time::now());
        let (depth, result) = (
            self.rows.len(),
            loop {
                self.row_count = 0;
                let mut returned = Vec::new();
                match self.dml_once(dml, &mut returned) {
                    Ok(Ok(())) => break Ok(returned),
                    Ok(Err(Again)) => self.undo(begin),
                    Err(fault) => {
                        self.undo(begin);
                        break Err(fault);
                    }
                }
            },
        );
        self.rows.truncate(depth);
        self.statement_time = before;
        let returned = result?;
        let returning = match dml {
            Dml::Insert { returning, .. }
            | Dml::Update { returning, .. }
            | Dml::Delete { returning, .. } => returning.as_ref(),
            Dml::Merge { .. } => None,
        };
        if let (Some(returning), true) = (returning, self.is_block || !self.scopes.is_empty()) {
            if returned.len() > 1 {
                return Err(Fault::numbered(1422));
            }
            for (target, value) in returning.into.iter().zip(returned.first().into_iter().flatten())
            {
                self.assign(target, value.clone())?;
            }
        }
        Ok(returned)
    }

    fn dml_once(&mut self, dml: &Dml, returned: &mut Vec<Vec<Value>>) -> Done<()> {
        match dml {
            Dml::Insert { table, columns, rows, returning } => {
                let rows = match rows {
                    Rows::Values(values) => vec![
                        values
                            .iter()
                            .map(|value| self.eval(value))
                            .collect::<Result<Vec<_>, _>>()?,
                    ],
                    Rows::Query(query) => self.query(query)?.rows,
                };
                for row in rows {
                    let cells = self.insert(table, columns, row)?;
                    self.returning(table, table, cells, returning.as_ref(), returned)?;
                }
            }
            Dml::Update { table, alias, set, filter, returning } => {
                for (key, bound) in self.target_rows(table, alias, filter.as_ref())? {
                    let cells =
                        self.with(from_ref(&bound), |runner| runner.changed(table, &bound, set))?;
                    if self.put(table, &key, &bound.cells, Some(Arc::clone(&cells)))?.is_err() {
                        return Ok(Err(Again));
                    }
                    self.returning(table, alias, cells, returning.as_ref(), returned)?;
                }
            }
            Dml::Delete { table, alias, filter, returning } => {
                for (key, bound) in self.target_rows(table, alias, filter.as_ref())? {
                    if self.put(table, &key, &bound.cells, None)?.is_err() {
                        return Ok(Err(Again));
                    }
                    self.returning(table, alias, bound.cells, returning.as_ref(), returned)?;
                }
            }
            Dml::Merge { table, alias, using, on, update, insert } => {
                let source = self.find(using, None)?;
                for (_, cells) in source.rows {
                    let bound = Bound {
                        alias: using.alias.clone(),
                        names: Arc::clone(&source.names),
                        cells,
                    };
                    let matched = self.with(from_ref(&bound), |runner| {
                        runner.target_rows(table, alias, Some(on))
                    })?;
                    if matched.is_empty() {
                        let Some((columns, values, filter)) = insert else { continue };
                        let row = self.with(&[bound], |runner| {
                            let wanted = runner.is_true(filter.as_ref())?;
                            let values = values
                                .iter()
                                .map(|value| runner.eval(value))
                                .collect::<Result<Vec<_>, _>>()?;
                            Ok::<_, Fault>(wanted.then_some(values))
                        })?;
                        if let Some(row) = row {
                            self.insert(table, columns, row)?;
                        }
                        continue;
                    }
                    for (key, target) in matched {
                        let Some((set, filter)) = update else { continue };
                        let both = [bound.clone(), target.clone()];
                        let cells = self.with(&both, |runner| {
                            let wanted = runner.is_true(filter.as_ref())?;
                            wanted.then(|| runner.changed(table, &target, set)).transpose()
                        })?;
                        if let Some(cells) = cells
                            && self.put(table, &key, &target.cells, Some(cells))?.is_err()
                        {
                            return Ok(Err(Again));
                        }
                    }
                }
            }
        }
        Ok(Ok(()))
    }

    fn columns_of(&self, table: &str) -> Result<Vec<Column>, Fault> {
        let world = self.shared.world();
        world
            .tables
            .get(table)
            .map(|table| table.columns.clone())
            .ok_or_else(|| Fault::numbered(942))
    }

    /// The rows of a table that a statement is about.
    fn target_rows(
        &mut self,
        table: &str,
        alias: &str,
        filter: Option<&Expr>,
    ) -> Result<Vec<(String, Bound)>, Fault> {
        self.columns_of(table)?;
        let source = Source {
            what: From::Table(table.to_owned()),
            alias: alias.to_owned(),
            on: None,
            is_left: false,
        };
        let found = self.find(&source, filter)?;
        let mut rows = Vec::new();
        for (key, cells) in found.rows {
            let bound = Bound { alias: alias.to_owned(), names: Arc::clone(&found.names), cells };
            if self.with(from_ref(&bound), |runner| runner.is_true(filter))? {
                rows.push((key, bound));
            }
        }
        Ok(rows)
    }

    /// A row with other values in some of its columns.
    fn changed(
        &mut self,
        table: &str,
        bound: &Bound,
        set: &[(String, Expr)],
    ) -> Result<Cells, Fault> {
        let columns = self.columns_of(table)?;
        let mut cells = bound.cells.to_vec();
        for (name, value) in set {
            let place = columns
                .iter()
                .position(|column| column.name == *name)
                .ok_or_else(|| Fault::unknown(name))?;
            let value = self.eval(value)?;
            cells[place] = fitting(value, table, &columns[place])?;
        }
        Ok(cells.into())
    }

    /// Writes a row, after those who work on it; then the statement may have to begin again.
    fn put(&mut self, table: &str, key: &str, read: &Cells, cells: Option<Cells>) -> Done<()> {
        match self.write(table, key, Some(read), cells)? {
            Ok(()) => {
                self.row_count += 1;
                Ok(Ok(()))
            }
            Err(Refusal::Changed) => Ok(Err(Again)),
            Err(Refusal::Blocked(by)) => {
                self.wait_for(by, Waits::Forever)?;
                Ok(Err(Again))
            }
        }
    }

    /// Inserts a row, after those who insert the same one: then it may be there.
    fn insert(&mut self, table: &str, columns: &[String], row: Vec<Value>) -> Result<Cells, Fault> {
        let all = self.columns_of(table)?;
        if row.len() != if columns.is_empty() { all.len() } else { columns.len() } {
            return Err(Fault::new(947, "not enough values"));
        }
        let mut cells = Vec::with_capacity(all.len());
        for (place, column) in all.iter().enumerate() {
            let given = if columns.is_empty() {
                Some(place)
            } else {
                columns.iter().position(|name| *name == column.name)
            };
            let value = match (given, &column.default) {
                (Some(given), _) => row[given].clone(),
                (None, Some(default)) => self.eval(default)?,
                (None, None) => Value::Null,
            };
            cells.push(fitting(value, table, column)?);
        }
        if let Some(unknown) =
            columns.iter().find(|name| !all.iter().any(|column| column.name == **name))
        {
            return Err(Fault::unknown(unknown));
        }
        let key = self
            .shared
            .world()
            .tables
            .get_mut(table)
            .ok_or_else(|| Fault::numbered(942))?
            .key_of(&cells);
        let cells: Cells = cells.into();
        loop {
            match self.write(table, &key, None, Some(Arc::clone(&cells)))? {
                Ok(()) => break,
                Err(Refusal::Changed) => {
                    return Err(Fault::new(
                        1,
                        format!("unique constraint ({}.SYS_C_{table}) violated", self.user),
                    ));
                }
                Err(Refusal::Blocked(by)) => self.wait_for(by, Waits::Forever)?,
            }
        }
        self.row_count += 1;
        Ok(cells)
    }

    fn returning(
        &mut self,
        table: &str,
        alias: &str,
        cells: Cells,
        returning: Option<&Returning>,
        returned: &mut Vec<Vec<Value>>,
    ) -> Result<(), Fault> {
        let Some(returning) = returning else { return Ok(()) };
        let names = self.columns_of(table)?.into_iter().map(|column| column.name).collect();
        let bound = Bound { alias: alias.to_owned(), names, cells };
        let row = self.with(&[bound], |runner| {
            returning
                .columns
                .iter()
                .map(|column| runner.eval(column))
                .collect::<Result<Vec<_>, _>>()
        })?;
        returned.push(row);
        Ok(())
    }
}

/// A value as a column takes it.
fn fitting(value: Value, table: &str, column: &Column) -> Result<Value, Fault> {
    if value.is_null() && column.not_null {
        return Err(Fault::new(
            1400,
            format!("cannot insert NULL into (\"{table}\".\"{}\")", column.name),
        ));
    }
    value.into_type(column.of).map_err(|fault| match (fault.number, column.of) {
        (6502, Type::Text(most) | Type::Bytes(most)) => Fault::new(
            12_899,
            format!("value too large for column \"{table}\".\"{}\" (maximum: {most})", column.name),
        ),
        _ => fault,
    })
}
