//! Lock: a key and the options with which it is acquired.

pub(crate) mod acquire;
pub(crate) mod call;
pub(crate) mod guard;
pub(crate) mod join;
pub(crate) mod multi;
mod permits;
pub(crate) mod scope;
pub(crate) mod token;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use crate::engine::OnLost;
use crate::error::Result;
use crate::locker::core::Core;
use crate::observe::{Label, Subject};
use crate::spec::key::Key;
use crate::spec::mode::Mode;
use crate::spec::native::NativeKey;
use crate::spec::options::LockOptions;
use crate::spec::wait::Wait;
use crate::status::lost::LostInfo;
use crate::text::Text;

/// A key and the options with which it is acquired. Nothing is held yet. One `Lock` can be acquired
/// many times.
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
#[must_use = "nothing is locked yet: await `acquire()`, `try_acquire()` or `run(…)`, or call one of their \
              `_blocking` forms"]
pub struct Lock {
    core: Core,
    key: Key,
    /// Or why there is no such lock.
    native: Result<NativeKey>,
    wait: Wait,
    mode: Mode,
    options: LockOptions,
    /// How many may hold it at once, if not one.
    permits: Option<u32>,
    /// The key that a permit's slot belongs to.
    family: Option<NativeKey>,
    on_lost: Option<OnLost>,
    label: Label,
    /// Who takes it is not who has called: a part of a semaphore.
    inner: bool,
}

impl Lock {
    pub(crate) fn new(core: Core, key: Key, native: Result<NativeKey>) -> Self {
        let (wait, retry_every) = (core.wait(), core.retry_every());
        let (mode, options) =
            (Mode::Exclusive, LockOptions { retry_every, ..LockOptions::default() });
        Lock {
            core,
            key,
            native,
            wait,
            mode,
            options,
            permits: None,
            family: None,
            on_lost: None,
            label: Label::NONE,
            inner: false,
        }
    }

    /// Sets how long [`acquire`](Lock::acquire) and [`run`](Lock::run) wait for the lock: a
    /// [`Duration`] or a [`Wait`]. Default: the locker's timeout, which is 30 s unless it was set.
    pub fn timeout(mut self, wait: impl Into<Wait>) -> Self {
        self.wait = wait.into().normal();
        self
    }

    /// Acquires the lock for reading ([`Mode::Shared`]): others may read too, nobody may write.
    ///
    /// Readers that arrive after a waiting writer wait behind it, in all processes. The exception:
    /// in a process that already reads, further readers pass the writer for the first few
    /// milliseconds. Release the shared lock before you take the exclusive one of the same key,
    /// otherwise you wait for yourself.
    pub fn shared(self) -> Self {
        self.mode(Mode::Shared)
    }

    /// Sets whom the lock keeps out. Default: [`Mode::Exclusive`]. Acquiring the lock returns
    /// [`Error::Unsupported`](crate::Error::Unsupported) if the database lacks the mode. Nothing is
    /// sent to the database then.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Gives the guard a fencing token, [`Guard::fence`](crate::Guard::fence): a number that grows
    /// with every grant of this key, also across crashes of programs and servers. A lease always
    /// has one. A session lock draws it right after the grant, from the key's row in the table of
    /// [`LeaseOptions::table`](crate::LeaseOptions::table). dlock creates that table if it is
    /// missing. [`fence`](crate::fence) explains how to use the token.
    ///
    /// A fenced acquire commits a row. It waits for the database's disk and for any synchronous
    /// standby, and fails if that standby is down. Locks without a token do not wait for it: they
    /// use another connection.
    ///
    /// # Errors
    /// Acquiring the lock returns [`Error::Config`](crate::Error::Config) in a mode that several
    /// may hold at once, and [`Error::Permission`](crate::Error::Permission) if the table can be
    /// neither created nor written.
    pub fn fenced(mut self) -> Self {
        self.options.fenced = true;
        self
    }

    /// Allows a body under this lock ([`run`](Lock::run), `#[locked]`) to acquire it again. It then
    /// gets another guard of the same grant. The lock is released when the last of these guards is
    /// dropped. Without this option, acquiring it again returns
    /// [`Error::Reentrant`](crate::Error::Reentrant) at once. A body under a shared lock cannot
    /// acquire it for writing.
    ///
    /// The inner lock's [`min_hold`](Lock::min_hold) extends that of the grant, and its
    /// [`on_lost`](Lock::on_lost) is called too. The inner acquire returns
    /// [`Error::Config`](crate::Error::Config) if its [`ttl`](Lock::ttl), [`owner`](Lock::owner) or
    /// [`auto_renew`](Lock::auto_renew) differs from that of the grant.
    ///
    /// "Under the lock" means the future that runs the body, not the task: tasks that the body
    /// spawns, and its siblings in a `join!`, wait for the lock like any other caller.
    pub fn reentrant(mut self) -> Self {
        self.options.reentrant = true;
        self
    }

