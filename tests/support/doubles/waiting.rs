//! Waits for locks.

use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::locks::{Answer, Locks, Mode, Owner};

/// All of a server.
pub(crate) trait World {
    type Resource: Clone + Eq + Hash;
    type Mode: Mode;

    fn locks(&mut self) -> &mut Locks<Self::Resource, Self::Mode>;
}

/// How long a cycle may be there before one of those in it is its victim: the server looks every 5 s, and up to
/// ten times a second while it finds some.
const DEADLOCK_AFTER: Duration = Duration::from_millis(100);

/// A server's world, which its sessions share.
#[derive(Debug)]
pub(crate) struct Shared<W>(Arc<Mutex<W>>);

impl<W> Clone for Shared<W> {
    fn clone(&self) -> Self {
        Shared(Arc::clone(&self.0))
    }
}

/// How a wait ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    AtOnce,
    AfterWait,
    Timeout,
    Deadlock,
}

impl<W: World> Shared<W> {
    pub(crate) fn new(world: W) -> Self {
        Shared(Arc::new(Mutex::new(world)))
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, W> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a lock, waiting so many milliseconds at most; -1 is without end. Dropped, it leaves the queue, unless
    /// the lock was granted just before: then it stays, as a request does that is cancelled too late.
    pub(crate) async fn lock(
        &self,
        resource: &W::Resource,
        owner: Owner,
        mode: W::Mode,
        timeout: i64,
    ) -> Outcome {
        let (ticket, mut granted) = {
            let mut world = self.world();
            if timeout == 0 && !world.locks().is_free(resource, owner, mode) {
                return Outcome::Timeout;
            }
            match world.locks().request(resource, owner, mode) {
                Answer::Granted => return Outcome::AtOnce,
                Answer::Queued(ticket, granted) => (ticket, granted),
            }
        };
        let place = Place { shared: self, resource, ticket };
        let start = Instant::now();
        let end = u64::try_from(timeout).ok().map(|timeout| start + Duration::from_millis(timeout));
        let mut look = start + DEADLOCK_AFTER;
        loop {
            let next = end.map_or(look, |end| end.min(look));
            tokio::select! {
                biased;
                told = &mut granted => {
                    // Not told: its session has ended.
                    return if told.is_ok() { Outcome::AfterWait } else { Outcome::Timeout };
                }
                () = sleep_until(next) => {}
            }
            if end.is_some_and(|end| Instant::now() >= end) {
                return if place.leave() { Outcome::Timeout } else { Outcome::AfterWait };
            }
            look = Instant::now() + DEADLOCK_AFTER;
            let mut world = self.world();
            if world.locks().is_deadlocked(owner.session) && world.locks().cancel(resource, ticket)
            {
                return Outcome::Deadlock;
            }
        }
    }
}

/// A place in a queue.
struct Place<'a, W: World> {
    shared: &'a Shared<W>,
    resource: &'a W::Resource,
    ticket: u64,
}

impl<W: World> Place<'_, W> {
    /// `false`: it was granted before.
    fn leave(&self) -> bool {
        self.shared.world().locks().cancel(self.resource, self.ticket)
    }
}

impl<W: World> Drop for Place<'_, W> {
    fn drop(&mut self) {
        self.leave();
    }
}
