//! The table of locks: who has what, and who waits for it, in which order.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Instant;

use tokio::sync::oneshot;

use super::modes::Mode;

/// What is locked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Resource {
    /// By `sp_getapplock`.
    Application { database: u32, principal: String, name: String },
    /// By statements.
    Table { database: u32, name: String },
}

/// Who locks: a session, or the transaction in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Owner {
    pub(super) session: u16,
    pub(super) is_transaction: bool,
}

/// How a request is answered.
#[derive(Debug)]
pub(super) enum Answer {
    Granted,
    /// It is told when it is granted.
    Queued(u64, oneshot::Receiver<()>),
}

/// A line of `sys.dm_tran_locks`.
#[derive(Debug)]
pub(super) struct Line<'a> {
    pub(super) resource: &'a Resource,
    pub(super) owner: Owner,
    pub(super) mode: Mode,
    pub(super) status: &'static str,
    pub(super) count: u32,
    /// When it began to wait.
    pub(super) since: Option<Instant>,
}

#[derive(Debug)]
struct Grant {
    owner: Owner,
    mode: Mode,
    count: u32,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    owner: Owner,
    mode: Mode,
    /// It has the lock already, in a weaker mode.
    converts: bool,
    since: Instant,
    wake: oneshot::Sender<()>,
}

#[derive(Debug, Default)]
struct Queue {
    granted: Vec<Grant>,
    waiting: VecDeque<Waiter>,
}

/// All locks of a server.
#[derive(Debug, Default)]
pub(super) struct Locks {
    queues: HashMap<Resource, Queue>,
    tickets: u64,
}

impl Queue {
    fn grant_of(&mut self, owner: Owner) -> Option<&mut Grant> {
        self.granted.iter_mut().find(|grant| grant.owner == owner)
    }

    /// Sessions that keep this one from that mode.
    fn holders_against(&self, session: u16, mode: Mode) -> impl Iterator<Item = u16> {
        let against =
            move |grant: &&Grant| grant.owner.session != session && !grant.mode.goes_with(mode);
        self.granted.iter().filter(against).map(|grant| grant.owner.session)
    }

    /// Sessions that wait, before that place, for what does not go with it.
    fn waiters_against(&self, session: u16, mode: Mode, place: usize) -> impl Iterator<Item = u16> {
        let against =
            move |waiter: &&Waiter| waiter.owner.session != session && !waiter.mode.goes_with(mode);
        self.waiting.iter().take(place).filter(against).map(|waiter| waiter.owner.session)
    }

    fn give(&mut self, owner: Owner, mode: Mode) {
        match self.grant_of(owner) {
            Some(grant) => {
                grant.mode = grant.mode.with(mode);
                grant.count += 1;
            }
            None => self.granted.push(Grant { owner, mode, count: 1 }),
        }
    }

    /// Grants what can be granted now, first come, first served.
    fn settle(&mut self) {
        let mut place = 0;
        while let Some(Waiter { owner, mode, converts, .. }) = self.waiting.get(place) {
            let (owner, mode) = (*owner, *mode);
            let blocked = self.holders_against(owner.session, mode).next().is_some()
                || (!converts && self.waiters_against(owner.session, mode, place).next().is_some());
            if blocked {
                place += 1;
                continue;
            }
            if let Some(waiter) = self.waiting.remove(place) {
                self.give(owner, mode);
                // Who does not listen any more has it all the same, until its session ends.
                let _ = waiter.wake.send(());
            }
        }
    }
}

impl Locks {
    /// Whether that would be granted at once.
    pub(super) fn is_free(&self, resource: &Resource, owner: Owner, mode: Mode) -> bool {
        let Some(queue) = self.queues.get(resource) else { return true };
        let own = queue.granted.iter().find(|grant| grant.owner == owner);
        if own.is_some_and(|grant| grant.mode.covers(mode)) {
            return true;
        }
        let mode = own.map_or(mode, |grant| grant.mode.with(mode));
        let ahead = if own.is_some() { 0 } else { queue.waiting.len() };
        queue.holders_against(owner.session, mode).next().is_none()
            && queue.waiters_against(owner.session, mode, ahead).next().is_none()
    }