    /// Makes the lock a semaphore: at most `n` callers hold it at once, in all processes together.
    /// All callers should use the same `n`. If they differ, the largest one counts. With 1 it is
    /// the plain lock.
    ///
    /// Every permit is a lock of its own. The first one is the lock of the key itself. When all
    /// permits are taken, callers queue on a second lock. The first in the queue polls for a free
    /// permit every 2 to 50 ms. A try is refused only if all permits are taken. A permit has no
    /// fencing token.
    ///
    /// # Errors
    /// Acquiring the lock returns [`Error::Config`](crate::Error::Config) with 0 permits, with more
    /// than 1000, and together with [`fenced`](Lock::fenced) or a [`mode`](Lock::mode).
    pub fn permits(mut self, n: u32) -> Self {
        self.permits = Some(n);
        self
    }

    /// Sets the duration of the lease and of each renewal. At least 100 ms. With [`Duration::MAX`]
    /// the lease lasts until it is released, even if the process ends before. Default:
    /// [`LeaseOptions::ttl`](crate::LeaseOptions::ttl).
    ///
    /// # Errors
    /// Acquiring the lock returns [`Error::Unsupported`](crate::Error::Unsupported) on a database
    /// whose locks are not leases.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.options.ttl = Some(ttl);
        self
    }

    /// Sets whether the lease is renewed while it is held. Default: `true`. With `false` it ends
    /// one ttl after it was granted. The lock is then lost, unless it was released before.
    ///
    /// # Errors
    /// Those of [`ttl`](Lock::ttl).
    pub fn auto_renew(mut self, renew: bool) -> Self {
        self.options.auto_renew = renew;
        self
    }

    /// Sets the owner of the lease. A process that restarts with the same name takes over its own
    /// lease at once, instead of waiting for the lease to end. So only one process may use the name
    /// at a time. 1 to 255 bytes. Default: [`LeaseOptions::owner`](crate::LeaseOptions::owner).
    ///
    /// **Two live processes with one name do not exclude each other.** The later one takes the
    /// lease, and the earlier one learns this at its next renewal: **both run for up to a third of
    /// the ttl.** The earlier process may still be running in a rolling deployment, or after a
    /// restart that does not wait for the old process to end. In these cases, do not set the name
    /// and wait for the end of the ttl, or reject late writes with the fencing token.
    ///
    /// # Errors
    /// Those of [`ttl`](Lock::ttl).
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.options.owner = Some(owner.into().into());
        self
    }

    /// Sets a text that others see while this lock is held: which page of an export it is for, or
    /// on whose behalf. dlock stores it in the lease's row, behind the owner.
    /// [`Locker::status`](crate::Locker::status) and the command line show it, and so does the
    /// [`Timeout`](crate::Error::Timeout) of a caller that waited in vain. 1 to 100 bytes of UTF-8;
    /// only ASCII if the database uses another encoding. Keep longer data in a table of yours,
    /// under the lock's key. Do not store secrets here: everybody who may read the lease table can
    /// read it.
    ///
    /// # Errors
    /// Those of [`ttl`](Lock::ttl), and [`Error::Config`](crate::Error::Config) for more than 100
    /// bytes or together with [`owner`](Lock::owner).
    ///
    /// # Examples
    /// ```
    /// # #[cfg(feature = "sqlite")]
    /// # async fn export(locker: dlock::Locker) -> dlock::Result<()> {
    /// let guard = locker.lock("export:7").data("for ada, since Monday").acquire().await?;
    /// let status = locker.status().await?;
    /// assert_eq!(status[0].holders[0].data.as_deref(), Some("for ada, since Monday"));
    /// # guard.release().await }
    /// ```
    pub fn data(mut self, data: impl Into<String>) -> Self {
        self.options.data = Some(Text::from(data.into()));
        self
    }

    /// Polls for a lock that another process holds, with this pause between two tries. The last try
    /// is made when the [`timeout`](Lock::timeout) ends. Default:
    /// [`LockerBuilder::retry_every`](crate::LockerBuilder::retry_every). If that is not set
    /// either, dlock uses what suits the database: a statement that waits in the server, or, for
    /// leases, the intervals of [`LeaseOptions::poll`](crate::LeaseOptions::poll).
    ///
    /// Use it on PostgreSQL for the lock that a migration runs under. A waiting statement has a
    /// snapshot, and `CREATE INDEX CONCURRENTLY` (like `REINDEX CONCURRENTLY`,
    /// `DROP INDEX CONCURRENTLY` and `DETACH PARTITION CONCURRENTLY`) waits for all snapshots that
    /// are older than itself. So a process that waits for the lock in a statement holds up the
    /// migration until its own timeout. With `retry_every` no statement waits, in all processes
    /// that use it.
    ///
    /// It has three costs. A free lock is noticed up to one pause later. There is no queue between
    /// processes, so overlapping shared locks can starve exclusive ones. Each pause costs one round
    /// trip. Where several tasks of a process wait for one key, the setting of the task that came
    /// first counts.
    ///
    /// # Errors
    /// Acquiring the lock returns [`Error::Config`](crate::Error::Config) if the pause is zero or
    /// longer than a year.
    pub fn retry_every(mut self, pause: Duration) -> Self {
        self.options.retry_every = Some(pause);
        self
    }

    /// Keeps the lock from everybody until this time has passed since it was granted, even if it is
    /// released earlier. This includes other processes with the same [`owner`](Lock::owner). Use it
    /// against a job that runs twice because the clocks of two hosts differ. A release still
    /// returns at once. A cancelled acquire keeps the lock from nobody.
    ///
    /// If the program ends before this time has passed:
    ///
    /// * A lease keeps the rest of the time, because it is stored in the row. This holds on every
    ///   database.
    /// * A session lock, and a lock of `memory:`, keeps it only while the process lives.
    ///   [`Locker::close`](crate::Locker::close) waits until it is over, at most one minute. If
    ///   instead the last handle of a locker is dropped, its engine runs until then, and logs at
    ///   WARN that this depends on the process. If the session or the process is killed, the lock
    ///   is free at once.
    ///
    /// A program that ends right after its job, such as one that cron starts, should use leases, or
    /// close the locker and wait.
    pub fn min_hold(mut self, time: Duration) -> Self {
        self.options.min_hold = time;
        self
    }

    /// Allows at most one successful run in each period, over all hosts and across restarts. After
    /// [`Guard::complete`](crate::Guard::complete), nobody gets the lock until this time has passed
    /// since it was granted, by the database's clock. A caller that comes too early gets
    /// [`Error::Timeout`](crate::Error::Timeout) with [`Stage::Done`](crate::Stage::Done).
    ///
    /// Without `complete`, the lock becomes free as usual and the next caller may try: when the
    /// guard is released or dropped, for example after a failure, or when its process ends.
    /// `#[locked(once_per = "1d")]` completes the period unless the body returns an `Err`.
    /// [`run`](Lock::run) does not know whether its body succeeded and never completes the period:
    /// use [`acquire`](Lock::acquire).
    ///
    /// For leases only: `sqlite://` and `lease+…`.
    ///
    /// # Errors
    /// Acquiring the lock returns [`Error::Unsupported`](crate::Error::Unsupported) where locks are
    /// not leases.
    ///
    /// # Examples
    /// ```
    /// # #[cfg(feature = "sqlite")]
    /// # async fn nightly(locker: dlock::Locker) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    ///
    /// let nightly = locker.lock("nightly").once_per(Duration::from_secs(20 * 3600));
    /// if let Some(guard) = nightly.try_acquire().await? {
    ///     std::fs::write("report.txt", "…")?; // an error frees the lock
    ///     guard.complete().await?;
    /// }
    /// # Ok(()) }
    /// ```
    pub fn once_per(mut self, period: Duration) -> Self {
        self.options.once_per = Some(period);
        self
    }

    /// Calls `callback` once if the lock is lost while it is held, as soon as all guards that are
    /// lost with it show the loss.
    ///
    /// The callback runs on a separate thread of the locker, and its captured values are dropped
    /// there. So it may block, take locks and call any of dlock's blocking functions. Other
    /// callbacks of this locker wait meanwhile. A panic in it is caught and logged. In the child of
    /// a fork it is not called.
    pub fn on_lost(mut self, callback: impl Fn(&LostInfo) + Send + Sync + 'static) -> Self {
        self.on_lost = Some(self.core.engine().on_lost(callback));
        self
    }

    /// Sets the name of this lock in metrics and in the log, beside its key: one name for all keys
    /// of a kind, such as `export` for `export:7` and `export:8`. `#[locked]` uses the text of its
    /// template, `export:<id>`. Default: none.
    ///
    /// Metrics show this name as the label `lock`, and never the key, because there must be few
    /// names.
    ///
    /// # Examples
    /// ```
    /// # async fn export(locker: dlock::Locker, id: u64) -> dlock::Result<()> {
    /// let lock = locker.lock(format!("export:{id}")).label("export");
    /// # lock.acquire().await?.release().await }
    /// ```
    pub fn label(mut self, label: impl Into<Cow<'static, str>>) -> Self {
        self.label = label.into().into();
        self
    }

    /// Returns the key of this lock.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// What it shares with the locker that it is of.
    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    /// What is told of it.
    pub(crate) fn subject(&self) -> Subject<'_> {
        Subject { key: &self.key, label: &self.label, mode: self.mode }
    }

    /// The database's name for it, or why it has none.
    pub(crate) fn native(&self) -> &Result<NativeKey> {
        &self.native
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock")
            .field("key", &self.key)
            .field("native", &self.native)
            .field("mode", &self.mode)
            .field("timeout", &self.wait)
            .field("terms", &self.options)
            .field("permits", &self.permits)
            .finish_non_exhaustive()
    }
}
