//! What is held while a command runs.

use std::time::Duration;

use dlock::{Guard, Locker, LostInfo, MultiGuard};

use crate::args::Run;
use crate::failure::Failure;

/// One lock or several.
pub(crate) enum Held {
    One(Guard),
    Many(MultiGuard),
}

impl Held {
    /// Takes what the command line asks for.
    pub(crate) async fn acquire(locker: &Locker, run: &Run) -> dlock::Result<Self> {
        let wait = wait(run.no_wait, run.wait);
        if let [key] = run.keys.as_slice() {
            let mut lock = locker.lock(key).timeout(wait);
            if run.shared {
                lock = lock.shared();
            }
            if run.fenced {
                lock = lock.fenced();
            }
            if let Some(permits) = run.permits {
                lock = lock.permits(permits);
            }
            if let Some(time) = run.min_hold {
                lock = lock.min_hold(time);
            }
            if let Some(period) = run.once_per {
                lock = lock.once_per(period);
            }
            if let Some(ttl) = run.ttl {
                lock = lock.ttl(ttl);
            }
            return lock.acquire().await.map(Held::One);
        }
        let mut locks = locker.lock_all(&run.keys).timeout(wait);
        if run.shared {
            locks = locks.shared();
        }
        locks.acquire().await.map(Held::Many)
    }

    pub(crate) async fn lost(&self) -> LostInfo {
        match self {
            Held::One(guard) => guard.lost().await,
            Held::Many(guard) => guard.lost().await,
        }
    }

    pub(crate) fn valid_for(&self) -> Duration {
        match self {
            Held::One(guard) => guard.valid_for(),
            Held::Many(guard) => guard.valid_for(),
        }
    }

    pub(crate) fn fence(&self) -> Option<u64> {
        match self {
            Held::One(guard) => guard.fence(),
            Held::Many(_) => None,
        }
    }

    /// Releases it, with what was to be done under it done.
    pub(crate) async fn complete(self) -> dlock::Result<()> {
        match self {
            Held::One(guard) => guard.complete().await,
            Held::Many(guard) => guard.release().await,
        }
    }

    pub(crate) async fn release(self) -> dlock::Result<()> {
        match self {
            Held::One(guard) => guard.release().await,
            Held::Many(guard) => guard.release().await,
        }
    }
}

/// How long a command waits for its lock.
pub(crate) fn wait(no_wait: bool, time: Option<Duration>) -> dlock::Wait {
    match time {
        _ if no_wait => dlock::Wait::NoWait,
        None => dlock::Wait::Forever,
        Some(time) => time.into(),
    }
}

/// What several keys cannot have.
pub(crate) fn check(run: &Run) -> Result<(), Failure> {
    let only_one = [
        (run.fenced, "--fenced"),
        (run.permits.is_some(), "--permits"),
        (run.min_hold.is_some(), "--min-hold"),
        (run.once_per.is_some(), "--once-per"),
        (run.ttl.is_some(), "--ttl"),
    ];
    match only_one.into_iter().find(|(is_set, _)| *is_set && run.keys.len() > 1) {
        Some((_, option)) => {
            Err(Failure::usage(format!("{option} is for one key, not for several")))
        }
        None => Ok(()),
    }
}
