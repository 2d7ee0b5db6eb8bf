//! Lock: a key and how to take it.

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
use std::sync::Arc;
use std::time::Duration;

use crate::engine::Function;
use crate::error::Result;
use crate::locker::Locker;
use crate::observe::{Label, Subject};
use crate::spec::key::Key;
use crate::spec::mode::Mode;
use crate::spec::native::NativeKey;
use crate::spec::options::LockOptions;
use crate::spec::wait::Wait;
use crate::status::lost::LostInfo;
use crate::text::Text;

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
#[must_use = "nothing is locked yet: await `acquire()`, `try_acquire()` or `run(…)`, or call one of their \
              `_blocking` forms"]
pub struct Lock {
    locker: Locker,
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
    on_lost: Option<Arc<Function>>,
    label: Label,
    /// Who takes it is not who has called: a part of a semaphore.
    inner: bool,
}

impl Lock {
    pub(crate) fn new(locker: Locker, key: Key, native: Result<NativeKey>, wait: Wait) -> Self {
        let retry_every = locker.retry_every();
        let (mode, options) =
            (Mode::Exclusive, LockOptions { retry_every, ..LockOptions::default() });
        Lock {
            locker,
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
    /// [`Error::Unsupported`](crate::Error::Unsupported) when the lock is taken, before anything is asked of the database.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// The guard carries a fencing token, [`Guard::fence`](crate::Guard::fence): a number that grows
    /// with every grant of this key, also across crashes of programs and servers. A lease always has
    /// one; a session lock draws it, right after the grant, from the key's row in the table of
    /// [`LeaseOptions::table`](crate::LeaseOptions::table), which is made when it is missing. What to
    /// do with it: [`fence`](crate::fence).
    ///
    /// A token is written, so a fenced lock waits for the database's disk and for a synchronous
    /// standby, and is not to be had while there is none. Locks without a token do not wait with it:
    /// they are on another connection.
    ///
    /// # Errors
    /// Taking it is [`Error::Config`](crate::Error::Config) in a mode that several may hold at once,
    /// [`Error::Permission`](crate::Error::Permission) when the table can be neither made nor written.
    pub fn fenced(mut self) -> Self {
        self.options.fenced = true;
        self
    }

    /// A body under the lock ([`run`](Lock::run), `#[locked]`) may take it again by this: it gets
    /// another guard of the same grant, and the lock is released when the last of them is gone.
    /// Without this, [`Error::Reentrant`](crate::Error::Reentrant) at once. A body under a shared lock cannot take it to write.
    ///
    /// Its [`min_hold`](Lock::min_hold) makes that of the grant longer, its [`on_lost`](Lock::on_lost)
    /// is called too; another [`ttl`](Lock::ttl), [`owner`](Lock::owner) or
    /// [`auto_renew`](Lock::auto_renew) than the grant has is [`Error::Config`](crate::Error::Config).
    ///
    /// "Under the lock" is the future that runs the body, not the task: what the body spawns, and
    /// its siblings in a `join!`, wait for it like everybody else.
    pub fn reentrant(mut self) -> Self {
        self.options.reentrant = true;
        self
    }

    /// A semaphore: at most so many hold the lock at once, in all processes together. All of them
    /// should name the same number; where they do not, the largest one holds. One is the plain lock.
    ///
    /// Every permit is a lock of its own, the first one that of the key itself. Callers that find
    /// them all taken queue on a second lock; the first in the queue looks for a free permit every 2
    /// to 50 ms. A try is refused only when all permits are taken. A permit has no fencing token.
    ///
    /// # Errors
    /// Taking it is [`Error::Config`](crate::Error::Config) with no permit, with more than 1000, and
    /// together with [`fenced`](Lock::fenced) or a [`mode`](Lock::mode).
    pub fn permits(mut self, n: u32) -> Self {
        self.permits = Some(n);
        self
    }

    /// For how long the lease is taken, and by each renewal; else as
    /// [`LeaseOptions::ttl`](crate::LeaseOptions::ttl). At least 100 ms. [`Duration::MAX`]: until it
    /// is released, even if the process ends before.
    ///
    /// # Errors
    /// Taking it is [`Error::Unsupported`](crate::Error::Unsupported) on a database whose locks are no leases.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.options.ttl = Some(ttl);
        self
    }

    /// Whether the lease is renewed while it is held. Default: it is. Without, it ends a ttl after it
    /// was taken: then it is lost, unless it was released before.
    ///
    /// # Errors
    /// As [`ttl`](Lock::ttl).
    pub fn auto_renew(mut self, renew: bool) -> Self {
        self.options.auto_renew = renew;
        self
    }

    /// Who holds the lease: a process that comes back with the same name takes its own lease over at
    /// once, instead of waiting for its end. So the name must be that of one process at a time. 1 to 255
    /// bytes. Default: as [`LeaseOptions::owner`](crate::LeaseOptions::owner).
    ///
    /// **Two live processes with one name do not exclude each other.** The later one takes the lease, and
    /// the earlier one learns it at its next renewal: **for up to a third of the ttl both run.** Where
    /// the earlier process may still be running (a rolling deployment, a restart that does not wait for
    /// the old process to end), leave the name out and wait for the end of the ttl, or refuse late writes
    /// with the fencing token.
    ///
    /// # Errors
    /// As [`ttl`](Lock::ttl).
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.options.owner = Some(owner.into().into());
        self
    }

