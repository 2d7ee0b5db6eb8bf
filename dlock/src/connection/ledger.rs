//! Ledger: what this process has on each session of a server.
//!
//! A server counts how often a session has a lock, and tells nobody. So this process counts with it:
//! what was granted and is still somebody's (`held`), and what was sent and never answered, or left
//! behind (`owed`). The server's own count is `held`, and at most `owed` more.
//!
//! A debt is paid when nobody here holds the key any more: the session lets go of it, once for each
//! count that is owed, if it has it. That can't take from anybody, so a payment whose answer nobody
//! has read may be made again. What is held is given back once and never again: from the moment
//! when that is sent it is owed.
//!
//! Pure: no clock, no connection.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use once_cell::sync::Lazy;

use super::dialect::Dialect;
use super::session::Session;
use crate::spec::lock_id::Claim;

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
    claim: Claim,
    held: usize,
    owed: usize,
}

/// A debt of a session that never told its name.
#[derive(Debug)]
struct Lost {
    dialect: Dialect,
    claim: Claim,
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
    fn entry(&mut self, claim: &Claim) -> &mut Entry {
        let at = self.entries.iter().position(|entry| entry.claim == *claim);
        let at = at.unwrap_or_else(|| {
            self.entries.push(Entry { claim: claim.clone(), held: 0, owed: 0 });
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

    fn find(&self, dialect: Dialect, session: &Session, claim: &Claim) -> Option<&Entry> {
        let account = self.account(dialect, session)?;
        account.entries.iter().find(|entry| entry.claim == *claim)
    }

    /// How this session has the key.
    pub(crate) fn look(&self, dialect: Dialect, session: &Session, claim: &Claim) -> Held {
        let entries = || self.account(dialect, session).map_or(&[][..], |it| &it.entries);
        let held = || entries().iter().filter(|entry| entry.held > 0);
        match held().any(|entry| entry.claim == *claim) {
            true => Held::Already,
            false if held().any(|entry| entry.claim.key == claim.key) => Held::Otherwise,
            false => Held::Not,
        }
    }

    /// Whether a lock on this session is held by way of a connection that is elsewhere.
    pub(crate) fn is_elsewhere(&self, dialect: Dialect, session: &Session, place: Place) -> bool {
        let account = self.account(dialect, session);
        account.is_some_and(|account| account.holds() && account.place != place)
    }

    /// How often it is held.
    pub(crate) fn held(&self, dialect: Dialect, session: &Session, claim: &Claim) -> usize {
        self.find(dialect, session, claim).map_or(0, |entry| entry.held)
    }

    /// Returns `true` if it stays held after one release, and the server does not count.
    pub(crate) fn stays(&self, dialect: Dialect, session: &Session, claim: &Claim) -> bool {
        !dialect.counts() && self.held(dialect, session, claim) > 1
    }

    /// What the session owes of this key, if so many are the last that are held of it.
    pub(crate) fn owed_behind(
        &self,
        dialect: Dialect,
        session: &Session,
        claim: &Claim,
        last: usize,
    ) -> usize {
        match self.find(dialect, session, claim) {
            Some(entry) if entry.held <= last => entry.owed,
            _ => 0,
        }
    }

    /// What the session owes of keys that nobody holds, and how often.
    pub(crate) fn payable(&self, dialect: Dialect, session: &Session) -> Vec<(Claim, usize)> {
        let entries = self.account(dialect, session).map_or(&[][..], |it| &it.entries);
        let due = entries.iter().filter(|entry| entry.held == 0 && entry.owed > 0);
        due.map(|entry| (entry.claim.clone(), entry.owed)).collect()
    }

    /// The session has told that it was granted this.
    pub(crate) fn granted(
        &mut self,
        dialect: Dialect,
        session: &Session,
        place: Place,
        claim: &Claim,
    ) {
        let account = self.open(dialect, session);
        let anew = !account.holds();
        account.entry(claim).held += 1;
        // Where it holds something already, it is seen from where that is.
        if anew {
            account.place = place;
            self.places.insert(place, session.clone());
        }
    }

    /// What is held is on its way back: nobody knows yet whether it gets there.
    pub(crate) fn giving(&mut self, dialect: Dialect, session: &Session, claim: &Claim) {
        self.change(dialect, session, |account| {
            let entry = account.entry(claim);
            if entry.held > 0 {
                entry.held -= 1;
                entry.owed += 1;
            }
        });
    }

    /// It was not given back after all: the server has done nothing of what was sent.
    pub(crate) fn not_given(&mut self, dialect: Dialect, session: &Session, claim: &Claim) {
        self.change(dialect, session, |account| {
            let entry = account.entry(claim);
            if entry.owed > 0 {
                entry.owed -= 1;
                entry.held += 1;
            }
        });
    }

    /// The server may have counted once more.
    pub(crate) fn owe(&mut self, dialect: Dialect, session: &Session, claim: &Claim) {
        self.open(dialect, session).entry(claim).owed += 1;
        self.forget_the_oldest();
    }

    /// The server has answered to a payment of so many.
    pub(crate) fn paid(
        &mut self,
        dialect: Dialect,
        session: &Session,
        claim: &Claim,
        count: usize,
    ) {
        self.change(dialect, session, |account| {
            let entry = account.entry(claim);
            entry.owed = entry.owed.saturating_sub(count);
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
    pub(crate) fn owe_somewhere(&mut self, dialect: Dialect, claim: &Claim, place: Option<Place>) {
        self.lost.push(Lost { dialect, claim: claim.clone(), place, searches: 0 });
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
        let mut claims: Vec<Claim> = Vec::new();
        for lost in self.lost.iter_mut().filter(|lost| lost.may_be_of(dialect, place)) {
            // There is but one connection at a place.
            lost.searches = if lost.place.is_some() { SEARCHES_MAX } else { lost.searches + 1 };
            claims.push(lost.claim.clone());
        }
        self.lost.retain(|lost| lost.searches < SEARCHES_MAX);
        for claim in claims {
            self.owe(dialect, session, &claim);
        }
    }

    /// It was: so much of it was there.
    pub(crate) fn found(&mut self, dialect: Dialect, claim: &Claim) {
        let here = |lost: &Lost| lost.dialect == dialect && lost.claim == *claim;
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
        account.entries.retain(|entry| entry.held + entry.owed > 0);
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
        let debtors = self.accounts.iter().filter(|(_, account)| !account.holds());
        let oldest = debtors.min_by_key(|(_, account)| account.turn).map(|(who, _)| who.clone());
        if let Some((dialect, session)) = oldest {
            self.ended(dialect, &session);
        }
    }
}

#[cfg(test)]
mod tests;
