//! MultiLock: several keys, all or none.

mod guard;

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

pub use self::guard::MultiGuard;
use crate::blocking::{block_for, block_on};
use crate::error::{Error, Result};
use crate::extent::{Extent, OnLoss};
use crate::guard::Guard;
use crate::join::join_all;
use crate::key::Key;
use crate::lock::Lock;
use crate::lock::take::{GRACE, TRY, none_if_busy, result};
use crate::locker::Locker;
use crate::wait::Wait;

/// Several keys and how to take them: all or none. Nothing is held yet; made by
/// [`Locker::lock_all`].
///
/// The keys are taken in the order of their native ids, whatever order they were given in, so that
/// two callers who want the same keys never wait for each other. While one key is waited for, only
/// keys before it are held. Keys that come to the same lock count once.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> dlock::Result<()> {
/// let locker = dlock::Locker::connect("memory:docs-multi").await?;
/// let transfer = locker.lock_all(["account:7", "account:3"]);
/// let moved = transfer.run(async |_| 100).await?;
/// assert_eq!(moved, 100);
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use = "nothing is locked before `acquire`"]
pub struct MultiLock {
    locker: Locker,
    /// Sorted by their native ids, each once.
    locks: Vec<Lock>,
    /// Why there is no such lock.
    error: Option<Error>,
    wait: Wait,
}

impl MultiLock {
    pub(crate) fn new(locker: Locker, locks: impl Iterator<Item = Lock>, wait: Wait) -> Self {
        let mut error = None;
        let mut sorted: Vec<_> = locks
            .filter_map(|lock| match lock.native() {
                Ok(native) => Some((native.clone(), lock)),
                Err(why) => {
                    error.get_or_insert_with(|| why.clone());
                    None
                }
            })
            .collect();
        if sorted.is_empty() && error.is_none() {
            error = Some(Error::config(
                "lock_all was given no key; leave the lock out where there is nothing to lock",
            ));
        }
        sorted.sort_by(|(a, _), (b, _)| a.cmp(b));
        sorted.dedup_by(|(a, _), (b, _)| a == b);
        let locks = sorted.into_iter().map(|(_, lock)| lock).collect();
        MultiLock { locker, locks, error, wait }
    }

    /// How long to wait for all of them together. Default: the locker's, 30 s unless it was told
    /// otherwise.
    pub fn timeout(mut self, wait: impl Into<Wait>) -> Self {
        self.wait = wait.into().normal();
        self
    }

    /// Takes all of them to read, see [`Lock::shared`].
    pub fn shared(self) -> Self {
        self.each(Lock::shared)
    }

    /// Takes each of them so.
    pub(crate) fn each(mut self, how: impl Fn(Lock) -> Lock) -> Self {
        self.locks = self.locks.into_iter().map(how).collect();
        self
    }

    /// Takes all the locks, waiting as long as [`timeout`](MultiLock::timeout) says for all of them
    /// together. One round trip when all are free.
    ///
    /// # Errors
    /// As [`Lock::acquire`], for the first key that cannot be had; [`Error::Config`] when there are
    /// no keys. Nothing is held then.
    ///
    /// # Cancel safety
    /// Dropping the future at any point leaves nothing held and nothing queued.
    pub async fn acquire(&self) -> Result<MultiGuard> {
        self.take(self.wait).await
    }

    /// Takes all the locks if all are free; `None` when one is taken, and then none is held.
    ///
    /// # Errors
    /// As [`Lock::try_acquire`], and [`Error::Config`] when there are no keys.
    ///
    /// # Cancel safety
    /// As [`acquire`](MultiLock::acquire).
    pub async fn try_acquire(&self) -> Result<Option<MultiGuard>> {
        none_if_busy(self.take(Wait::NoWait).await)
    }

