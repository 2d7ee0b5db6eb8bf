//! The one question for each key that is on its way to the database.

use super::Table;
use super::entry::Phase;
use super::event::{Action, Refusal, Shareable, Ticket};

impl<K: Shareable> Table<K> {
    pub(super) fn failed(&mut self, key: K, ticket: Ticket, fatal: bool, out: &mut Vec<Action<K>>) {
        if let Some((hold, aside)) = self.unlocking(&key, ticket) {
            out.extend(hold.map(|hold| Action::MarkReleased { hold, clean: false }));
            if !aside {
                self.vacate(key, false, out);
            }
            return;
        }
        if let Some(Phase::Trying | Phase::Waiting | Phase::Cancelling) = self.phase(&key, ticket) {
            if fatal {
                let entry = self.keys.get_mut(&key);
                let queue = entry.into_iter().flat_map(|entry| entry.queue.iter_mut());
                queue.for_each(|waiter| waiter.expired = true);
            }
            self.refuse(&key, Refusal::Unavailable, Refusal::Unavailable, out);
            self.ask_anew(key, out);
        }
    }

    /// Nothing is asked for the key any more: ask again, or let it be.
    pub(super) fn vacate(&mut self, key: K, contended: bool, out: &mut Vec<Action<K>>) {
        let Some(entry) = self.keys.get_mut(&key) else {
            return;
        };
        entry.phase = Phase::Idle;
        if !entry.queue.is_empty() {
            // One who wants only a try is not to be kept waiting.
            let wait = contended && entry.queue.iter().all(|waiter| waiter.patient);
            self.index.ask(entry, key, wait, out);
        } else if entry.grant.is_none() {
            self.keys.remove(&key);
        }
    }

    /// Answers those who are done with after a refusal, and asks again for the others.
    pub(super) fn ask_again(
        &mut self,
        key: K,
        wait: bool,
        busy: Refusal,
        out: &mut Vec<Action<K>>,
    ) {
        self.refuse(&key, busy, Refusal::TimedOutElsewhere, out);
        self.vacate(key, wait, out);
    }

    /// Answers those whose time is up, and tries again for the others.
    pub(super) fn ask_anew(&mut self, key: K, out: &mut Vec<Action<K>>) {
        if let Some(entry) = self.keys.get_mut(&key) {
            let late = Refusal::TimedOutElsewhere;
            self.index.refuse_if(entry, out, |waiter| waiter.expired.then_some(late));
        }
        self.vacate(key, false, out);
    }

    /// Cancels the wait if it has nobody left to wait for.
    pub(super) fn stop_waiting(&mut self, key: &K, out: &mut Vec<Action<K>>) {
        let Some(entry) = self.keys.get_mut(key) else {
            return;
        };
        if entry.phase == Phase::Waiting && entry.queue.iter().all(|waiter| waiter.expired) {
            entry.phase = Phase::Cancelling;
            out.push(Action::Cancel { key: key.clone(), ticket: entry.ticket });
        }
    }

    /// Whether the database has nothing to answer about the key.
    pub fn is_idle(&self, key: &K) -> bool {
        self.keys.get(key).is_some_and(|entry| entry.phase == Phase::Idle)
    }

    pub(super) fn phase(&self, key: &K, ticket: Ticket) -> Option<Phase> {
        self.keys.get(key).filter(|entry| entry.ticket == ticket).map(|entry| entry.phase)
    }
}
