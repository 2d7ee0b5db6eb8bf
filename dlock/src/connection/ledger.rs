//! Ledger: what the locks of this process hold on each connection.
//!
//! A server counts how often a session has a lock and tells nobody. So a lock that is given up while
//! nobody knows whether it was granted has to know of others on the same connection: what it gives
//! back may be theirs.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use once_cell::sync::Lazy;

use crate::claim::Claim;

/// A connection, by where it is in memory: who locks on it borrows it, so that it stays there.
pub(super) type Place = usize;

static LEDGER: Lazy<Mutex<HashMap<Place, Vec<Entry>>>> = Lazy::new(Mutex::default);

struct Entry {
    claim: Claim,
    count: usize,
    /// The server may have counted once more.
    suspect: bool,
}

/// How a key is held on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    Not,
    /// In another mode.
    Otherwise,
    Already,
}

fn ledger() -> MutexGuard<'static, HashMap<Place, Vec<Entry>>> {
    LEDGER.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn look(place: Place, claim: &Claim) -> Held {
    let ledger = ledger();
    let here = || ledger.get(&place).into_iter().flatten();
    match here().any(|entry| entry.claim == *claim) {
        true => Held::Already,
        false if here().any(|entry| entry.claim.key == claim.key) => Held::Otherwise,
        false => Held::Not,
    }
}

pub(super) fn enter(place: Place, claim: &Claim) {
    let mut ledger = ledger();
    let here = ledger.entry(place).or_default();
    match here.iter_mut().find(|entry| entry.claim == *claim) {
        Some(entry) => entry.count += 1,
        None => here.push(Entry { claim: claim.clone(), count: 1, suspect: false }),
    }
}

/// What is held already may have been granted once more.
pub(super) fn suspect(place: Place, claim: &Claim) {
    let mut ledger = ledger();
    let mut here = ledger.get_mut(&place).into_iter().flatten();
    if let Some(entry) = here.find(|entry| entry.claim == *claim) {
        entry.suspect = true;
    }
}

/// Whether there may be one more behind so many, which are the last.
pub(super) fn is_suspect(place: Place, claim: &Claim, last: usize) -> bool {
    let ledger = ledger();
    let mut here = ledger.get(&place).into_iter().flatten();
    here.any(|entry| entry.claim == *claim && entry.suspect && entry.count == last)
}

pub(super) fn leave(place: Place, claim: &Claim) {
    let mut ledger = ledger();
    let Some(here) = ledger.get_mut(&place) else { return };
    if let Some(at) = here.iter().position(|entry| entry.claim == *claim)
        && let Some(entry) = here.get_mut(at)
    {
        entry.count -= 1;
        if entry.count == 0 {
            here.swap_remove(at);
        }
    }
    if here.is_empty() {
        ledger.remove(&place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mode::Mode;
    use crate::native::NativeKey;

    #[test]
    fn counts_and_forgets() {
        let place = 7;
        let of = |mode| Claim { key: NativeKey::Id(1), mode };
        let claim = of(Mode::Exclusive);
        assert_eq!(look(place, &claim), Held::Not);
        enter(place, &claim);
        enter(place, &claim);
        assert_eq!(look(place, &claim), Held::Already);
        assert_eq!(look(place, &of(Mode::Shared)), Held::Otherwise);
        assert_eq!(look(place + 1, &claim), Held::Not);
        suspect(place, &claim);
        assert!(!is_suspect(place, &claim, 1));
        leave(place, &claim);
        assert!(is_suspect(place, &claim, 1));
        leave(place, &claim);
        assert_eq!(look(place, &claim), Held::Not);
        assert!(!is_suspect(place, &claim, 1));
    }
}
