//! Ledger: what this process has on each session of a server.
//!
//! A server counts how often a session has a lock, and tells nobody. So this process counts with it:
//! what was granted and is still somebody's (`held`), and what was sent and never answered, or left
//! behind (`unreleased`). The server's own count is `held`, and at most `unreleased` more.
//!
//! A debt is paid when nobody here holds the key any more: the session lets go of it, once for each
//! count that is unreleased, if it has it. That can't take from anybody, so a payment whose answer nobody
//! has read may be made again. What is held is given back once and never again: from the moment
//! when that is sent it is unreleased.
//!
//! Pure: no clock, no connection.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use once_cell::sync::Lazy;

use super::session::{Place, Session};
use crate::spec::lock_id::LockId;

/// Sessions that owe, at most: one that has ended never says so. The oldest are forgotten first.
const DEBTORS_MAX: usize = 4096;
/// In how many sessions a debt of nobody knows which is looked for.
const SEARCHES_MAX: u8 = 32;

/// Which kind of database a session is of: its [label](super::dialect::Dialect::LABEL).
pub(crate) type Database = &'static str;

static LEDGER: Lazy<Mutex<Ledger>> = Lazy::new(Mutex::default);

/// The one of this process.
pub(crate) fn ledger() -> MutexGuard<'static, Ledger> {
    LEDGER.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    accounts: HashMap<(Database, Session), Account>,
    places: HashMap<Place, Session>,
    lost: Vec<Lost>,
    turn: u64,
}

#[derive(Debug, Default)]
struct Account {
    place: Place,
    entries: Vec<Entry>,
    turn: u64,
}

#[derive(Debug)]
struct Entry {
    lock_id: LockId,
    held: usize,
    unreleased: usize,
}

/// A debt of a session that never told its name.
#[derive(Debug)]
struct Lost {
    database: Database,
    lock_id: LockId,
    /// Where its connection is, if it goes into no other hands.
    place: Option<Place>,
    searches: u8,
}

impl Lost {
    fn may_be_of(&self, database: Database, place: Place) -> bool {
        self.database == database && self.place.is_none_or(|here| here == place)
    }
}

/// Whether a session has a key, as far as this process knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holding {
    Not,
    OtherMode,
    SameMode,
}

impl Account {
    fn entry(&mut self, lock_id: &LockId) -> &mut Entry {
        let at = self.entries.iter().position(|entry| entry.lock_id == *lock_id);
        let at = at.unwrap_or_else(|| {
            self.entries.push(Entry { lock_id: lock_id.clone(), held: 0, unreleased: 0 });
            self.entries.len() - 1
        });
        &mut self.entries[at]
    }

    fn holds(&self) -> bool {
        self.entries.iter().any(|entry| entry.held > 0)
    }
}

impl Ledger {
    /// The session that was last seen of the connection at this place, as long as it has anything.
    pub(crate) fn session_at(&self, place: Place) -> Option<&Session> {
        self.places.get(&place)
    }

    fn account(&self, database: Database, session: &Session) -> Option<&Account> {
        self.accounts.get(&(database, session.clone()))
    }

    fn find(&self, database: Database, session: &Session, lock_id: &LockId) -> Option<&Entry> {
        let account = self.account(database, session)?;
        account.entries.iter().find(|entry| entry.lock_id == *lock_id)
    }

    /// How this session has the key.
    pub(crate) fn look(&self, database: Database, session: &Session, lock_id: &LockId) -> Holding {
        let entries = || self.account(database, session).map_or(&[][..], |it| &it.entries);
        let held = || entries().iter().filter(|entry| entry.held > 0);
        match held().any(|entry| entry.lock_id == *lock_id) {
            true => Holding::SameMode,
            false if held().any(|entry| entry.lock_id.key == lock_id.key) => Holding::OtherMode,
            false => Holding::Not,
        }
    }

    /// Whether a lock on this session is held by way of a connection that is elsewhere.
    pub(crate) fn is_elsewhere(&self, database: Database, session: &Session, place: Place) -> bool {
        let account = self.account(database, session);
        account.is_some_and(|account| account.holds() && account.place != place)
    }

    /// How often it is held.
    pub(crate) fn held(&self, database: Database, session: &Session, lock_id: &LockId) -> usize {
        self.find(database, session, lock_id).map_or(0, |entry| entry.held)
    }

    /// What the session owes of this key, if so many are the last that are held of it.
    pub(crate) fn unreleased_behind(
        &self,
        database: Database,
        session: &Session,
        lock_id: &LockId,
        last: usize,
    ) -> usize {
        match self.find(database, session, lock_id) {
            Some(entry) if entry.held <= last => entry.unreleased,
            _ => 0,
        }
    }

    /// What the session owes of keys that nobody holds, and how often.
    pub(crate) fn payable(&self, database: Database, session: &Session) -> Vec<(LockId, usize)> {
        let entries = self.account(database, session).map_or(&[][..], |it| &it.entries);
        let due = entries.iter().filter(|entry| entry.held == 0 && entry.unreleased > 0);
        due.map(|entry| (entry.lock_id.clone(), entry.unreleased)).collect()
    }

