//! MultiLock: several keys, all or none.

mod guard;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

pub use self::guard::MultiGuard;
#[cfg(feature = "test-util")]
use crate::engine::Inline;
use crate::engine::call_deadline::Deadline;
use crate::error::{Error, Result};
use crate::lock::Lock;
use crate::lock::acquire::{block_until, none_if_busy, result};
use crate::lock::call::Call;
use crate::lock::guard::Guard;
use crate::lock::join::{discard, join_all};
use crate::lock::scope::{OnLoss, Scope};
use crate::locker::core::Core;
use crate::spec::key::Key;
use crate::spec::wait::Wait;

/// Several keys that are acquired together: all or none. Nothing is held yet. Made by
/// [`Locker::lock_all`](crate::Locker::lock_all).
///
/// The keys are acquired in the order of their native ids, in whatever order they were given. So
/// two callers that want the same keys never wait for each other. While this waits for one key, it
/// holds only keys before it. Keys that stand for the same lock count once.
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> dlock::Result<()> {
/// let locker = dlock::Locker::connect("memory:docs-multi").await?;
/// let transfer = locker.lock_all(["account:7", "account:3"]);
/// let moved = transfer.run(async |_| 100).await?;
/// assert_eq!(moved, 100);
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use = "nothing is locked yet: await `acquire()`, `try_acquire()` or `run(…)`, or call one of their \
              `_blocking` forms"]
pub struct MultiLock {
    core: Core,
    /// Sorted by their native ids, each once.
    locks: Vec<Lock>,
    /// Why there is no such lock.
    error: Option<Error>,
    wait: Wait,
}

impl MultiLock {
    pub(crate) fn new(core: Core, locks: impl Iterator<Item = Lock>) -> Self {
        let wait = core.wait();
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
        MultiLock { core, locks, error, wait }
    }

    /// Sets how long to wait for all of the locks together. Default: the locker's timeout, which is
    /// 30 s unless it was set.
    pub fn timeout(mut self, wait: impl Into<Wait>) -> Self {
        self.wait = wait.into().normal();
        self
    }

    /// Acquires all of the locks for reading, as [`Lock::shared`] does.
    pub fn shared(self) -> Self {
        self.each(Lock::shared)
    }

    /// Sets one name for all of these locks in metrics and in the log, as [`Lock::label`] does.
    pub fn label(self, label: impl Into<Cow<'static, str>>) -> Self {
        let label = label.into();
        self.each(|lock| lock.label(label.clone()))
    }

    /// Takes each of them so.
    pub(crate) fn each(mut self, how: impl Fn(Lock) -> Lock) -> Self {
        self.locks = self.locks.into_iter().map(how).collect();
        self
    }

    /// Acquires all of the locks, waiting at most [`timeout`](MultiLock::timeout) for all of them
    /// together. Costs one round trip if all are free.
    ///
    /// # Errors
    /// Those of [`Lock::acquire`], for the first key that cannot be acquired, and [`Error::Config`]
    /// if there are no keys. Nothing is held after an error.
    ///
    /// # Cancel safety
    /// Dropping the future at any point leaves nothing held and nothing queued.
    pub async fn acquire(&self) -> Result<MultiGuard> {
        let deadline = self.core.engine().deadline(self.wait);
        let call = self.begin();
        self.end(call, deadline, self.take_or_say_why(deadline).await)
    }

    /// Acquires all of the locks if all are free. Returns `None` if one of them is taken; none is
    /// held then.
    ///
    /// # Errors
    /// Those of [`Lock::try_acquire`], and [`Error::Config`] if there are no keys.
    ///
    /// # Cancel safety
    /// The same as [`acquire`](MultiLock::acquire).
    pub async fn try_acquire(&self) -> Result<Option<MultiGuard>> {
        let deadline = self.core.engine().deadline(Wait::NoWait);
        let call = self.begin();
        none_if_busy(self.end(call, deadline, self.take(deadline).await))
    }

    /// Acquires all of the locks, runs the body under them, and releases them, as [`Lock::run`]
    /// does. If one of the locks is lost, dlock drops the body at its next await.
    ///
    /// # Errors
    /// Those of [`acquire`](MultiLock::acquire), and [`Error::Lost`] if one of the locks was lost
    /// before the body ended.
    ///
    /// # Cancel safety
    /// The same as the body. Nothing stays locked.
    pub async fn run<T>(&self, body: impl AsyncFnOnce(&MultiGuard) -> T) -> Result<T> {
        let scope = Scope::new(self.acquire().await?, OnLoss::Cancel)?;
        let output = match scope.guard() {
            Some(guard) => scope.poll_body(body(guard)).await,
            None => None,
        };
        result(scope.finish(output).await)
    }

    /// Does the same as [`acquire`](MultiLock::acquire), and blocks the thread instead of awaiting.
    /// Callable from anywhere.
    ///
    /// # Errors
    /// Those of [`acquire`](MultiLock::acquire) and [`Lock::acquire_blocking`].
    pub fn acquire_blocking(&self) -> Result<MultiGuard> {
        self.take_blocking(self.wait, |deadline| self.take_or_say_why(deadline))
    }

