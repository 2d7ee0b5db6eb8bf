//! Grants that change their mode while they are held.
//!
//! Such a grant leaves the entry of its key for good: nobody joins it and it is not handed on, for
//! what it is held as is soon another thing. Those who wait for the key here ask the database.

use super::Table;
use super::event::{Action, GrantId, Shareable, Stays, Ticket};
use crate::engine::short_list::ShortList;

/// A grant that nobody but its holders has.
#[derive(Debug)]
pub(super) struct Apart<K> {
    /// How the database holds it.
    key: K,
    holders: ShortList<GrantId>,
    change: Option<Change>,
}

/// A change of mode that a holder wants.
#[derive(Debug)]
struct Change {
    hold: GrantId,
    /// The database is asked for it; before that, the other holders have to go.
    asked: bool,
    /// The guard has gone meanwhile: what becomes of the question is to be known first.
    released: bool,
}

impl<K: Shareable> Table<K> {
    pub(super) fn convert(&mut self, hold: GrantId, patient: bool, out: &mut Vec<Action<K>>) {
        let Some(key) = self.index.held(hold).cloned() else {
            return;
        };
        let found = self.apart_of(hold).or_else(|| self.take_apart(hold, &key, out));
        let Some(grant) = found else {
            return;
        };
        // Whoever shares it and wants it alone waits for the others to go.
        let waits = |apart: &Apart<K>| apart.key == key && apart.change.is_some();
        if self.apart.values().any(waits) {
            return out.push(Action::Unchanged { hold, why: Stays::Deadlock });
        }
        let Some(apart) = self.apart.get_mut(&grant) else {
            return;
        };
        if !patient && apart.holders.len() > 1 {
            return out.push(Action::Unchanged { hold, why: Stays::BusyHere });
        }
        apart.change = Some(Change { hold, asked: false, released: false });
        self.ask_to_convert(grant, out);
    }

    /// Takes a grant out of the entry of its key.
    fn take_apart(&mut self, hold: GrantId, key: &K, out: &mut Vec<Action<K>>) -> Option<Ticket> {
        let entry = self.keys.get_mut(key)?;
        let grant = entry.grant.take_if(|grant| grant.holders.contains(&hold))?;
        let apart = Apart { key: key.clone(), holders: grant.holders, change: None };
        self.apart.insert(grant.ticket, apart);
        if self.is_idle(key) {
            self.vacate(key.clone(), false, out);
        }
        Some(grant.ticket)
    }

    /// Asks the database for the change when nobody shares the grant any more.
    fn ask_to_convert(&mut self, grant: Ticket, out: &mut Vec<Action<K>>) {
        let Some(Apart { key, holders, change: Some(change) }) = self.apart.get_mut(&grant) else {
            return;
        };
        if !change.asked && holders.is_just(&change.hold) {
            change.asked = true;
            out.push(Action::Convert { key: key.clone(), grant, hold: change.hold });
        }
    }

    /// Gives up the change that this guard wants.
    pub(super) fn stay(&mut self, hold: GrantId, out: &mut Vec<Action<K>>) {
        let Some(grant) = self.apart_of(hold) else {
            return;
        };
        let change = self.apart.get_mut(&grant).map(|apart| &mut apart.change);
        match change {
            Some(Some(Change { hold: own, asked: true, .. })) if *own == hold => {
                out.push(Action::StopConvert { grant });
            }
            Some(change) if change.as_ref().is_some_and(|change| change.hold == hold) => {
                *change = None;
                out.push(Action::Unchanged { hold, why: Stays::BusyHere });
            }
            _ => {}
        }
    }

    pub(super) fn converted(&mut self, grant: Ticket, key: K, out: &mut Vec<Action<K>>) {
        let Some(apart) = self.apart.get_mut(&grant) else {
            return;
        };
        apart.key = key.clone();
        let change = apart.change.take();
        for hold in apart.holders.iter() {
            self.index.change_held(*hold, key.clone());
        }
        if let Some(Change { hold, released, .. }) = change {
            out.push(Action::Changed { hold, key });
            self.end_change(hold, released, out);
        }
    }

    pub(super) fn unconverted(&mut self, grant: Ticket, why: Stays, out: &mut Vec<Action<K>>) {
        let change = self.apart.get_mut(&grant).and_then(|apart| apart.change.take());
        if let Some(Change { hold, released, .. }) = change {
            out.push(Action::Unchanged { hold, why });
            self.end_change(hold, released, out);
        }
    }

    fn end_change(&mut self, hold: GrantId, released: bool, out: &mut Vec<Action<K>>) {
        if released {
            self.release_apart(hold, out);
        }
    }

    /// A guard has gone; `false`: it is of no such grant.
    pub(super) fn release_apart(&mut self, hold: GrantId, out: &mut Vec<Action<K>>) -> bool {
        let Some(grant) = self.apart_of(hold) else {
            return false;
        };
        let Some(apart) = self.apart.get_mut(&grant) else {
            return false;
        };
        match &mut apart.change {
            Some(change) if change.hold == hold && change.asked => {
                change.released = true;
                out.push(Action::StopConvert { grant });
                return true;
            }
            Some(change) if change.hold == hold => apart.change = None,
            _ => {}
        }
        apart.holders.retain(|holder| *holder != hold);
        self.index.take_held(hold);
        if !apart.holders.is_empty() {
            out.push(Action::MarkReleased { hold, clean: true });
            self.ask_to_convert(grant, out);
        } else if let Some(Apart { key, .. }) = self.apart.remove(&grant) {
            self.index.unlock_aside(key, grant, Some(hold), out);
        }
        true
    }

    /// What was granted is held no more; `false`: it is no such grant.
    pub(super) fn lost_apart(&mut self, grant: Ticket, out: &mut Vec<Action<K>>) -> bool {
        let Some(apart) = self.apart.remove(&grant) else {
            return false;
        };
        for hold in apart.holders {
            self.index.take_held(hold);
            out.push(Action::Lose { hold });
        }
        true
    }

    fn apart_of(&self, hold: GrantId) -> Option<Ticket> {
        let of = |apart: &Apart<K>| apart.holders.contains(&hold);
        self.apart.iter().find(|(_, apart)| of(apart)).map(|(grant, _)| *grant)
    }

    /// Those who hold the key by such a grant.
    pub(super) fn holders_apart(&self, key: &K) -> impl Iterator<Item = GrantId> {
        let of_key = self.apart.values().filter(move |apart| apart.key == *key);
        of_key.flat_map(|apart| apart.holders.iter().copied())
    }
}
