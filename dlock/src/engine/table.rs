//! The pure state machine: for each key, who holds it here and who waits for it here.
//!
//! Events go in, actions come out. It knows no clock, no channel and no SQL, so that a simulation
//! can drive it through millions of interleavings (`tests/simulation.rs` does).
//!
//! For one key there is at most one question on its way to the database at any time: a try, a wait,
//! the cancelling of a wait, or an unlock. Each carries a ticket; an answer to a ticket that is not
//! the current one means that engine and database disagree.
//!
//! A key that can be shared is held for all who share it here by one grant. Who comes later joins
//! them, until the grant is `spent`: then the database is asked first, on a session that does not
//! hold the key, for it alone knows of a writer in another process. If it says yes, the newcomers
//! join and the second grant goes back, aside from whatever else is asked for the key.

mod entry;
mod event;

use std::collections::{HashMap, VecDeque};

use self::entry::{Entry, Grant, Phase, Waiter};
pub use self::event::{Action, Event, HoldId, Refusal, RequestId, Shareable, Ticket};

/// A lock may pass from task to task of this process so many times before other processes have
/// their turn.
const HANDOFFS: u8 = 8;

/// See the [module](self).
#[derive(Debug)]
pub struct Table<K> {
    keys: HashMap<K, Entry>,
    requests: HashMap<RequestId, K>,
    holds: HashMap<HoldId, K>,
    /// Unlocks beside what is asked for their key, and the grants that end with them.
    asides: HashMap<Ticket, (K, Option<HoldId>)>,
    last_ticket: Ticket,
    last_hold: HoldId,
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        Table {
            keys: HashMap::new(),
            requests: HashMap::new(),
            holds: HashMap::new(),
            asides: HashMap::new(),
            last_ticket: 0,
            last_hold: 0,
        }
    }
}

impl<K: Shareable> Table<K> {
    /// Takes an event in and appends what is to be done. `hot`: the event's key was fought over a
    /// moment ago, so that a try would be refused anyway.
    pub fn step(&mut self, event: Event<K>, hot: bool, out: &mut Vec<Action<K>>) {
        match event {
            Event::Acquire { request, key, patient, spent } => {
                let waiter = Waiter { request, patient, expired: false };
                self.acquire(waiter, key, spent, hot, out);
            }
            Event::Expire { request } => self.expire(request, out),
            Event::Overdue { request } => self.overdue(request, out),
            Event::Abandon { request } => {
                if let Some(key) = self.withdraw(request) {
                    self.stop_waiting(&key, out);
                }
            }
            Event::Granted { key, ticket } => self.granted(key, ticket, out),
            Event::Refused { key, ticket } => match self.phase(&key, ticket) {
                Some(Phase::Trying) => self.ask_again(key, true, Refusal::BusyElsewhere, out),
                _ => out.push(Action::Distrust { key, ticket }),
            },
            Event::Ended { key, ticket } => match self.phase(&key, ticket) {
                Some(Phase::Waiting) => self.ask_again(key, true, Refusal::BusyElsewhere, out),
                // Somebody may have come who wants only a try.
                Some(Phase::Cancelling) => self.ask_anew(key, out),
                _ => out.push(Action::Distrust { key, ticket }),
            },
            Event::Failed { key, ticket, fatal } => self.failed(key, ticket, fatal, out),
            Event::Unlocked { key, ticket, clean } => match self.unlocking(&key, ticket) {
                Some((hold, aside)) => {
                    out.extend(hold.map(|hold| Action::Settle { hold, clean }));
                    if !aside {
                        self.vacate(key, hot, out);
                    }
                }
                None => out.push(Action::Distrust { key, ticket }),
            },
            Event::Release { hold, spent } => self.release(hold, spent, out),
            Event::Lost { key, grant } => self.lost(key, grant, out),
        }
    }

