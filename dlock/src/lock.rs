//! Lock: a key and how to take it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::blocking::{block_for, block_on};
use crate::claim::Claim;
use crate::engine::{Mail, OnLost, Request};
use crate::error::{Error, Result, Source};
use crate::extent::{self, End, Extent, OnLoss};
use crate::guard::Guard;
use crate::key::Key;
use crate::locker::Locker;
use crate::lost::LostInfo;
use crate::mode::Mode;
use crate::native::NativeKey;
use crate::switch;
use crate::terms::Terms;
use crate::wait::Wait;

/// A blocking call keeps its own time as well: the engine's may be on a runtime that is stuck.
const GRACE: Duration = Duration::from_secs(1);
/// A single try may take so long, for the server's sake.
const TRY: Duration = Duration::from_secs(5);

/// A key and how to take it. Nothing is held yet; one `Lock` can be taken many times.
///
/// ```
/// # fn main() -> dlock::Result<()> {
/// use std::time::Duration;
///
/// let locker = dlock::Locker::connect_blocking("memory:docs-lock")?;
/// let lock = locker.lock("export:7").timeout(Duration::from_secs(5));
/// let guard = lock.acquire_blocking()?;
/// assert!(lock.try_acquire_blocking()?.is_none());
/// guard.release_blocking()
/// # }
/// ```
#[derive(Clone)]
#[must_use = "nothing is locked before `acquire`"]
pub struct Lock {
    locker: Locker,
    key: Key,
    /// Or why there is no such lock.
    native: Result<NativeKey>,
    wait: Wait,
    mode: Mode,
    terms: Terms,
    on_lost: Option<OnLost>,
}

impl Lock {
    pub(crate) fn new(locker: Locker, key: Key, native: Result<NativeKey>, wait: Wait) -> Self {
        let (mode, terms) = (Mode::Exclusive, Terms::default());
        Lock { locker, key, native, wait, mode, terms, on_lost: None }
    }

    /// How long [`acquire`](Lock::acquire) and [`run`](Lock::run) wait for the lock: a [`Duration`]
    /// or a [`Wait`]. Default: the locker's, 30 s unless it was told otherwise.
    pub fn timeout(mut self, wait: impl Into<Wait>) -> Self {
        self.wait = wait.into().normal();
        self
    }

    /// Takes the lock to read: others may read too, nobody may write. [`Mode::Shared`].
    ///
    /// A writer who waits is not passed by readers who come later (but for those of the first few
    /// milliseconds, in the process that reads already). A reader who wants to write lets go first:
    /// to take the same key to write as well is to wait for oneself.
    pub fn shared(self) -> Self {
        self.mode(Mode::Shared)
    }

    /// Whom the lock keeps out. Default: [`Mode::Exclusive`]. A mode that the database lacks is
    /// [`Error::Unsupported`] when the lock is taken, before anything is asked of the database.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// The guard carries a fencing token, [`Guard::fence`]: a number that grows with every grant of
    /// this key, also across crashes of programs and servers. A lease always has one; a session lock
    /// draws it, right after the grant, from the key's row in the table of
    /// [`LeaseOptions::table`](crate::LeaseOptions::table), which is made when it is missing. What to
    /// do with it: [`fence`](crate::fence).
    ///
    /// # Errors
    /// Taking it is [`Error::Config`] in a mode that several may hold at once,
    /// [`Error::Permission`] when the table can be neither made nor written.
    pub fn fenced(mut self) -> Self {
        self.terms.fenced = true;
        self
    }

