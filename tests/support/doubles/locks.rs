//! The table of locks: who has what, and who waits for it, in which order.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::time::Instant;

use tokio::sync::oneshot;

/// A mode of a lock.
pub(crate) trait Mode: Copy {
    /// Whether two sessions may have these at the same time.
    fn goes_with(self, other: Self) -> bool;
    /// Whether who has this has the other one as well.
    fn covers(self, other: Self) -> bool;
    /// What who has this one and asks for the other one has then.
    fn with(self, other: Self) -> Self;
}

/// Who locks: a session, or the transaction in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Owner {
    pub(crate) session: u16,
    pub(crate) is_transaction: bool,
}

/// How a request is answered.
#[derive(Debug)]
pub(crate) enum Answer {
    Granted,
    /// It is told when it is granted.
    Queued(u64, oneshot::Receiver<()>),
}

/// A lock, or a place in a queue, as the views show it.
#[derive(Debug)]
pub(crate) struct Line<'a, R, M> {
    pub(crate) resource: &'a R,
    pub(crate) owner: Owner,
    pub(crate) mode: M,
    pub(crate) status: &'static str,
    pub(crate) count: u32,
    /// When it began to wait.
    pub(crate) since: Option<Instant>,
}

#[derive(Debug)]
struct Grant<M> {
    owner: Owner,
    mode: M,
    count: u32,
}

#[derive(Debug)]
struct Waiter<M> {
    ticket: u64,
    owner: Owner,
    mode: M,
    /// It has the lock already, in a weaker mode.
    converts: bool,
    since: Instant,
    wake: oneshot::Sender<()>,
}

#[derive(Debug)]
struct Queue<M> {
    granted: Vec<Grant<M>>,
    waiting: VecDeque<Waiter<M>>,
}

/// All locks of a server.
#[derive(Debug)]
pub(crate) struct Locks<R, M> {
    queues: HashMap<R, Queue<M>>,
    tickets: u64,
}

impl<R, M> Default for Locks<R, M> {
    fn default() -> Self {
        Locks { queues: HashMap::new(), tickets: 0 }
    }
}

impl<M> Default for Queue<M> {
    fn default() -> Self {
        Queue { granted: Vec::new(), waiting: VecDeque::new() }
    }
}

impl<M: Mode> Queue<M> {
    fn grant_of(&mut self, owner: Owner) -> Option<&mut Grant<M>> {
        self.granted.iter_mut().find(|grant| grant.owner == owner)
    }

    /// Sessions that keep this one from that mode.
    fn holders_against(&self, session: u16, mode: M) -> impl Iterator<Item = u16> {
        let against =
            move |grant: &&Grant<M>| grant.owner.session != session && !grant.mode.goes_with(mode);
        self.granted.iter().filter(against).map(|grant| grant.owner.session)
    }

    /// Sessions that wait, before that place, for what does not go with it.
    fn waiters_against(&self, session: u16, mode: M, place: usize) -> impl Iterator<Item = u16> {
        let against = move |waiter: &&Waiter<M>| {
            waiter.owner.session != session && !waiter.mode.goes_with(mode)
        };
        self.waiting.iter().take(place).filter(against).map(|waiter| waiter.owner.session)
    }

    fn give(&mut self, owner: Owner, mode: M) {
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

impl<R: Clone + Eq + Hash, M: Mode> Locks<R, M> {
    /// Whether that would be granted at once.
    pub(crate) fn is_free(&self, resource: &R, owner: Owner, mode: M) -> bool {
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

    /// Asks for a lock; one that converts comes before those who have none.
    pub(crate) fn request(&mut self, resource: &R, owner: Owner, mode: M) -> Answer {
        let is_free = self.is_free(resource, owner, mode);
        let queue = self.queues.entry(resource.clone()).or_default();
        if is_free {
            queue.give(owner, mode);
            // It may be less than before.
            queue.settle();
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
    pub(crate) fn cancel(&mut self, resource: &R, ticket: u64) -> bool {
        let Some(queue) = self.queues.get_mut(resource) else { return false };
        let before = queue.waiting.len();
        queue.waiting.retain(|waiter| waiter.ticket != ticket);
        let left = queue.waiting.len() < before;
        queue.settle();
        left
    }

    /// Gives back one of its counts; `false`: it has none. The mode stays until the last one.
    pub(crate) fn release(&mut self, resource: &R, owner: Owner) -> bool {
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

    /// Gives back all of its counts at once; `false`: it has none.
    pub(crate) fn release_whole(&mut self, resource: &R, owner: Owner) -> bool {
        if let Some(grant) = self.queues.get_mut(resource).and_then(|queue| queue.grant_of(owner)) {
            grant.count = 1;
        }
        self.release(resource, owner)
    }

    /// Gives back all that these owners have, and ends their waits.
    pub(crate) fn release_all(&mut self, of: impl Fn(Owner) -> bool) {
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
    pub(crate) fn mode(&self, resource: &R, owner: Owner) -> Option<M> {
        let queue = self.queues.get(resource)?;
        queue.granted.iter().find(|grant| grant.owner == owner).map(|grant| grant.mode)
    }

    /// Sessions that this one waits for.
    pub(crate) fn blockers(&self, session: u16) -> Vec<u16> {
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
    pub(crate) fn is_deadlocked(&self, session: u16) -> bool {
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
    pub(crate) fn lines(&self) -> impl Iterator<Item = Line<'_, R, M>> {
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