    /// Whether nothing is held, asked for or wanted.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
            && self.requests.is_empty()
            && self.holds.is_empty()
            && self.asides.is_empty()
    }

    /// Those who wait for the key.
    pub fn waiting(&self, key: &K) -> impl Iterator<Item = RequestId> {
        self.keys.get(key).into_iter().flat_map(|entry| entry.queue.iter().map(|w| w.request))
    }

    fn acquire(
        &mut self,
        waiter: Waiter,
        key: K,
        spent: bool,
        hot: bool,
        out: &mut Vec<Action<K>>,
    ) {
        let Waiter { request, patient, .. } = waiter;
        let Some(entry) = self.keys.get_mut(&key) else {
            let queue = VecDeque::from([waiter]);
            let entry = Entry { grant: None, phase: Phase::Idle, ticket: 0, queue };
            self.keys.insert(key.clone(), entry);
            self.requests.insert(request, key.clone());
            return self.ask(key, hot && patient, out);
        };
        let shared = key.is_shareable();
        // A try never jumps a queue, and there is no point in it while the key is known to be held.
        let refusal = match entry.phase {
            Phase::Idle if !shared => Some(Refusal::BusyHere),
            Phase::Waiting => Some(Refusal::BusyElsewhere),
            Phase::Unlocking(_) if !entry.queue.is_empty() && !shared => Some(Refusal::BusyHere),
            Phase::Idle | Phase::Trying | Phase::Cancelling | Phase::Unlocking(_) => None,
        };
        match refusal {
            Some(why) if !patient => return out.push(Action::Refuse { request, why }),
            _ => {
                entry.queue.push_back(waiter);
                self.requests.insert(request, key.clone());
            }
        }
        if shared && self.is_idle(&key) {
            if spent {
                self.ask(key, hot && patient, out);
            } else {
                self.pass_on(&key, out);
            }
        }
    }

    fn granted(&mut self, key: K, ticket: Ticket, out: &mut Vec<Action<K>>) {
        match self.phase(&key, ticket) {
            Some(Phase::Trying | Phase::Waiting | Phase::Cancelling) => {}
            _ => return out.push(Action::Distrust { key, ticket }),
        }
        let Some(entry) = self.keys.get_mut(&key) else {
            return;
        };
        if entry.grant.is_some() {
            // There is nobody else in line: that was to be known, and one grant is enough.
            entry.phase = Phase::Idle;
            self.unlock_aside(key.clone(), ticket, None, out);
        } else if entry.queue.is_empty() {
            return self.unlock(key, ticket, None, out);
        } else {
            entry.phase = Phase::Idle;
            entry.grant = Some(Grant { ticket, holders: Vec::new(), handoffs: 0 });
        }
        while self.pass_on(&key, out) && key.is_shareable() {}
        self.refuse(&key, Refusal::BusyHere, Refusal::TimedOutHere, out);
    }

    fn release(&mut self, hold: HoldId, spent: bool, out: &mut Vec<Action<K>>) {
        // A grant that was lost has been taken off the table.
        let Some(key) = self.holds.remove(&hold) else {
            return;
        };
        let Some(entry) = self.keys.get_mut(&key) else {
            return;
        };
        let Some(grant) = &mut entry.grant else {
            return;
        };
        grant.holders.retain(|holder| *holder != hold);
        if !grant.holders.is_empty() {
            return out.push(Action::Settle { hold, clean: true });
        }
        let stays = !key.is_shareable() && !spent && grant.handoffs < HANDOFFS;
        if stays && !entry.queue.is_empty() {
            grant.handoffs += 1;
            out.push(Action::Settle { hold, clean: true });
            self.pass_on(&key, out);
            return;
        }
        let grant = grant.ticket;
        entry.grant = None;
        if entry.phase == Phase::Idle {
            self.unlock(key, grant, Some(hold), out);
        } else {
            self.unlock_aside(key, grant, Some(hold), out);
        }
    }

    fn lost(&mut self, key: K, grant: Ticket, out: &mut Vec<Action<K>>) {
        let Some(entry) = self.keys.get_mut(&key) else {
            return;
        };
        let Some(grant) = entry.grant.take_if(|held| held.ticket == grant) else {
            return;
        };
        for hold in grant.holders {
            self.holds.remove(&hold);
            out.push(Action::Lose { hold });
        }
        if self.is_idle(&key) {
            self.vacate(key, false, out);
        }
    }

    fn expire(&mut self, request: RequestId, out: &mut Vec<Action<K>>) {
        let Some(key) = self.requests.get(&request).cloned() else {
            return;
        };
        let Some(entry) = self.keys.get_mut(&key) else {
            return;
        };
        let why = match entry.phase {
            Phase::Idle | Phase::Unlocking(_) => Refusal::TimedOutHere,
            // Others go on waiting, so this one is free to go.
            Phase::Waiting | Phase::Cancelling
                if entry.queue.iter().any(|w| w.request != request && !w.expired) =>
            {
                Refusal::TimedOutElsewhere
            }
            // The answer that is on its way may be a grant, and then it is this caller's.
            Phase::Trying | Phase::Waiting | Phase::Cancelling => {
                let mine = entry.queue.iter_mut().find(|waiter| waiter.request == request);
                mine.into_iter().for_each(|waiter| waiter.expired = true);
                return self.stop_waiting(&key, out);
            }
        };
        self.withdraw(request);
        out.push(Action::Refuse { request, why });
    }

    fn overdue(&mut self, request: RequestId, out: &mut Vec<Action<K>>) {
        let Some(key) = self.withdraw(request) else {
            return;
        };
        let why = match self.keys.get(&key).map(|entry| entry.phase) {
            Some(Phase::Idle | Phase::Unlocking(_)) => Refusal::TimedOutHere,
            // The lock may be ours at this moment: that it was not to be had would be a lie.
            _ => Refusal::Unavailable,
        };
        out.push(Action::Refuse { request, why });
        self.stop_waiting(&key, out);
    }

    fn failed(&mut self, key: K, ticket: Ticket, fatal: bool, out: &mut Vec<Action<K>>) {
        if let Some((hold, aside)) = self.unlocking(&key, ticket) {
            out.extend(hold.map(|hold| Action::Settle { hold, clean: false }));
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

    /// Gives the lock that this process holds to the first in line, if there is one.
    fn pass_on(&mut self, key: &K, out: &mut Vec<Action<K>>) -> bool {
        let Some(Entry { grant: Some(grant), queue, .. }) = self.keys.get_mut(key) else {
            return false;
        };
        let Some(Waiter { request, .. }) = queue.pop_front() else {
            return false;
        };
        self.requests.remove(&request);
        self.last_hold += 1;
        let hold = self.last_hold;
        grant.holders.push(hold);
        self.holds.insert(hold, key.clone());
        out.push(Action::Grant { key: key.clone(), grant: grant.ticket, request, hold });
        true
    }

    fn unlock(&mut self, key: K, grant: Ticket, hold: Option<HoldId>, out: &mut Vec<Action<K>>) {
        if let Some(ticket) = self.turn(&key, Phase::Unlocking(hold)) {
            out.push(Action::Unlock { key, grant, ticket, hold });
        }
    }

    fn unlock_aside(
        &mut self,
        key: K,
        grant: Ticket,
        hold: Option<HoldId>,
        out: &mut Vec<Action<K>>,
    ) {
        self.last_ticket += 1;
        let ticket = self.last_ticket;
        self.asides.insert(ticket, (key.clone(), hold));
        out.push(Action::Unlock { key, grant, ticket, hold });
    }

    /// Which grant ends with this unlock, if any, and whether it is one aside.
    fn unlocking(&mut self, key: &K, ticket: Ticket) -> Option<(Option<HoldId>, bool)> {
        if self.asides.get(&ticket).is_some_and(|(about, _)| about == key) {
            return self.asides.remove(&ticket).map(|(_, hold)| (hold, true));
        }
        match self.phase(key, ticket) {
            Some(Phase::Unlocking(hold)) => Some((hold, false)),
            _ => None,
        }
    }

    /// Nothing is asked for the key any more: ask again, or let it be.
    fn vacate(&mut self, key: K, hot: bool, out: &mut Vec<Action<K>>) {
        let Some(entry) = self.keys.get_mut(&key) else {
            return;
        };
        entry.phase = Phase::Idle;
        if !entry.queue.is_empty() {
            // One who wants only a try is not to be kept waiting.
            let wait = hot && entry.queue.iter().all(|waiter| waiter.patient);
            self.ask(key, wait, out);
        } else if entry.grant.is_none() {
            self.keys.remove(&key);
        }
    }

    /// Answers those who are done with after a refusal, and asks again for the others.
    fn ask_again(&mut self, key: K, wait: bool, busy: Refusal, out: &mut Vec<Action<K>>) {
        self.refuse(&key, busy, Refusal::TimedOutElsewhere, out);
        self.vacate(key, wait, out);
    }

    /// Answers those whose time is up, and tries again for the others.
    fn ask_anew(&mut self, key: K, out: &mut Vec<Action<K>>) {
        self.refuse_if(&key, out, |w| w.expired.then_some(Refusal::TimedOutElsewhere));
        self.vacate(key, false, out);
    }

    fn ask(&mut self, key: K, wait: bool, out: &mut Vec<Action<K>>) {
        let phase = if wait { Phase::Waiting } else { Phase::Trying };
        let Some(ticket) = self.turn(&key, phase) else {
            return;
        };
        out.push(if wait { Action::Wait { key, ticket } } else { Action::Try { key, ticket } });
    }

    /// Cancels the wait if it has nobody left to wait for.
    fn stop_waiting(&mut self, key: &K, out: &mut Vec<Action<K>>) {
        let Some(entry) = self.keys.get_mut(key) else {
            return;
        };
        if entry.phase == Phase::Waiting && entry.queue.iter().all(|waiter| waiter.expired) {
            entry.phase = Phase::Cancelling;
            out.push(Action::Cancel { key: key.clone(), ticket: entry.ticket });
        }
    }

    fn refuse(&mut self, key: &K, busy: Refusal, late: Refusal, out: &mut Vec<Action<K>>) {
        self.refuse_if(key, out, |waiter| match waiter {
            Waiter { patient: false, .. } => Some(busy),
            Waiter { expired: true, .. } => Some(late),
            _ => None,
        });
    }

    fn refuse_if(
        &mut self,
        key: &K,
        out: &mut Vec<Action<K>>,
        why: impl Fn(&Waiter) -> Option<Refusal>,
    ) {
        let Some(entry) = self.keys.get_mut(key) else {
            return;
        };
        entry.queue.retain(|waiter| {
            let Some(why) = why(waiter) else { return true };
            self.requests.remove(&waiter.request);
            out.push(Action::Refuse { request: waiter.request, why });
            false
        });
    }

    fn withdraw(&mut self, request: RequestId) -> Option<K> {
        let key = self.requests.remove(&request)?;
        let entry = self.keys.get_mut(&key)?;
        entry.queue.retain(|waiter| waiter.request != request);
        Some(key)
    }

    fn is_idle(&self, key: &K) -> bool {
        self.keys.get(key).is_some_and(|entry| entry.phase == Phase::Idle)
    }

    fn phase(&self, key: &K, ticket: Ticket) -> Option<Phase> {
        self.keys.get(key).filter(|entry| entry.ticket == ticket).map(|entry| entry.phase)
    }

    /// Enters the next phase, with a ticket of its own.
    fn turn(&mut self, key: &K, phase: Phase) -> Option<Ticket> {
        let entry = self.keys.get_mut(key)?;
        self.last_ticket += 1;
        entry.ticket = self.last_ticket;
        entry.phase = phase;
        Some(entry.ticket)
    }
}