    /// What others are to know about this lock while it is held: which page of an export, on whose
    /// behalf. It stands in the lease's row, behind the owner, and is shown by
    /// [`Locker::status`](crate::Locker::status), in the [`Timeout`](crate::Error::Timeout) of who waits in
    /// vain, and by the command line. 1 to 100 bytes of UTF-8; in a database whose encoding is another, of
    /// ASCII. What is longer belongs into a table of yours, under the lock's key. No secrets: whoever may
    /// read the table of leases reads it.
    ///
    /// # Errors
    /// As [`ttl`](Lock::ttl); [`Error::Config`](crate::Error::Config) for more than 100 bytes, and
    /// together with [`owner`](Lock::owner).
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

    /// Asks for a lock that another process has by tries with this pause between them; the last try is
    /// made when the [`timeout`](Lock::timeout) ends. Default: as
    /// [`LockerBuilder::retry_every`](crate::LockerBuilder::retry_every), and without that as it suits
    /// the database: a statement that waits in the server, or for leases the intervals of
    /// [`LeaseOptions::poll`](crate::LeaseOptions::poll).
    ///
    /// For PostgreSQL: a statement that waits has a snapshot, and `CREATE INDEX CONCURRENTLY` (like
    /// `REINDEX CONCURRENTLY`, `DROP INDEX CONCURRENTLY` and `DETACH PARTITION CONCURRENTLY`) waits for
    /// all snapshots that are older than itself. So whoever waits for the lock that a migration runs
    /// under holds the migration up, until its own timeout. With `retry_every` no statement waits, in
    /// all processes that use it.
    ///
    /// In return a free lock is noticed up to one pause later, there is no queue between processes (so
    /// exclusive locks can be starved by shared ones that overlap), and each pause costs one round
    /// trip. Where several tasks of a process wait for one key, the one that came first decides.
    ///
    /// # Errors
    /// Taking it is [`Error::Config`](crate::Error::Config) with a pause of zero, or of more than a
    /// year.
    pub fn retry_every(mut self, pause: Duration) -> Self {
        self.options.retry_every = Some(pause);
        self
    }

    /// Nobody gets the lock before this time has passed since it was granted, however soon it is
    /// released, another process of the same [`owner`](Lock::owner) neither: against a job that runs
    /// twice because the clocks of two hosts differ. A release returns at once all the same. An
    /// acquire that is cancelled keeps the lock from nobody.
    ///
    /// What is left of it when the program ends is in the row of a lease, on whatever database: that
    /// keeps it. A session lock (and `memory:`) keeps it as long as the process lives:
    /// [`Locker::close`](crate::Locker::close) waits until it is over, a minute at most; when the
    /// last handle of a locker is just dropped, its engine goes on until then, and says at WARN that
    /// it depends on the process. Programs that end right after the job, as cron starts them, take
    /// leases, or close and wait. Where the session or the process is killed, a session lock is free
    /// at once.
    pub fn min_hold(mut self, time: Duration) -> Self {
        self.options.min_hold = time;
        self
    }

    /// At most one successful run in each period, over all hosts, also across restarts: after
    /// [`Guard::complete`](crate::Guard::complete), nobody gets the lock until this time has passed
    /// since it was granted, by the database's clock. Whoever comes too early gets [`Error::Timeout`](crate::Error::Timeout)
    /// with [`Stage::Done`](crate::Stage::Done). A guard that is released or dropped without
    /// `complete`, as after a failure, or whose process ends, frees the lock as usual, and the next
    /// one may try. `#[locked(once_per = "1d")]` completes what does not return an `Err`. ([`run`](Lock::run)
    /// does not know whether its body succeeded, and does not complete: take the lock by
    /// [`acquire`](Lock::acquire).)
    ///
    /// Leases only: `sqlite://` and `lease+…`. Elsewhere acquiring is
    /// [`Error::Unsupported`](crate::Error::Unsupported).
    ///
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

    /// Calls this once if the lock is lost while it is held, as soon as all guards that are lost with
    /// it know.
    ///
    /// It runs on a thread that the locker has for that, and what it has captured is dropped there,
    /// so it may block, take locks and call any of dlock's blocking functions; other callbacks of
    /// this locker wait meanwhile. A panic in it is caught and logged. In the child of a fork it is
    /// not called.
    pub fn on_lost(mut self, callback: impl Fn(&LostInfo) + Send + Sync + 'static) -> Self {
        self.on_lost = Some(Function::new(callback));
        self
    }

    /// What this lock is called in metrics and in the log, beside its key: one name for all keys of a
    /// kind, as `export` for `export:7` and `export:8`. `#[locked]` uses the text of its template, `export:<id>`.
    /// Default: none.
    ///
    /// Metrics have this name as the label `lock`, and never the key: of names there must be few.
    ///
    /// ```
    /// # async fn export(locker: dlock::Locker, id: u64) -> dlock::Result<()> {
    /// let lock = locker.lock(format!("export:{id}")).label("export");
    /// # lock.acquire().await?.release().await }
    /// ```
    pub fn label(mut self, label: impl Into<Cow<'static, str>>) -> Self {
        self.label = label.into().into();
        self
    }

    /// What is to be locked.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Whose lock it is.
    pub(crate) fn locker(&self) -> &Locker {
        &self.locker
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