    /// Does the same as [`try_acquire`](MultiLock::try_acquire), and blocks the thread instead of
    /// awaiting.
    ///
    /// # Errors
    /// Those of [`try_acquire`](MultiLock::try_acquire) and [`Lock::acquire_blocking`].
    pub fn try_acquire_blocking(&self) -> Result<Option<MultiGuard>> {
        none_if_busy(self.take_blocking(Wait::NoWait, |deadline| self.take(deadline)))
    }

    /// Does the same as [`run`](MultiLock::run), and blocks the thread instead of awaiting.
    ///
    /// # Errors
    /// Those of [`run`](MultiLock::run) and [`Lock::acquire_blocking`].
    pub fn run_blocking<T>(&self, body: impl FnOnce(&MultiGuard) -> T) -> Result<T> {
        let guard = self.acquire_blocking()?;
        let scope = Scope::new(guard, OnLoss::Report)?;
        let output = scope.guard().map(|guard| scope.call(|| body(guard)));
        result(scope.finish_blocking(output))
    }

    /// Returns the keys in the order in which they are acquired.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.locks.iter().map(Lock::key)
    }

    async fn take(&self, deadline: Deadline) -> Result<MultiGuard> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        #[cfg(feature = "test-util")]
        if let Some(error) = self.core.engine().for_tests().and_then(Inline::planned_failure) {
            return Err(error);
        }
        let mut held = Vec::with_capacity(self.locks.len());
        match self.collect(deadline, &mut held).await {
            Ok(()) => Ok(MultiGuard::new(held)),
            Err(error) => {
                discard(self.core.engine(), held, &error).await;
                Err(of_all(error, deadline.waited()))
            }
        }
    }

    /// The same for those who are told why they do not get them.
    async fn take_or_say_why(&self, deadline: Deadline) -> Result<MultiGuard> {
        match self.take(deadline).await {
            Err(error) => match self.locks.iter().find(|lock| lock.may_be_done(&error)) {
                Some(lock) => Err(Box::pin(lock.done_or(error)).await),
                None => Err(error),
            },
            taken => taken,
        }
    }

    /// Collects a guard of each lock. After an error, what is held so far is to be released.
    async fn collect(&self, deadline: Deadline, held: &mut Vec<Guard>) -> Result<()> {
        loop {
            let (refused, behind) = self.try_rest(deadline, held).await;
            let Some(refused) = refused else {
                return Ok(());
            };
            // A server that does not answer now may do so in time: a wait sees that through.
            let goes_on = matches!(refused, Error::Timeout { .. } | Error::Unavailable { .. });
            let first = self.locks.get(held.len()).filter(|_| goes_on && deadline.may_wait());
            let Some(first) = first else {
                held.extend(behind);
                return Err(refused);
            };
            // Released before the first one is waited for.
            drop(behind);
            held.push(first.take(deadline).await?);
        }
    }

    /// Tries all that are not held yet, together. Those before the first refused one are held then;
    /// returns why that one was refused, and the guards of those behind it.
    async fn try_rest(
        &self,
        deadline: Deadline,
        held: &mut Vec<Guard>,
    ) -> (Option<Error>, Vec<Guard>) {
        let rest = self.locks.iter().skip(held.len());
        let tries = rest.map(|lock| lock.take(deadline.of_a_try()));
        let answers = join_all(Some(self.core.engine()), tries).await;
        let (mut refused, mut behind) = (None, Vec::new());
        for answer in answers {
            match (answer, &refused) {
                (Ok(guard), None) => held.push(guard),
                (Ok(guard), Some(_)) => behind.push(guard),
                (Err(error), None) => refused = Some(error),
                // One that no wait mends.
                (Err(error), Some(Error::Timeout { .. })) if !error.is_timeout() => {
                    refused = Some(error);
                }
                (Err(_), Some(_)) => {}
            }
        }
        (refused, behind)
    }

    fn take_blocking<F>(&self, wait: Wait, take: impl FnOnce(Deadline) -> F) -> Result<MultiGuard>
    where
        F: Future<Output = Result<MultiGuard>>,
    {
        self.core.may_block()?;
        let deadline = self.core.engine().deadline(wait);
        #[cfg(feature = "test-util")]
        let _blocks = self.core.engine().blocks();
        let call = self.begin();
        let taken = block_until(deadline, take(deadline)).unwrap_or_else(|| {
            let stuck = self.core.does_not_run();
            Err(self.keys().next().map_or(stuck.clone(), |key| stuck.about(key)))
        });
        self.end(call, deadline, taken)
    }

    /// The caller wants the locks from now on.
    fn begin(&self) -> Call<'_> {
        Call::begin(self.core.engine().telemetry(), &self.locks)
    }

    /// The caller has its answer: it has the guards, or learns why not.
    fn end(
        &self,
        call: Call<'_>,
        deadline: Deadline,
        taken: Result<MultiGuard>,
    ) -> Result<MultiGuard> {
        let waited = deadline.waited();
        let error = match taken {
            Ok(guard) => return Ok(guard.claimed(&self.locks, waited)),
            Err(error) => error,
        };
        let is_it =
            |lock: &&Lock| matches!(&error, Error::Timeout { key, .. } if key == lock.key());
        if let Some(lock) = self.locks.iter().find(is_it).or(self.locks.first()) {
            #[cfg(feature = "test-util")]
            if let Some(engine) = self.core.engine().for_tests() {
                lock.note_refused(engine);
            }
            call.refused(lock.subject(), waited, deadline.is_patient(), &error);
        }
        Err(error)
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
