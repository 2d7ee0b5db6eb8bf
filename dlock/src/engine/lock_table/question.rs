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
                entry.into_iter().flat_map(|e| &mut e.queue).for_each(|w| w.expired = true);
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
            self.ask(key, wait, out);
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
        self.refuse_if(&key, out, |w| w.expired.then_some(Refusal::TimedOutElsewhere));
        self.vacate(key, false, out);
    }

    pub(super) fn ask(&mut self, key: K, wait: bool, out: &mut Vec<Action<K>>) {
        let phase = if wait { Phase::Waiting } else { Phase::Trying };
        let Some(ticket) = self.turn(&key, phase) else {
            return;
        };
        out.push(if wait { Action::Wait { key, ticket } } else { Action::Try { key, ticket } });
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

    /// Enters the next phase, with a ticket of its own.
    pub(super) fn turn(&mut self, key: &K, phase: Phase) -> Option<Ticket> {
        let entry = self.keys.get_mut(key)?;
        self.last_ticket += 1;
        entry.ticket = self.last_ticket;
        entry.phase = phase;
        Some(entry.ticket)
    }
}