    /// For how long the lease is taken, and by each renewal; else as
    /// [`LeaseOptions::ttl`](crate::LeaseOptions::ttl). At least 100 ms. [`Duration::MAX`]: until it
    /// is released, even if the process ends before.
    ///
    /// # Errors
    /// Taking it is [`Error::Unsupported`] on a database whose locks are no leases.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.terms.ttl = Some(ttl);
        self
    }

    /// Whether the lease is renewed while it is held. Default: it is. Without, it ends a ttl after it
    /// was taken: then it is lost, unless it was released before.
    ///
    /// # Errors
    /// As [`ttl`](Lock::ttl).
    pub fn auto_renew(mut self, renew: bool) -> Self {
        self.terms.auto_renew = renew;
        self
    }

    /// Who holds the lease: a process that comes back with the same name takes its own lease over at
    /// once, instead of waiting for its end. So the name must be that of one process at a time: two
    /// with one name exclude each other no more (the earlier one's lock is lost). 1 to 255 bytes.
    /// Default: as [`LeaseOptions::owner`](crate::LeaseOptions::owner).
    ///
    /// # Errors
    /// As [`ttl`](Lock::ttl).
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.terms.owner = Some(owner.into().into());
        self
    }

    /// How often the database is asked for a lease that another process has. Default: as often as it
    /// makes sense, see [`LeaseOptions::poll`](crate::LeaseOptions::poll).
    ///
    /// # Errors
    /// As [`ttl`](Lock::ttl).
    pub fn retry_every(mut self, pause: Duration) -> Self {
        self.terms.retry_every = Some(pause);
        self
    }

    /// Nobody gets the lock before this time has passed since it was granted, however soon it is
    /// released: against a job that runs twice because the clocks of two hosts differ. A release
    /// returns at once all the same. A lease keeps that even if the process ends, a session lock does
    /// not.
    pub fn min_hold(mut self, time: Duration) -> Self {
        self.terms.min_hold = time;
        self
    }

    /// Calls this once if the lock is lost while it is held, on the thread that notices: it should
    /// be short. A panic in it is caught and logged.
    pub fn on_lost(mut self, callback: impl Fn(&LostInfo) + Send + Sync + 'static) -> Self {
        self.on_lost = Some(Arc::new(callback));
        self
    }

    /// What is to be locked.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Takes the lock, waiting for it as long as [`timeout`](Lock::timeout) says.
    ///
    /// # Errors
    /// [`Error::Timeout`] when the wait is over, [`Error::Reentrant`] under this very lock,
    /// [`Error::Unavailable`] when the server does not answer in that time, [`Error::Key`] when the
    /// locker's [`KeyScheme`](crate::KeyScheme) has no lock for this key.
    ///
    /// # Cancel safety
    /// Dropping the future at any point leaves nothing held and nothing queued.
    pub async fn acquire(&self) -> Result<Guard> {
        self.request(self.wait).await
    }

    /// Takes the lock if it is free: one try that never waits for whoever holds it. `None` when it
    /// is taken.
    ///
    /// # Errors
    /// As [`acquire`](Lock::acquire), without `Timeout`; [`Error::Unavailable`] when the server
    /// does not answer within 5 s.
    ///
    /// # Cancel safety
    /// As [`acquire`](Lock::acquire).
    pub async fn try_acquire(&self) -> Result<Option<Guard>> {
        none_if_busy(self.request(Wait::NoWait).await)
    }

    /// Takes the lock, runs the body under it, and lets go of it.
    ///
    /// When the lock is lost, the body is dropped at its next await. When the body panics or the
    /// future is dropped, the lock is released in the background. Inside the body the same key is
    /// refused at once, with [`Error::Reentrant`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> dlock::Result<()> {
    /// let locker = dlock::Locker::connect("memory:docs-run").await?;
    /// let sum = locker.lock("sum").run(async |_| 1 + 1).await?;
    /// assert_eq!(sum, 2);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`acquire`](Lock::acquire); [`Error::Lost`] when the lock was lost before the body ended.
    ///
    /// # Cancel safety
    /// As the body's; nothing stays locked.
    pub async fn run<T>(&self, body: impl AsyncFnOnce(&Guard) -> T) -> Result<T> {
        let extent = Extent::new(self.acquire().await?, OnLoss::Cancel);
        let output = match extent.guard() {
            Some(guard) => extent.poll_body(body(guard)).await,
            None => None,
        };
        result(extent.finish(output).await)
    }

    /// [`acquire`](Lock::acquire) without `await`: on a plain thread, inside a runtime of any
    /// flavour, while unwinding.
    ///
    /// # Errors
    /// As [`acquire`](Lock::acquire); [`Error::Config`] inside the very current-thread runtime that
    /// the locker was told to run on.
    pub fn acquire_blocking(&self) -> Result<Guard> {
        self.request_blocking(self.wait)
    }

    /// [`try_acquire`](Lock::try_acquire) without `await`.
    ///
    /// # Errors
    /// As [`try_acquire`](Lock::try_acquire) and [`acquire_blocking`](Lock::acquire_blocking).
    pub fn try_acquire_blocking(&self) -> Result<Option<Guard>> {
        none_if_busy(self.request_blocking(Wait::NoWait))
    }

    /// [`run`](Lock::run) without `await`. A sync body cannot be dropped: it asks
    /// [`Guard::is_lost`], or learns of a loss afterwards.
    ///
    /// # Errors
    /// As [`run`](Lock::run) and [`acquire_blocking`](Lock::acquire_blocking).
    pub fn run_blocking<T>(&self, body: impl FnOnce(&Guard) -> T) -> Result<T> {
        let guard = self.acquire_blocking()?;
        let extent = Extent::new(guard, OnLoss::Report);
        let output = extent.guard().map(|guard| extent.call(|| body(guard)));
        result(extent.finish_blocking(output))
    }

    fn request_blocking(&self, wait: Wait) -> Result<Guard> {
        if switch::enabled() {
            self.locker.engine().check_blocking()?;
        }
        let time = match wait {
            Wait::Forever => return block_on(self.request(wait)),
            Wait::NoWait => TRY + GRACE,
            Wait::For(time) => time.saturating_add(GRACE),
        };
        block_for(time, self.request(wait)).unwrap_or_else(|| {
            let source: Source = Arc::from(Box::from("the locker's engine does not run"));
            Err(Error::Unavailable { backend: self.locker.backend().into(), source })
        })
    }

    async fn request(&self, wait: Wait) -> Result<Guard> {
        if !switch::enabled() {
            return Ok(Guard::unlocked(self.key.clone(), self.mode));
        }
        self.locker.check_mode(self.mode)?;
        self.locker.check_terms(&self.terms, self.mode)?;
        let native = self.native.clone()?;
        let engine = self.locker.engine();
        if extent::is_under(engine.id(), &native) {
            return Err(Error::Reentrant { key: self.key.clone() });
        }
        let (reply, answer) = oneshot::channel();
        let id = engine.next_request();
        engine.post(Mail::Acquire(Request {
            id,
            key: self.key.clone(),
            claim: Claim { key: native, mode: self.mode },
            wait,
            asked: Instant::now(),
            terms: self.terms.clone(),
            on_lost: self.on_lost.clone(),
            engine: engine.clone(),
            reply,
        }))?;
        let mut asking = Asking { lock: self, id: Some(id) };
        let answer = answer.await;
        asking.id = None;
        answer.unwrap_or(Err(Error::Closed))
    }
}

/// Tells the engine when the caller goes before it has an answer.
struct Asking<'a> {
    lock: &'a Lock,
    id: Option<u64>,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            // An engine that is gone has forgotten it anyway.
            let _ = self.lock.locker.engine().post(Mail::Abandon(id));
        }
    }
}

fn none_if_busy(result: Result<Guard>) -> Result<Option<Guard>> {
    match result {
        Ok(guard) => Ok(Some(guard)),
        Err(Error::Timeout { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn result<T>(end: End<T>) -> Result<T> {
    match end {
        End { lost: Some(lost), .. } => Err(lost),
        End { output: Some(output), .. } => Ok(output),
        End { output: None, .. } => Err(Error::Closed),
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock")
            .field("key", &self.key)
            .field("native", &self.native)
            .field("mode", &self.mode)
            .field("timeout", &self.wait)
            .field("terms", &self.terms)
            .finish_non_exhaustive()
    }
}
