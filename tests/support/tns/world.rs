//! What a server knows: its sessions, locks and tables.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::Notify;

use crate::doubles::locks::{Locks, Owner};
use crate::doubles::script::Script;
use crate::doubles::waiting;

use super::modes::Mode;
use super::table::Table;
use super::time;

/// A server, which its sessions share.
pub(super) type Shared = waiting::Shared<World>;

/// What is locked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Resource {
    /// By `DBMS_LOCK`: an id in a container.
    User(Container, i64),
    /// A transaction, by itself: a wait for a row that it has changed is a wait for it.
    Transaction(u64),
}

/// A database of the server: one that is plugged in, or the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) enum Container {
    #[default]
    Pluggable,
    Root,
}

impl Container {
    /// The one that a service leads to.
    pub(super) fn of_service(service: &str) -> Option<Self> {
        match service {
            "FREEPDB1" => Some(Container::Pluggable),
            "FREE" => Some(Container::Root),
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Container::Pluggable => "FREEPDB1",
            Container::Root => "CDB$ROOT",
        }
    }

    pub(super) fn id(self) -> i64 {
        match self {
            Container::Pluggable => 3,
            Container::Root => 1,
        }
    }

    /// Returns `true` if the user here sees what is there.
    pub(super) fn sees(self, other: Self) -> bool {
        self == Container::Root || self == other
    }
}

/// A client's session, as others see it.
#[derive(Debug, Default)]
pub(super) struct Session {
    pub(super) serial: u32,
    pub(super) user: String,
    pub(super) container: Container,
    /// What the client has said of itself when it logged in.
    pub(super) client: HashMap<String, String>,
    pub(super) module: String,
    pub(super) action: String,
    pub(super) client_info: String,
    pub(super) identifier: String,
    /// In seconds since 1970.
    pub(super) since: i64,
    pub(super) asked: i64,
    pub(super) is_active: bool,
    /// Told when it is to end; it is killed already, and learns it by its next call.
    pub(super) kill: Arc<Notify>,
    pub(super) is_killed: bool,
}

/// All of a server.
#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) sessions: BTreeMap<u16, Session>,
    pub(super) locks: Locks<Resource, Mode>,
    pub(super) tables: BTreeMap<String, Table>,
    pub(super) script: Script,
    /// Names of locks, with their ids and when they may be forgotten.
    pub(super) allocated: BTreeMap<(Container, String), (i64, i64)>,
    /// Who has asked for which lock with `release_on_commit`.
    pub(super) of_transactions: HashSet<(u16, Resource)>,
    pub(super) since: i64,
    options: HashMap<String, String>,
    serials: u32,
    transactions: u64,
}

impl waiting::World for World {
    type Resource = Resource;
    type Mode = Mode;

    fn locks(&mut self) -> &mut Locks<Resource, Mode> {
        &mut self.locks
    }
}

/// A session's own locks have this owner, its transactions' the other one.
pub(super) fn owner(session: u16, is_transaction: bool) -> Owner {
    Owner { session, is_transaction }
}

impl World {
    pub(super) fn new() -> Self {
        World { since: time::now() / 1_000_000, ..World::default() }
    }

    /// Serial numbers, and numbers of transactions, from 1.
    pub(super) fn serial(&mut self) -> u32 {
        self.serials += 1;
        self.serials
    }

    pub(super) fn transaction(&mut self) -> u64 {
        self.transactions += 1;
        self.transactions
    }

    /// How a server behaves that is not as it comes: what a test has set.
    pub(super) fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Returns `true` if a test has set it, to whatever.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.options.contains_key(name)
    }

    pub(super) fn set_option(&mut self, name: String, value: String) {
        self.options.insert(name, value);
    }

    /// The id of a name, which it keeps.
    pub(super) fn allocate(&mut self, container: Container, name: &str, until: i64) -> i64 {
        let next = 1_073_741_824 + self.allocated.len() as i64;
        let entry = self.allocated.entry((container, name.to_owned())).or_insert((next, until));
        entry.1 = until;
        entry.0
    }

    /// The end of a session's transaction, for locks that last no longer.
    pub(super) fn release_of_transaction(&mut self, session: u16) {
        let locks = self.of_transactions.extract_if(|(of, _)| *of == session).map(|(_, lock)| lock);
        for lock in locks.collect::<Vec<_>>() {
            self.locks.release_whole(&lock, owner(session, false));
        }
    }

    /// A session has ended: nothing of it stays.
    pub(super) fn forget(&mut self, session: u16) {
        self.of_transactions.retain(|(of, _)| *of != session);
        self.locks.release_all(|owner| owner.session == session);
    }
}
