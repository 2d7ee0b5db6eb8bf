//! Statements that change tables, under the locks that they need.

use super::ast::{Name, Output, Query, Source, Statement, TableDef};
use super::change::Change;
use super::error::Fault;
use super::locks::{Owner, Resource};
use super::merge;
use super::metadata;
use super::modes::Mode;
use super::reply::{self, Reply};
use super::scope::{Answer, Locals, Scope};
use super::transaction::Transaction;
use super::world::Shared;
use super::world::{Table, World};
use super::write;
use crate::doubles::waiting::Outcome;

/// A session, as far as its statements need it.
pub(super) struct Context<'a> {
    pub(super) shared: &'a Shared,
    pub(super) locals: &'a mut Locals,
    pub(super) transaction: &'a mut Transaction,
    pub(super) reply: &'a mut Vec<Reply>,
}

/// The table that a statement changes, and the alias by which it knows it.
fn target(statement: &Statement) -> Option<(&Name, String, String)> {
    let simple = |table: &Name| (table[0].clone(), table[0].clone());
    let (table, (name, alias)) = match statement {
        Statement::Insert { table, .. } => (table, simple(table)),
        Statement::Update { table, from, .. } | Statement::Delete { table, from, .. } => {
            let named = write::alias_in(from.as_ref(), &table[0]);
            let named = named.map(|(alias, name)| (name.to_owned(), alias.to_owned()));
            (table, named.unwrap_or_else(|| simple(table)))
        }
        Statement::Merge { table, alias, .. } => (table, (table[0].clone(), alias.clone())),
        _ => return None,
    };
    Some((table, name, alias))
}

impl Context<'_> {
    /// Runs INSERT, UPDATE, DELETE or MERGE.
    pub(super) async fn change(&mut self, statement: &Statement) -> Result<(), Fault> {
        let Some((parts, name, alias)) = target(statement) else { return Ok(()) };
        let database = self.database_of(parts)?;
        let name = name.to_lowercase();
        if name.starts_with('@') {
            let own = self.locals.tables.get(&name).cloned();
            let own = own.ok_or_else(|| {
                Fault::new(1087, format!("Must declare the table variable \"{name}\"."))
            })?;
            let change =
                changed(&own, &alias, statement, &Scope::new(&self.shared.world(), self.locals))?;
            if let Some(table) = self.locals.tables.get_mut(&name) {
                table.rows = change.rows;
            }
            self.answer(statement, change.count, change.output);
            return Ok(());
        }
        let resource = self.lock(database, &name, Mode::EXCLUSIVE).await?;
        let done = self.change_table(statement, database, &name, &alias);
        if self.transaction.count() == 0 {
            self.unlock(&resource);
        }
        let (count, output) = done?;
        self.answer(statement, count, output);
        Ok(())
    }

    fn change_table(
        &mut self,
        statement: &Statement,
        database: u32,
        name: &str,
        alias: &str,
    ) -> Result<(i64, Option<Answer>), Fault> {
        let mut world = self.shared.world();
        writable(&world)?;
        let missing = || Fault::new(208, format!("Invalid object name '{name}'."));
        let table = world.table(database, name).ok_or_else(missing)?;
        let change = changed(table, alias, statement, &Scope::new(&world, self.locals))?;
        self.transaction.remember(database, name, Some(table));
        let tables = world.tables_mut(database).ok_or_else(missing)?;
        if let Some(table) = tables.iter_mut().find(|table| table.name.eq_ignore_ascii_case(name)) {
            table.rows = change.rows;
        }
        Ok((change.count, change.output))
    }

    /// What it puts out goes to the client, or to a table variable.
    fn answer(&mut self, statement: &Statement, count: i64, output: Option<Answer>) {
        self.locals.row_count = count;
        let into = output_of(statement).and_then(|output| output.into.as_ref());
        let into = into.and_then(|name| self.locals.tables.get_mut(&name[0].to_lowercase()));
        match (output, into) {
            (Some(output), Some(table)) => table.rows.extend(output.rows),
            (Some(output), None) => reply::rows(self.reply, output),
            (None, _) => self.reply.push(Reply::Done(Some(count))),
        }
    }

    /// Waits until nobody is changing the tables that a query reads, unless it may see them as they were.
    pub(super) async fn wait_to_read(&mut self, query: &Query) -> Result<(), Fault> {
        let mut tables = Vec::new();
        names_in(query.from.as_ref(), &mut tables);
        for parts in tables {
            let (database, name) = (self.database_of(parts)?, parts[0].to_lowercase());
            let is_read = {
                let world = self.shared.world();
                parts.len() < 4 && !world.is("rcsi") && world.table(database, &name).is_some()
            };
            if is_read {
                let resource = self.lock(database, &name, Mode::SHARED).await?;
                self.unlock(&resource);
            }
        }
        Ok(())
    }

    pub(super) fn create_table(&mut self, name: &Name, def: &TableDef) -> Result<(), Fault> {
        let database = self.database_of(name)?;
        let mut world = self.shared.world();
        writable(&world)?;
        if self.locals.login == metadata::POWERLESS {
            return Err(Fault::numbered(262));
        }
        if world.table(database, &name[0]).is_some() {
            return Err(Fault::new(
                2714,
                format!("There is already an object named '{}' in the database.", name[0]),
            ));
        }
        self.transaction.remember(database, &name[0], None);
        let table = Table { name: name[0].clone(), def: def.clone(), rows: Vec::new() };
        if let Some(tables) = world.tables_mut(database) {
            tables.push(table);
        }
        Ok(())
    }

    pub(super) fn drop_table(&mut self, name: &Name, if_exists: bool) -> Result<(), Fault> {
        let database = self.database_of(name)?;
        let mut world = self.shared.world();
        writable(&world)?;
        let table = world.table(database, &name[0]);
        if table.is_none() && !if_exists {
            return Err(Fault::new(
                3701,
                format!(
                    "Cannot drop the table '{}', because it does not exist or you do not have permission.",
                    name[0]
                ),
            ));
        }
        self.transaction.remember(database, &name[0], table);
        if let Some(tables) = world.tables_mut(database) {
            tables.retain(|table| !table.name.eq_ignore_ascii_case(&name[0]));
        }
        Ok(())
    }

    fn database_of(&self, name: &Name) -> Result<u32, Fault> {
        match name.get(2).filter(|database| !database.is_empty()) {
            Some(database) => self.shared.world().database(database),
            None => Ok(self.locals.database),
        }
    }

    fn owner(&self) -> Owner {
        Owner { session: self.locals.id, is_transaction: true }
    }

    async fn lock(&mut self, database: u32, name: &str, mode: Mode) -> Result<Resource, Fault> {
        let resource = Resource::Table { database, name: name.to_owned() };
        let timeout = self.locals.lock_timeout;
        match self.shared.lock(&resource, self.owner(), mode, timeout).await {
            Outcome::AtOnce | Outcome::AfterWait => Ok(resource),
            Outcome::Timeout => Err(Fault::numbered(1222)),
            Outcome::Deadlock => Err(Fault::deadlock(self.locals.id)),
        }
    }

    fn unlock(&self, resource: &Resource) {
        self.shared.world().locks.release(resource, self.owner());
    }
}