    /// Takes all the locks, runs the body under them, and lets go of them: as [`Lock::run`]. The body
    /// is dropped when one of them is lost.
    ///
    /// # Errors
    /// As [`acquire`](MultiLock::acquire); [`Error::Lost`] when one of the locks was lost before the
    /// body ended.
    ///
    /// # Cancel safety
    /// As the body's; nothing stays locked.
    pub async fn run<T>(&self, body: impl AsyncFnOnce(&MultiGuard) -> T) -> Result<T> {
        let extent = Extent::new(self.acquire().await?, OnLoss::Cancel);
        let output = match extent.guard() {
            Some(guard) => extent.poll_body(body(guard)).await,
            None => None,
        };
        result(extent.finish(output).await)
    }

    /// [`acquire`](MultiLock::acquire) without `await`, from anywhere.
    ///
    /// # Errors
    /// As [`acquire`](MultiLock::acquire) and [`Lock::acquire_blocking`].
    pub fn acquire_blocking(&self) -> Result<MultiGuard> {
        self.take_blocking(self.wait)
    }

    /// [`try_acquire`](MultiLock::try_acquire) without `await`.
    ///
    /// # Errors
    /// As [`try_acquire`](MultiLock::try_acquire) and [`Lock::acquire_blocking`].
    pub fn try_acquire_blocking(&self) -> Result<Option<MultiGuard>> {
        none_if_busy(self.take_blocking(Wait::NoWait))
    }

    /// [`run`](MultiLock::run) without `await`.
    ///
    /// # Errors
    /// As [`run`](MultiLock::run) and [`Lock::acquire_blocking`].
    pub fn run_blocking<T>(&self, body: impl FnOnce(&MultiGuard) -> T) -> Result<T> {
        let guard = self.acquire_blocking()?;
        let extent = Extent::new(guard, OnLoss::Report);
        let output = extent.guard().map(|guard| extent.call(|| body(guard)));
        result(extent.finish_blocking(output))
    }

    /// What is to be locked, in the order in which it is taken.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.locks.iter().map(Lock::key)
    }

    async fn take(&self, wait: Wait) -> Result<MultiGuard> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let asked = Instant::now();
        let mut held: Vec<Guard> = Vec::with_capacity(self.locks.len());
        loop {
            let rest = self.locks.iter().skip(held.len());
            let tries = rest.map(|lock| lock.take(Wait::NoWait));
            let answers = join_all(Some(self.locker.engine()), tries).await;
            let mut refused = None;
            for answer in answers {
                match answer {
                    Ok(guard) if refused.is_none() => held.push(guard),
                    // Past the first refused one: given back before that is waited for.
                    Ok(guard) => drop(guard),
                    Err(error) if error.is_timeout() => drop(refused.get_or_insert(error)),
                    Err(error) => return Err(error),
                }
            }
            let Some(refused) = refused else {
                return Ok(MultiGuard::new(held));
            };
            let left = match wait {
                Wait::NoWait => return Err(refused),
                Wait::For(time) => Wait::For(time.saturating_sub(asked.elapsed())),
                Wait::Forever => Wait::Forever,
            };
            let Some(lock) = self.locks.get(held.len()) else {
                return Err(refused);
            };
            let granted = lock.take(left.normal()).await;
            held.push(granted.map_err(|error| of_all(error, asked.elapsed()))?);
        }
    }

    fn take_blocking(&self, wait: Wait) -> Result<MultiGuard> {
        self.locker.check_blocking()?;
        let time = match wait {
            Wait::Forever => return block_on(self.take(wait)),
            Wait::NoWait => TRY + GRACE,
            Wait::For(time) => time.saturating_add(TRY + GRACE),
        };
        block_for(time, self.take(wait)).unwrap_or_else(|| Err(self.locker.does_not_run()))
    }
}

/// The time is that of the whole wait.
fn of_all(error: Error, waited: Duration) -> Error {
    match error {
        Error::Timeout { key, stage, holder, .. } => Error::Timeout { key, waited, stage, holder },
        error => error,
    }
}

impl fmt::Debug for MultiLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MultiLock")
            .field("locks", &self.locks)
            .field("timeout", &self.wait)
            .finish_non_exhaustive()
    }
}