    /// The session has told that it was granted this.
    pub(crate) fn granted(
        &mut self,
        database: Database,
        session: &Session,
        place: Place,
        lock_id: &LockId,
    ) {
        let account = self.open(database, session);
        let anew = !account.holds();
        account.entry(lock_id).held += 1;
        // Where it holds something already, it is seen from where that is.
        if anew {
            account.place = place;
            self.places.insert(place, session.clone());
        }
    }

    /// What is held is on its way back: nobody knows yet whether it gets there.
    pub(crate) fn giving(&mut self, database: Database, session: &Session, lock_id: &LockId) {
        self.change(database, session, |account| {
            let entry = account.entry(lock_id);
            if entry.held > 0 {
                entry.held -= 1;
                entry.unreleased += 1;
            }
        });
    }

    /// It was not given back after all: the server has done nothing of what was sent.
    pub(crate) fn not_given(&mut self, database: Database, session: &Session, lock_id: &LockId) {
        self.change(database, session, |account| {
            let entry = account.entry(lock_id);
            if entry.unreleased > 0 {
                entry.unreleased -= 1;
                entry.held += 1;
            }
        });
    }

    /// The server may have counted once more.
    pub(crate) fn add_unreleased(
        &mut self,
        database: Database,
        session: &Session,
        lock_id: &LockId,
    ) {
        self.open(database, session).entry(lock_id).unreleased += 1;
        self.forget_the_oldest();
    }

    /// The server has answered to a payment of so many.
    pub(crate) fn paid(
        &mut self,
        database: Database,
        session: &Session,
        lock_id: &LockId,
        count: usize,
    ) {
        self.change(database, session, |account| {
            let entry = account.entry(lock_id);
            entry.unreleased = entry.unreleased.saturating_sub(count);
        });
    }

    /// Another session is at this place by now.
    pub(crate) fn left(&mut self, place: Place) {
        self.places.remove(&place);
    }

    /// The session is no more, and its locks with it.
    pub(crate) fn ended(&mut self, database: Database, session: &Session) {
        self.accounts.remove(&(database, session.clone()));
        self.places.retain(|_, at| at != session);
    }

    /// A session of this database owes this, and nobody knows which.
    pub(crate) fn add_unreleased_somewhere(
        &mut self,
        database: Database,
        lock_id: &LockId,
        place: Option<Place>,
    ) {
        self.lost.push(Lost { database, lock_id: lock_id.clone(), place, searches: 0 });
        let over = self.lost.len().saturating_sub(DEBTORS_MAX);
        self.lost.drain(..over);
    }

    /// Whether there are such debts that can be of the connection at this place.
    pub(crate) fn is_searching(&self, database: Database, place: Place) -> bool {
        self.lost.iter().any(|lost| lost.may_be_of(database, place))
    }

    /// This session may be the one: debts of nobody knows which are its own until it has answered.
    /// Of each key one, for no session is suspected of more.
    pub(crate) fn suspect(&mut self, database: Database, session: &Session, place: Place) {
        let mut lock_ids: Vec<LockId> = Vec::new();
        for lost in self.lost.iter_mut().filter(|lost| lost.may_be_of(database, place)) {
            // There is but one connection at a place.
            lost.searches = if lost.place.is_some() { SEARCHES_MAX } else { lost.searches + 1 };
            lock_ids.push(lost.lock_id.clone());
        }
        self.lost.retain(|lost| lost.searches < SEARCHES_MAX);
        for lock_id in lock_ids {
            self.add_unreleased(database, session, &lock_id);
        }
    }

    /// It was: so much of it was there.
    pub(crate) fn found(&mut self, database: Database, lock_id: &LockId) {
        let here = |lost: &Lost| lost.database == database && lost.lock_id == *lock_id;
        if let Some(at) = self.lost.iter().position(here) {
            self.lost.swap_remove(at);
        }
    }

    fn open(&mut self, database: Database, session: &Session) -> &mut Account {
        self.turn += 1;
        let account = self.accounts.entry((database, session.clone())).or_default();
        account.turn = self.turn;
        account
    }

    /// An account with nothing on it is closed.
    fn change(&mut self, database: Database, session: &Session, change: impl FnOnce(&mut Account)) {
        let Some(account) = self.accounts.get_mut(&(database, session.clone())) else { return };
        change(account);
        account.entries.retain(|entry| entry.held + entry.unreleased > 0);
        if account.entries.is_empty() {
            let place = account.place;
            self.accounts.remove(&(database, session.clone()));
            if self.places.get(&place) == Some(session) {
                self.places.remove(&place);
            }
        }
    }

    fn forget_the_oldest(&mut self) {
        if self.accounts.len() <= DEBTORS_MAX {
            return;
        }
        let accounts_in_debt = self.accounts.iter().filter(|(_, account)| !account.holds());
        let oldest =
            accounts_in_debt.min_by_key(|(_, account)| account.turn).map(|(who, _)| who.clone());
        if let Some((database, session)) = oldest {
            self.ended(database, &session);
        }
    }
}

#[cfg(test)]
mod tests;
