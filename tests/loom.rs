//! All interleavings of the engine and of a guard over the [`Validity`] that they share, by loom: the file of the crate
//! itself, compiled with loom's atomics in place of std's.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::time::Duration;

use dlock::LostReason;
use loom::sync::Arc;
use loom::thread;

use crate::clock::{Time, Validity};

#[path = "../dlock/src/clock.rs"]
#[allow(dead_code, unexpected_cfgs, unreachable_pub, reason = "the file is the library's")]
mod clock;

mod status {
    pub(crate) mod lost {
        pub(crate) use dlock::LostReason;
    }
}

/// What the crate takes from std.
mod sync {
    pub(crate) use loom::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

    /// std's, as far as loom is to see it: who finds the value has seen what was done before it was set.
    #[derive(Debug)]
    pub(crate) struct OnceLock<T> {
        state: AtomicUsize,
        value: std::sync::OnceLock<T>,
    }

    const EMPTY: usize = 0;
    const BUSY: usize = 1;
    const SET: usize = 2;

    impl<T> OnceLock<T> {
        pub(crate) fn new() -> Self {
            OnceLock { state: AtomicUsize::new(EMPTY), value: std::sync::OnceLock::new() }
        }

        pub(crate) fn get(&self) -> Option<&T> {
            (self.state.load(Ordering::Acquire) == SET).then(|| self.value.get().unwrap())
        }

        pub(crate) fn set(&self, value: T) -> Result<(), T> {
            let begun =
                self.state.compare_exchange(EMPTY, BUSY, Ordering::Acquire, Ordering::Acquire);
            if begun.is_err() {
                return Err(value);
            }
            self.value.set(value)?;
            self.state.store(SET, Ordering::Release);
            Ok(())
        }
    }
}

fn at(now: Time, seconds: u64) -> Time {
    now.after(Duration::from_secs(seconds))
}

/// Whoever has seen it end never sees it valid again, whatever the engine has heard meanwhile.
#[test]
fn what_has_ended_stays_so() {
    loom::model(|| {
        let now = Time::now();
        let validity = Arc::new(Validity::until(at(now, 1)));
        let (ends, extends) = (Arc::clone(&validity), Arc::clone(&validity));
        let ends = thread::spawn(move || ends.end(LostReason::SessionEnded));
        let extends = thread::spawn(move || extends.extend(at(now, 9)));
        let first = validity.is_valid_at(now);
        let second = validity.is_valid_at(now);
        assert!(first || !second);
        ends.join().unwrap();
        extends.join().unwrap();
        assert!(!validity.is_valid_at(now));
        assert!(validity.remaining(now).is_zero());
        assert_eq!(validity.ended(), Some(LostReason::SessionEnded));
    });
}

/// The engine ends a validity before it frees the lock. The next holder has the lock only after that: then the guard of
/// the earlier one has ended.
#[test]
fn next_holder_comes_after_the_end() {
    loom::model(|| {
        let now = Time::now();
        let validity = Arc::new(Validity::until(at(now, 9)));
        let free = Arc::new(loom::sync::atomic::AtomicBool::new(false));
        let (ends, frees) = (Arc::clone(&validity), Arc::clone(&free));
        let engine = thread::spawn(move || {
            ends.end(LostReason::NotHeld);
            frees.store(true, loom::sync::atomic::Ordering::Release);
        });
        if free.load(loom::sync::atomic::Ordering::Acquire) {
            assert!(!validity.is_valid_at(now), "two hold it");
        }
        engine.join().unwrap();
    });
}

/// Answers that arrive in another order than they were sent never shorten it.
#[test]
fn later_answer_counts() {
    loom::model(|| {
        let now = Time::now();
        let validity = Arc::new(Validity::until(at(now, 1)));
        let threads = [5, 3].map(|seconds| {
            let validity = Arc::clone(&validity);
            thread::spawn(move || validity.extend(at(now, seconds)))
        });
        let (first, second) = (validity.remaining(now), validity.remaining(now));
        assert!(first <= second, "it was put back");
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(validity.remaining(now), Duration::from_secs(5));
        assert!(validity.is_valid_at(at(now, 4)) && !validity.is_valid_at(at(now, 5)));
    });
}

/// Of two that end it, the first one's reason counts, for all who look.
#[test]
fn first_reason_counts() {
    loom::model(|| {
        let validity = Arc::new(Validity::until(at(Time::now(), 9)));
        let reasons = [LostReason::Unconfirmed, LostReason::Closed];
        let threads = reasons.map(|reason| {
            let validity = Arc::clone(&validity);
            thread::spawn(move || {
                validity.end(reason);
            })
        });
        let seen = validity.ended();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let last = validity.ended().unwrap();
        assert!(seen.is_none_or(|seen| seen == last));
    });
}