    /// Asks for a lock; whoever converts one comes before those who have none.
    pub(super) fn request(&mut self, resource: &Resource, owner: Owner, mode: Mode) -> Answer {
        let is_free = self.is_free(resource, owner, mode);
        let queue = self.queues.entry(resource.clone()).or_default();
        if is_free {
            queue.give(owner, mode);
            return Answer::Granted;
        }
        let held = queue.grant_of(owner).map(|grant| grant.mode);
        let (wake, granted) = oneshot::channel();
        self.tickets += 1;
        let (ticket, since) = (self.tickets, Instant::now());
        let mode = held.map_or(mode, |held| held.with(mode));
        let converts = held.is_some();
        let place = queue.waiting.iter().take_while(|waiter| waiter.converts).count();
        let place = if converts { place } else { queue.waiting.len() };
        queue.waiting.insert(place, Waiter { ticket, owner, mode, converts, since, wake });
        Answer::Queued(ticket, granted)
    }

    /// Leaves the queue; `false`: it was granted before.
    pub(super) fn cancel(&mut self, resource: &Resource, ticket: u64) -> bool {
        let Some(queue) = self.queues.get_mut(resource) else { return false };
        let before = queue.waiting.len();
        queue.waiting.retain(|waiter| waiter.ticket != ticket);
        let left = queue.waiting.len() < before;
        queue.settle();
        left
    }

    /// Gives back one of its counts; `false`: it has none. The mode stays until the last one.
    pub(super) fn release(&mut self, resource: &Resource, owner: Owner) -> bool {
        let Some(queue) = self.queues.get_mut(resource) else { return false };
        let Some(grant) = queue.grant_of(owner) else { return false };
        grant.count -= 1;
        if grant.count == 0 {
            queue.granted.retain(|grant| grant.owner != owner);
            queue.settle();
        }
        self.tidy();
        true
    }

    /// Gives back all that these owners have, and ends their waits.
    pub(super) fn release_all(&mut self, of: impl Fn(Owner) -> bool) {
        for queue in self.queues.values_mut() {
            let before = queue.granted.len() + queue.waiting.len();
            queue.granted.retain(|grant| !of(grant.owner));
            queue.waiting.retain(|waiter| !of(waiter.owner));
            if queue.granted.len() + queue.waiting.len() < before {
                queue.settle();
            }
        }
        self.tidy();
    }

    fn tidy(&mut self) {
        self.queues.retain(|_, queue| !queue.granted.is_empty() || !queue.waiting.is_empty());
    }

    /// What an owner has of it.
    pub(super) fn mode(&self, resource: &Resource, owner: Owner) -> Option<Mode> {
        let queue = self.queues.get(resource)?;
        queue.granted.iter().find(|grant| grant.owner == owner).map(|grant| grant.mode)
    }

    /// Sessions that this one waits for.
    pub(super) fn blockers(&self, session: u16) -> Vec<u16> {
        let mut blockers = Vec::new();
        for queue in self.queues.values() {
            for (place, waiter) in queue.waiting.iter().enumerate() {
                if waiter.owner.session == session {
                    blockers.extend(queue.holders_against(session, waiter.mode));
                    let place = if waiter.converts { 0 } else { place };
                    blockers.extend(queue.waiters_against(session, waiter.mode, place));
                }
            }
        }
        blockers
    }

    /// Whether a session waits for itself, by way of others.
    pub(super) fn is_deadlocked(&self, session: u16) -> bool {
        let mut next = self.blockers(session);
        let mut seen = HashSet::new();
        while let Some(other) = next.pop() {
            if other == session {
                return true;
            }
            if seen.insert(other) {
                next.extend(self.blockers(other));
            }
        }
        false
    }

    /// All of it, for the views.
    pub(super) fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.queues.iter().flat_map(|(resource, queue)| {
            let granted = queue.granted.iter().map(move |grant| Line {
                resource,
                owner: grant.owner,
                mode: grant.mode,
                status: "GRANT",
                count: grant.count,
                since: None,
            });
            let waiting = queue.waiting.iter().map(move |waiter| Line {
                resource,
                owner: waiter.owner,
                mode: waiter.mode,
                status: if waiter.converts { "CONVERT" } else { "WAIT" },
                count: 1,
                since: Some(waiter.since),
            });
            granted.chain(waiting)
        })
    }
}