fn writable(world: &World) -> Result<(), Fault> {
    if world.is("read_only") { Err(Fault::numbered(3906)) } else { Ok(()) }
}

fn names_in<'a>(source: Option<&'a Source>, names: &mut Vec<&'a Name>) {
    match source {
        Some(Source::Table { name, .. }) => names.push(name),
        Some(Source::Query { query, .. }) => names_in(query.from.as_ref(), names),
        Some(Source::Join { left, right, .. }) => {
            names_in(Some(left), names);
            names_in(Some(right), names);
        }
        _ => {}
    }
}

fn output_of(statement: &Statement) -> Option<&Output> {
    match statement {
        Statement::Insert { output, .. }
        | Statement::Update { output, .. }
        | Statement::Delete { output, .. }
        | Statement::Merge { output, .. } => output.as_ref(),
        _ => None,
    }
}

/// What a statement makes of its table.
fn changed(
    table: &Table,
    alias: &str,
    statement: &Statement,
    scope: &Scope<'_>,
) -> Result<Change, Fault> {
    let output = output_of(statement);
    match statement {
        Statement::Insert { columns, query, .. } => {
            write::insert(table, columns, query, output, scope)
        }
        Statement::Update { from, filter, top, set, .. } => {
            let (from, filter, top) = (from.as_ref(), filter.as_ref(), top.as_ref());
            write::update(table, &write::Which { alias, from, filter, top }, set, output, scope)
        }
        Statement::Delete { from, filter, top, .. } => {
            let (from, filter, top) = (from.as_ref(), filter.as_ref(), top.as_ref());
            write::delete(table, &write::Which { alias, from, filter, top }, output, scope)
        }
        Statement::Merge { source, on, whens, .. } => {
            merge::merge(table, &merge::Merge { alias, source, on, whens }, output, scope)
        }
        _ => Err(Fault::syntax("a statement that changes nothing")),
    }
}
