//! A session: what it has, from its first call to its last, and what a call does.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::doubles::script::Trick;

use super::ast::{Routine, Statement};
use super::eval::Bound;
use super::fault::Fault;
use super::parse::{self, Bind};
use super::query::Rows;
use super::time;
use super::transaction::Transaction;
use super::value::{Type, Value};
use super::views;
use super::world::{Container, Shared};

/// What a name of a block is.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    Variable(Type, Value),
    /// A row of a loop.
    Row(Bound),
    Exception(u32),
    Routine(Arc<Routine>),
}

/// A statement that has been read.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    pub(super) statement: Arc<Statement>,
    pub(super) binds: Arc<Vec<Bind>>,
    /// Tables and views that a block is about.
    tables: Arc<Vec<String>>,
}

/// What a call came to.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) rows: Option<Rows>,
    /// How many rows were written.
    pub(super) count: i64,
    /// What RETURNING gave, for each row.
    pub(super) returned: Vec<Vec<Value>>,
}

pub(super) struct Runner {
    pub(super) shared: Shared,
    pub(super) runtime: Handle,
    pub(super) id: u16,
    pub(super) serial: u32,
    pub(super) user: String,
    pub(super) container: Container,
    /// Whether nobody wants the answer any more.
    pub(super) stop: watch::Receiver<bool>,
    pub(super) trick: Option<Trick>,
    pub(super) transactions: Vec<Transaction>,
    /// Of the call that runs: binds, names of blocks, rows, and the rows of a group.
    pub(super) binds: Vec<Value>,
    pub(super) scopes: Vec<HashMap<String, Entry>>,
    pub(super) rows: Vec<Bound>,
    pub(super) group: Option<Arc<Vec<Vec<Bound>>>>,
    pub(super) errors: Vec<Fault>,
    pub(super) row_count: i64,
    /// ROWNUM
    pub(super) row_number: i64,
    /// When the statement of SQL's that runs has begun.
    pub(super) statement_time: Option<i64>,
    pub(super) is_block: bool,
}

impl Runner {
    pub(super) fn new(
        shared: Shared,
        id: u16,
        serial: u32,
        (user, container): (&str, Container),
        stop: watch::Receiver<bool>,
    ) -> Self {
        Runner {
            shared,
            runtime: Handle::current(),
            id,
            serial,
            user: user.to_owned(),
            container,
            stop,
            trick: None,
            transactions: Vec::new(),
            binds: Vec::new(),
            scopes: Vec::new(),
            rows: Vec::new(),
            group: None,
            errors: Vec::new(),
            row_count: 0,
            row_number: 0,
            statement_time: None,
            is_block: false,
        }
    }

    /// Reads a statement; one that this user may not run is an error already.
    pub(super) fn prepare(&self, sql: &str) -> Result<Prepared, Fault> {
        if self.user == "POWERLESS" {
            let upper = sql.to_uppercase();
            if upper.contains("DBMS_LOCK.") {
                let name =
                    if upper.contains("SYS.DBMS_LOCK.") { "SYS.DBMS_LOCK" } else { "DBMS_LOCK" };
                return Err(Fault::undeclared(name));
            }
            if upper.trim_start().starts_with("CREATE") {
                return Err(Fault::numbered(1031));
            }
        }
        let (statement, binds, tables) =
            parse::statement(sql).map_err(|fault| match fault.number {
                900 => Fault::syntax(format!("{} in: {sql}", fault.text())),
                _ => fault,
            })?;
        let (binds, tables) = (Arc::new(binds), Arc::new(tables));
        Ok(Prepared { statement: Arc::new(statement), binds, tables })
    }

    /// Runs a statement with the values of its binds, which it may change. What fails has done nothing.
    pub(super) fn run(&mut self, prepared: &Prepared, binds: Vec<Value>) -> Result<Outcome, Fault> {
        self.compile(prepared)?;
        self.binds = binds;
        self.scopes.clear();
        self.rows.clear();
        self.errors.clear();
        (self.group, self.statement_time) = (None, None);
        let (before, number) = (self.progress(), self.transaction().number);
        let done = self.statement(&prepared.statement);
        if done.is_err() {
            self.transactions.truncate(1);
            // Another transaction than then has begun with this.
            let to = if self.transaction().number == number { before } else { 0 };
            self.undo(to);
        }
        done
    }

