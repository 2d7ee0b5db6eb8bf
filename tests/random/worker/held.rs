//! What is written down about a lock while it is held, and how it ends.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use dlock::Error;
use dlock_tests::clock;
use dlock_tests::random::{Finish, Journal, Letting, Outcome, What};

use super::PLANNED;
use super::env::outcome;
use super::target::{Any, Look};

/// What a call has come to so far.
pub(crate) struct Call<'a> {
    pub(crate) id: &'a str,
    pub(crate) journal: &'a Journal,
    granted: AtomicBool,
    told: AtomicBool,
}

impl<'a> Call<'a> {
    pub(crate) fn new(id: &'a str, journal: &'a Journal) -> Self {
        Call { id, journal, granted: AtomicBool::new(false), told: AtomicBool::new(false) }
    }

    /// Looks whether the lock is held still, and writes down a time at which it was.
    pub(crate) fn mark(&self, guard: &impl Look) -> bool {
        self.granted.store(true, Ordering::Relaxed);
        if self.told.load(Ordering::Relaxed) {
            return false;
        }
        // The process may be frozen after each of the two: the clock comes first.
        let at = clock::now();
        if guard.lost() {
            self.told();
            return false;
        }
        self.journal.write_at(at, self.id, &What::Holds(guard.token()));
        true
    }

    /// Its holder knows of the loss.
    pub(crate) fn told(&self) {
        if !self.told.swap(true, Ordering::Relaxed) {
            self.journal.write(self.id, &What::Told);
        }
    }

    pub(crate) fn lets(&self, how: Letting) {
        self.journal.write(self.id, &What::Lets(how));
    }

    pub(crate) fn ends(&self, outcome: Outcome) {
        self.journal.write(self.id, &What::Ends(outcome));
    }

    /// The answer to a call that gives a guard.
    pub(crate) fn answered(&self, answer: Result<Option<Any>, Error>) -> Option<Any> {
        match answer {
            Ok(Some(guard)) => {
                self.mark(&guard);
                return Some(guard);
            }
            Ok(None) => self.ends(Outcome::Busy),
            Err(error) => self.ends(outcome(&error)),
        }
        None
    }

    /// The answer to a release, or to a `run`.
    pub(crate) fn released<T>(&self, answer: Result<T, Error>) -> Option<T> {
        match answer {
            Ok(output) => {
                self.journal.write(self.id, &What::Free);
                return Some(output);
            }
            // A `run` may have lost its lock before its body began.
            Err(Error::Lost { .. })
                if self.granted.load(Ordering::Relaxed) || !self.id.contains('/') =>
            {
                self.told();
            }
            Err(error) => self.ends(outcome(&error)),
        }
        None
    }

    /// Ends what needs no waiting for; the guard comes back if it needs some.
    pub(crate) fn finish_at_once(&self, guard: Any, end: Finish) -> Option<Any> {
        self.mark(&guard);
        match end {
            Finish::Release | Finish::ReleaseBlocking => {
                self.lets(Letting::Awaited);
                return Some(guard);
            }
            Finish::Drop => {
                self.lets(Letting::Dropped);
                drop(guard);
            }
            Finish::DropOnThread => {
                self.lets(Letting::Dropped);
                let _ = std::thread::spawn(move || drop(guard)).join();
            }
            Finish::Leak => {
                self.lets(Letting::Leaked);
                guard.leak();
            }
            Finish::Panic => {
                self.lets(Letting::Dropped);
                let panics = || {
                    let _guard = guard;
                    std::panic::panic_any(PLANNED);
                };
                let _ = catch_unwind(AssertUnwindSafe(panics));
            }
        }
        None
    }
}
