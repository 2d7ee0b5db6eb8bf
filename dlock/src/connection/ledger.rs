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

use super::dialect::Dialect;
use super::session::Session;
use crate::spec::lock_id::LockId;

/// Where a connection is in memory. A hint only: who locks on it borrows it, so that it stays there,
/// but a lock can be forgotten. Which session it is, the server says.
pub(crate) type Place = usize;

/// Sessions that owe, at most: one that has ended never says so. The oldest are forgotten first.
const DEBTORS_MAX: usize = 4096;
/// In how many sessions a debt of nobody knows which is looked for.
const SEARCHES_MAX: u8 = 32;

static LEDGER: Lazy<Mutex<Ledger>> = Lazy::new(Mutex::default);

/// The one of this process.
pub(crate) fn ledger() -> MutexGuard<'static, Ledger> {
    LEDGER.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    accounts: HashMap<(Dialect, Session), Account>,
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
    dialect: Dialect,
    lock_id: LockId,
    /// Where its connection is, if it goes into no other hands.
    place: Option<Place>,
    searches: u8,
}

impl Lost {
    fn may_be_of(&self, dialect: Dialect, place: Place) -> bool {
        self.dialect == dialect && self.place.is_none_or(|here| here == place)
    }
}

/// How a session has a key, as far as this process knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    Not,
    /// In another mode.
    Otherwise,
    Already,
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

    fn account(&self, dialect: Dialect, session: &Session) -> Option<&Account> {
        self.accounts.get(&(dialect, session.clone()))
    }

    fn find(&self, dialect: Dialect, session: &Session, lock_id: &LockId) -> Option<&Entry> {
        let account = self.account(dialect, session)?;
        account.entries.iter().find(|entry| entry.lock_id == *lock_id)
    }

    /// How this session has the key.
    pub(crate) fn look(&self, dialect: Dialect, session: &Session, lock_id: &LockId) -> Held {
        let entries = || self.account(dialect, session).map_or(&[][..], |it| &it.entries);
        let held = || entries().iter().filter(|entry| entry.held > 0);
        match held().any(|entry| entry.lock_id == *lock_id) {
            true => Held::Already,
            false if held().any(|entry| entry.lock_id.key == lock_id.key) => Held::Otherwise,
            false => Held::Not,
        }
    }

    /// Whether a lock on this session is held by way of a connection that is elsewhere.
    pub(crate) fn is_elsewhere(&self, dialect: Dialect, session: &Session, place: Place) -> bool {
        let account = self.account(dialect, session);
        account.is_some_and(|account| account.holds() && account.place != place)
    }

    /// How often it is held.
    pub(crate) fn held(&self, dialect: Dialect, session: &Session, lock_id: &LockId) -> usize {
        self.find(dialect, session, lock_id).map_or(0, |entry| entry.held)
    }

    /// Returns `true` if it stays held after one release, and the server does not count.
    pub(crate) fn stays(&self, dialect: Dialect, session: &Session, lock_id: &LockId) -> bool {
        !dialect.counts() && self.held(dialect, session, lock_id) > 1
    }

    /// What the session owes of this key, if so many are the last that are held of it.
    pub(crate) fn unreleased_behind(
        &self,
        dialect: Dialect,
        session: &Session,
        lock_id: &LockId,
        last: usize,
    ) -> usize {
        match self.find(dialect, session, lock_id) {
            Some(entry) if entry.held <= last => entry.unreleased,
            _ => 0,
        }
    }

    /// What the session owes of keys that nobody holds, and how often.
    pub(crate) fn payable(&self, dialect: Dialect, session: &Session) -> Vec<(LockId, usize)> {
        let entries = self.account(dialect, session).map_or(&[][..], |it| &it.entries);
        let due = entries.iter().filter(|entry| entry.held == 0 && entry.unreleased > 0);
        due.map(|entry| (entry.lock_id.clone(), entry.unreleased)).collect()
    }

    /// The session has told that it was granted this.
    pub(crate) fn granted(
        &mut self,
        dialect: Dialect,
        session: &Session,
        place: Place,
        lock_id: &LockId,
    ) {
        let account = self.open(dialect, session);
        let anew = !account.holds();
        account.entry(lock_id).held += 1;
        // Where it holds something already, it is seen from where that is.
        if anew {
            account.place = place;
            self.places.insert(place, session.clone());
        }
    }

    /// What is held is on its way back: nobody knows yet whether it gets there.
    pub(crate) fn giving(&mut self, dialect: Dialect, session: &Session, lock_id: &LockId) {
        self.change(dialect, session, |account| {
            let entry = account.entry(lock_id);
            if entry.held > 0 {
                entry.held -= 1;
                entry.unreleased += 1;
            }
        });
    }

    /// It was not given back after all: the server has done nothing of what was sent.
    pub(crate) fn not_given(&mut self, dialect: Dialect, session: &Session, lock_id: &LockId) {
        self.change(dialect, session, |account| {
            let entry = account.entry(lock_id);
            if entry.unreleased > 0 {
                entry.unreleased -= 1;
                entry.held += 1;
            }
        });
    }

    /// The server may have counted once more.
    pub(crate) fn add_unreleased(&mut self, dialect: Dialect, session: &Session, lock_id: &LockId) {
        self.open(dialect, session).entry(lock_id).unreleased += 1;
        self.forget_the_oldest();
    }

    /// The server has answered to a payment of so many.
    pub(crate) fn paid(
        &mut self,
        dialect: Dialect,
        session: &Session,
        lock_id: &LockId,
        count: usize,
    ) {
        self.change(dialect, session, |account| {
            let entry = account.entry(lock_id);
            entry.unreleased = entry.unreleased.saturating_sub(count);
        });
    }

    /// Another session is at this place by now.
    pub(crate) fn left(&mut self, place: Place) {
        self.places.remove(&place);
    }

    /// The session is no more, and its locks with it.
    pub(crate) fn ended(&mut self, dialect: Dialect, session: &Session) {
        self.accounts.remove(&(dialect, session.clone()));
        self.places.retain(|_, at| at != session);
    }

    /// A session of this database owes this, and nobody knows which.
    pub(crate) fn add_unreleased_somewhere(
        &mut self,
        dialect: Dialect,
        lock_id: &LockId,
        place: Option<Place>,
    ) {
        self.lost.push(Lost { dialect, lock_id: lock_id.clone(), place, searches: 0 });
        let over = self.lost.len().saturating_sub(DEBTORS_MAX);
        self.lost.drain(..over);
    }

    /// Whether there are such debts that can be of the connection at this place.
    pub(crate) fn is_searching(&self, dialect: Dialect, place: Place) -> bool {
        self.lost.iter().any(|lost| lost.may_be_of(dialect, place))
    }

    /// This session may be the one: debts of nobody knows which are its own until it has answered.
    /// Of each key one, for no session is suspected of more.
    pub(crate) fn suspect(&mut self, dialect: Dialect, session: &Session, place: Place) {
        let mut lock_ids: Vec<LockId> = Vec::new();
        for lost in self.lost.iter_mut().filter(|lost| lost.may_be_of(dialect, place)) {
            // There is but one connection at a place.
            lost.searches = if lost.place.is_some() { SEARCHES_MAX } else { lost.searches + 1 };
            lock_ids.push(lost.lock_id.clone());
        }
        self.lost.retain(|lost| lost.searches < SEARCHES_MAX);
        for lock_id in lock_ids {
            self.add_unreleased(dialect, session, &lock_id);
        }
    }

    /// It was: so much of it was there.
    pub(crate) fn found(&mut self, dialect: Dialect, lock_id: &LockId) {
        let here = |lost: &Lost| lost.dialect == dialect && lost.lock_id == *lock_id;
        if let Some(at) = self.lost.iter().position(here) {
            self.lost.swap_remove(at);
        }
    }

    fn open(&mut self, dialect: Dialect, session: &Session) -> &mut Account {
        self.turn += 1;
        let account = self.accounts.entry((dialect, session.clone())).or_default();
        account.turn = self.turn;
        account
    }

    /// An account with nothing on it is closed.
    fn change(&mut self, dialect: Dialect, session: &Session, change: impl FnOnce(&mut Account)) {
        let Some(account) = self.accounts.get_mut(&(dialect, session.clone())) else { return };
        change(account);
        account.entries.retain(|entry| entry.held + entry.unreleased > 0);
        if account.entries.is_empty() {
            let place = account.place;
            self.accounts.remove(&(dialect, session.clone()));
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
        if let Some((dialect, session)) = oldest {
            self.ended(dialect, &session);
        }
    }
}

#[cfg(test)]
mod tests;
