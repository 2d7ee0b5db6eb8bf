//! What a server knows: its databases, sessions and locks.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tokio::sync::Notify;

use crate::doubles::script::Script;
use crate::doubles::waiting;

use super::ast::TableDef;
use super::error::Fault;
use super::locks::{Locks, Owner, Resource};
use super::modes::Mode;
use super::value::Value;

/// A server, which its sessions share.
pub(super) type Shared = waiting::Shared<World>;

/// A table and what is in it.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) def: TableDef,
    pub(super) rows: Vec<Vec<Value>>,
}

/// A database; its number is its place, from 1.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) name: String,
    pub(super) tables: Vec<Table>,
}

/// A client's session, as others see it.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) host: String,
    pub(super) program: String,
    pub(super) login: String,
    pub(super) process: u32,
    pub(super) address: String,
    pub(super) database: u32,
    pub(super) since: i64,
    /// When it was asked last.
    pub(super) asked: i64,
    /// The text that it runs.
    pub(super) running: Option<String>,
    pub(super) transactions: u32,
    /// Told when it is to end.
    pub(super) kill: Arc<Notify>,
}

/// All of a server.
#[derive(Debug)]
pub(super) struct World {
    pub(super) databases: Vec<Database>,
    pub(super) sessions: BTreeMap<u16, Session>,
    pub(super) locks: Locks,
    pub(super) script: Script,
    options: HashMap<String, String>,
}

impl waiting::World for World {
    type Resource = Resource;
    type Mode = Mode;

    fn locks(&mut self) -> &mut Locks {
        &mut self.locks
    }
}

impl World {
    pub(super) fn new() -> Self {
        let names = ["master", "tempdb", "model", "msdb", "test"];
        let database = |name: &str| Database { name: name.into(), tables: Vec::new() };
        World {
            databases: names.into_iter().map(database).collect(),
            sessions: BTreeMap::new(),
            locks: Locks::default(),
            script: Script::default(),
            options: HashMap::new(),
        }
    }

    /// The number of a database. One that has been dropped leaves its place empty.
    pub(super) fn database(&self, name: &str) -> Result<u32, Fault> {
        let place = self.databases.iter().position(|db| db.name.eq_ignore_ascii_case(name));
        let id = place.filter(|_| !name.is_empty()).and_then(|place| u32::try_from(place + 1).ok());
        id.ok_or_else(|| {
            Fault::new(911, format!("Database '{name}' does not exist. Make sure that the name is entered correctly."))
        })
    }

    pub(super) fn database_name(&self, id: u32) -> &str {
        let database =
            usize::try_from(id).ok().and_then(|id| self.databases.get(id.wrapping_sub(1)));
        database.map_or("", |database| &database.name)
    }

    pub(super) fn tables(&self, database: u32) -> &[Table] {
        let place = usize::try_from(database).map_or(0, |id| id.saturating_sub(1));
        self.databases.get(place).map_or(&[], |database| &database.tables)
    }

    pub(super) fn tables_mut(&mut self, database: u32) -> Option<&mut Vec<Table>> {
        let place = usize::try_from(database).ok()?.checked_sub(1)?;
        self.databases.get_mut(place).map(|database| &mut database.tables)
    }

    pub(super) fn table(&self, database: u32, name: &str) -> Option<&Table> {
        self.tables(database).iter().find(|table| table.name.eq_ignore_ascii_case(name))
    }

    pub(super) fn create_database(&mut self, name: &str) -> Result<(), Fault> {
        if self.database(name).is_ok() {
            return Err(Fault::new(
                1801,
                format!("Database '{name}' already exists. Choose a different database name."),
            ));
        }
        self.databases.push(Database { name: name.into(), tables: Vec::new() });
        Ok(())
    }

    /// Its place stays, without a name.
    pub(super) fn drop_database(&mut self, name: &str, if_exists: bool) -> Result<(), Fault> {
        let id = match self.database(name) {
            Err(_) if if_exists => return Ok(()),
            Err(_) => {
                return Err(Fault::new(
                    3701,
                    format!(
                        "Cannot drop the database '{name}', because it does not exist or you do not have permission."
                    ),
                ));
            }
            Ok(id) => id,
        };
        if self.sessions.values().any(|session| session.database == id) {
            return Err(Fault::new(
                3702,
                format!("Cannot drop database \"{name}\" because it is currently in use."),
            ));
        }
        if let Some(database) =
            self.databases.iter_mut().find(|database| database.name.eq_ignore_ascii_case(name))
        {
            *database = Database { name: String::new(), tables: Vec::new() };
        }
        Ok(())
    }

    /// How a server behaves that is not as it comes: what a test has set.
    pub(super) fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }

    pub(super) fn is(&self, option: &str) -> bool {
        self.option(option).is_some_and(|value| !value.is_empty() && value != "0")
    }

    pub(super) fn set_option(&mut self, name: &str, value: &str) {
        self.options.insert(name.to_owned(), value.to_owned());
    }

    /// What a lock of that name is called. Babelfish has one room for all databases.
    pub(super) fn application(&self, database: u32, principal: &str, name: &str) -> Resource {
        let cut: Vec<u16> = name.encode_utf16().take(255).collect();
        let database = if self.is("babelfish") { 0 } else { database };
        let principal = principal.to_lowercase();
        Resource::Application { database, principal, name: String::from_utf16_lossy(&cut) }
    }

    /// A session has ended: nothing of it stays.
    pub(super) fn forget(&mut self, session: u16) {
        self.sessions.remove(&session);
        self.locks.release_all(|owner| owner.session == session);
    }

    /// The end of a transaction.
    pub(super) fn release_transaction(&mut self, session: u16) {
        self.locks.release_all(|owner| owner == Owner { session, is_transaction: true });
    }
}