    /// A block is compiled as a whole: what is missing, or may not be seen, is an error before it begins.
    fn compile(&self, prepared: &Prepared) -> Result<(), Fault> {
        if !matches!(*prepared.statement, Statement::Block(_)) {
            return Ok(());
        }
        let world = self.shared.world();
        let is_there = |table: &&String| {
            world.tables.contains_key(*table)
                || views::find(&world, table, (&self.user, self.container)).is_ok()
        };
        if prepared.tables.iter().all(|table| is_there(&table)) {
            return Ok(());
        }
        let missing = Fault::numbered(942).text();
        Err(Fault::new(6550, format!("line 1, column 7:\nPL/SQL: {missing}")))
    }

    pub(super) fn statement(&mut self, statement: &Statement) -> Result<Outcome, Fault> {
        let mut outcome = Outcome::default();
        self.is_block = matches!(statement, Statement::Block(_));
        match statement {
            Statement::Query(query) => {
                self.statement_time = Some(time::now());
                let rows = self.query(query);
                self.statement_time = None;
                let rows = rows?;
                outcome.count = rows.rows.len() as i64;
                outcome.rows = Some(rows);
            }
            Statement::Dml(dml) => {
                outcome.returned = self.dml(dml)?;
                outcome.count = self.row_count;
            }
            Statement::Block(block) => {
                self.block(block)?;
                outcome.count = 1;
            }
            Statement::Commit => self.commit(),
            Statement::Rollback(to) => self.roll_back(to.as_deref())?,
            Statement::Savepoint(name) => {
                let place = self.progress();
                self.transaction().savepoints.push((name.clone(), place));
            }
            Statement::CreateTable { table, columns, key } => {
                self.commit();
                let mut world = self.shared.world();
                if self.user == "POWERLESS" {
                    return Err(Fault::numbered(1031));
                }
                if world.tables.contains_key(table) {
                    return Err(Fault::numbered(955));
                }
                world.tables.insert(table.clone(), super::table::Table::new(columns.clone(), key));
            }
            Statement::DropTable(table) => {
                self.commit();
                let dropped = self.shared.world().tables.remove(table);
                dropped.ok_or_else(|| Fault::numbered(942))?;
            }
            Statement::TruncateTable(table) => {
                self.commit();
                let mut world = self.shared.world();
                let emptied = world.tables.get_mut(table).map(super::table::Table::truncate);
                match emptied.ok_or_else(|| Fault::numbered(942))? {
                    true => {}
                    false => return Err(Fault::numbered(54)),
                }
            }
            Statement::LockTable(table) => {
                let known = self.shared.world().tables.contains_key(table);
                return if known { Ok(outcome) } else { Err(Fault::numbered(942)) };
            }
            Statement::Kill { session, disconnects } => self.kill(session, *disconnects)?,
            Statement::Nothing => {}
        }
        Ok(outcome)
    }

    /// Ends a session of that number and birth: what it has is free at once.
    fn kill(&self, session: &str, disconnects: bool) -> Result<(), Fault> {
        if self.user == "POWERLESS" || self.user == "LIMITED" {
            return Err(Fault::numbered(1031));
        }
        let mut parts = session.split(',').map(|part| part.trim().parse::<u32>().ok());
        let (id, serial) = (parts.next().flatten(), parts.next().flatten());
        let id = id.and_then(|id| u16::try_from(id).ok()).unwrap_or(0);
        if id == self.id {
            return Err(Fault::new(27, "cannot kill current session"));
        }
        let mut world = self.shared.world();
        let found = world
            .sessions
            .get_mut(&id)
            .filter(|found| Some(found.serial) == serial && !found.is_killed);
        let found = found.ok_or_else(|| Fault::new(30, "User session ID does not exist."))?;
        found.is_killed = true;
        // One that does nothing learns it by its next call.
        if found.is_active || disconnects {
            found.kill.notify_one();
        }
        world.forget(id);
        Ok(())
    }

    /// The end of the session, or of what it has done.
    pub(super) fn close(&mut self) {
        while !self.transactions.is_empty() {
            let _ = self.roll_back(None);
            self.transactions.pop();
        }
    }
}
