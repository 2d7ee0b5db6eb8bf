//! Locker: a database, and the source of its locks.

pub(crate) mod builder;
pub mod registry;
pub(crate) mod start;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::backend::{BackendInfo, Pool, normal};
use crate::blocking::block_for;
#[cfg(feature = "test-util")]
use crate::engine::Inline;
use crate::engine::{Engine, Message, Reply};
use crate::error::{Error, Result, Source};
use crate::lock::Lock;
use crate::lock::multi::MultiLock;
use crate::locker::builder::LockerBuilder;
use crate::locker::start::Address;
use crate::spec::key::{IntoKey, Key};
use crate::spec::mode::Mode;
use crate::spec::native::{Naming, NativeKey};
use crate::spec::options::LockOptions;
use crate::spec::scheme::KeyScheme;
use crate::spec::wait::Wait;
use crate::status::holder::{Holder, KEPT};
use crate::status::rows::{Names, statuses};
use crate::status::{Explained, LockStatus, Report};

/// How long closing takes at most, with a server that does not answer.
const CLOSED_WITHIN: Duration = Duration::from_secs(10);
/// How long a question that its session does not survive is asked again on others: they may have
/// ended with it, which the engine knows within milliseconds.
const ASK_AGAIN_TIME_MAX: Duration = Duration::from_secs(1);
/// The pause before the first time; each further one is twice as long.
const ASK_AGAIN_PAUSE_MIN: Duration = Duration::from_millis(5);
/// How long a server may take to end a session that holds a lock.
const BREAK_TIME_MAX: Duration = Duration::from_secs(5);
/// The pause between two looks for that.
const BREAK_LOOK_PAUSE: Duration = Duration::from_millis(10);

/// A blocking question waits no longer than this for an engine, which has its own, shorter times: it
/// may be on a runtime that is stuck.
const ASK_TIME_MAX: Duration = Duration::from_secs(60);

/// A database, the connections to it, and the engine that keeps its locks.
///
/// Cheap to clone. The engine ends when the last clone and the last guard are dropped, or with
/// [`Locker::close`]. A locker has connections of its own and never uses those of the application.
///
/// # The end of a program
/// A guard that is dropped hands its release to the engine. The engine runs beside the program and
/// ends with it. A session lock is then free in any case, because the server sees the session end.
/// A lease that was not released is not free: others wait until its ttl ends. So dlock waits for
/// the releases at the end of a program, at most one second, in two places:
///
/// * where the last handle of a locker (clone, lock or guard) is dropped outside of an async
///   runtime: until everything is released;
/// * at the end of the main thread: until all lockers have released what was dropped before.
///   Lockers in the [registry](crate::registry) are closed there. This takes place if a locker was
///   connected on the main thread (as in `#[tokio::main]`), on Linux, macOS and the BSDs.
///
/// So nothing stays locked, and a [`status_file`](LockerBuilder::status_file) says `idle`, in these
/// cases:
///
/// * `main` returns or panics, or the main thread calls [`std::process::exit`], and the guards were
///   dropped before that or belong to a locker in the registry;
/// * a runtime ends with its tasks, or `select!` drops a [`run`](Lock::run);
/// * after `release = background`.
///
/// In these cases, await [`shutdown`](crate::shutdown) or [`close`](Locker::close) first:
///
/// * before [`std::process::exit`] on another thread;
/// * for guards of lockers that are not in the registry, if other threads still hold them when
///   `main` returns, or if they were [leaked](crate::Guard::leak);
/// * with a server that needs more than one second;
/// * with an engine on your own runtime ([`LockerBuilder::runtime`]), if that runtime ends before
///   the locker does. The engine ends with it, and its leases expire only with their ttl.
///
/// After [`std::process::abort`] or a signal that kills the process, leases also expire only with
/// their ttl. So catch SIGTERM and SIGINT, and shut down.
#[derive(Clone)]
pub struct Locker(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) engine: Engine,
    pub(crate) about: BackendInfo,
    pub(crate) scheme: KeyScheme,
    pub(crate) namespace: Box<str>,
    pub(crate) wait: Wait,
    pub(crate) retry_every: Option<Duration>,
    /// A fingerprint, not the URL: that has the password in it.
    pub(crate) url: Option<i64>,
}

impl Locker {
    pub(crate) fn from_inner(inner: Inner) -> Self {
        Locker(Arc::new(inner))
    }

    /// Connects to the database of the URL: `postgres://`, `postgresql://`, `mysql://`,
    /// `mariadb://`, `sqlite://file` or `memory:`. With `lease+` before it, as in
    /// `lease+postgres://`, the locks are leases in a table instead of the database's own locks.
    /// Leases work through transaction poolers and on clusters. A URL can name all hosts of a
    /// cluster: `lease+mysql://a,b,c/db`.
    ///
    /// On SQLite the locks are rows of a table in that file. dlock creates the file and the table
    /// if they are missing. Use a file for locks only, on a local disk. Write transactions of the
    /// application in the same file block every acquire, renewal and release. One that is longer
    /// than half the ttl can make holders lose locks; the holders learn of the loss before others
    /// can get the locks. dlock puts the file into WAL mode, unless the URL ends in
    /// `?journal_mode=delete`. Every grant is on the disk before it is returned, unless the URL
    /// says `?synchronous=normal`. That is several times as fast, but a fencing token may repeat
    /// after a power cut.
    ///
    /// # Errors
    /// [`Error::Config`] for a URL that is invalid, and for one whose Cargo feature is off; the
    /// error names the feature. [`Error::Unsupported`] where locks would exclude nobody: on a
    /// standby, on a cluster, or through a pooler in transaction mode. [`Error::Unavailable`] if
    /// the server cannot be reached.
    ///
    /// # Cancel safety
    /// The connections are closed when the future is dropped.
    pub async fn connect(url: &str) -> Result<Locker> {
        Locker::builder(url).connect().await
    }

    /// Does the same as [`Locker::connect`], and blocks the thread instead of awaiting.
    ///
    /// # Errors
    /// Those of [`Locker::connect`].
    pub fn connect_blocking(url: &str) -> Result<Locker> {
        Locker::builder(url).connect_blocking()
    }

    /// Returns a builder for a locker with settings other than the defaults.
    pub fn builder(url: &str) -> LockerBuilder {
        LockerBuilder::new(Address::Url(url.to_owned()))
    }

    /// Returns a builder for a locker on the database of an sqlx pool. dlock reads the pool's
    /// connect options at each connect, so it follows rotated passwords. It does not use the pool's
    /// connections, because locks in an application's pool starve the application.
    ///
    /// The pool must be one of sqlx 0.9 (`dlock::sqlx`). That of another version is another type,
    /// and the compiler says that [`Pool`] is not `From` it.
    ///
    /// The pool's `after_connect` runs for the locker's connections too, before dlock sends
    /// anything on them: a role or a `search_path` that it sets applies to the locks and to their
    /// table. If it fails, the error is [`Error::Unavailable`], after 5 s, and sqlx logs the cause.
    /// On SQLite it does not run, because the locks are in a file of their own. The pool's other
    /// callbacks are not called: the locker's connections neither come from a pool nor return to
    /// one.
    #[cfg_attr(
        not(any(feature = "mysql", feature = "postgres", feature = "sqlite")),
        expect(unreachable_code, reason = "there is no database to have a pool of")
    )]
    pub fn from_pool(pool: impl Into<Pool>) -> LockerBuilder {
        LockerBuilder::new(Address::Pool(pool.into()))
    }

    /// Returns the lock of this key. Nothing is held yet. If the database has no such lock, the
    /// error comes when the lock is acquired.
    pub fn lock(&self, key: impl IntoKey) -> Lock {
        let key = key.into_key();
        let native = self.native(&key);
        Lock::new(self.clone(), key, native, self.0.wait)
    }

    /// Returns the locks of these keys, to be acquired together: all or none.
    pub fn lock_all<K: IntoKey>(&self, keys: impl IntoIterator<Item = K>) -> MultiLock {
        let locks = keys.into_iter().map(|key| self.lock(key));
        MultiLock::new(self.clone(), locks, self.0.wait)
    }

    /// The same with a label for each.
    pub(crate) fn lock_listed(
        &self,
        keys: impl IntoIterator<Item = (Key, &'static str)>,
    ) -> MultiLock {
        let locks = keys.into_iter().map(|(key, label)| self.lock(key).label(label));
        MultiLock::new(self.clone(), locks, self.0.wait)
    }

    /// Returns who holds and who waits for each lock that the server shows, including the locks of
    /// other programs. For this locker, every waiting caller is shown.
    ///
    /// dlock uses a separate session for such queries, and for finding the holder after an acquire
    /// has waited in vain. That session is open for some seconds and counts towards
    /// [`max_sessions`](crate::LockerBuilder::max_sessions). If all sessions are in use, this query
    /// runs on the session that holds the locks, and dlock does not look for the holder.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the server does not answer within 6 s (1 s if it cannot be reached
    /// at all). [`Error::Permission`] if the server does not allow it.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn status(&self) -> Result<Vec<LockStatus>> {
        self.fail_as_planned()?;
        let rows = self.ask(Message::Status).await?;
        let (scheme, namespace) = (&self.0.scheme, &*self.0.namespace);
        Ok(statuses(rows, Names { scheme, naming: self.0.about.naming, namespace }))
    }

    /// Checks the set-up for problems: missing rights, settings that end sessions, a server that is
    /// nearly full. Set-ups in which locks are worthless (a transaction pooler, a standby, a
    /// cluster) are already an error of [`connect`](Locker::connect).
    ///
    /// # Errors
    /// Those of [`status`](Locker::status), within 11 s.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn check(&self) -> Result<Report> {
        self.fail_as_planned()?;
        self.ask(Message::Check).await
    }

    /// Takes a lock away from its holder, in this program or in another one. Returns `true` if it
    /// was held and that holder no longer has it. Returns `false` if nobody held it.
    ///
    /// For a lease, dlock makes the lease expire. For a session lock, dlock ends the session, and
    /// **so everything else that this session holds is lost too**: all locks of a locker without
    /// contention. The holders learn of it as of any loss. Holders of leases learn of it only at
    /// their next renewal, and work on until then. Of [`permits`](Lock::permits), only the first is
    /// taken away.
    ///
    /// # Errors
    /// [`Error::Permission`] if the database's user may not end the sessions of others; the error
    /// names the right to grant. [`Error::Unavailable`] if the server does not answer within 5 s,
    /// or if the holder's session has not ended by then.
    ///
    /// # Cancel safety
    /// What has begun continues.
    /// # Examples
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> dlock::Result<()> {
    /// let locker = dlock::Locker::connect("memory:docs-break").await?;
    /// let guard = locker.lock("stuck").acquire().await?;
    /// assert!(locker.break_lock("stuck").await?);
    /// assert!(guard.release().await.unwrap_err().is_lost());
    /// assert!(!locker.break_lock("stuck").await?);
    /// # Ok(()) }
    /// ```
    pub async fn break_lock(&self, key: impl IntoKey) -> Result<bool> {
        let key = key.into_key();
        let native = self.native(&key)?;
        self.fail_as_planned()?;
        // Once: it could be another holder's by the second time.
        let asked = native.clone();
        let ended = self.ask_once(|reply| Message::Break { key: asked, reply }).await;
        let ended = ended.map_err(|error| error.about(&key))?;
        if ended.is_empty() {
            return Ok(false);
        }
        let began = Instant::now();
        let is_one_of_them = |who: &str| ended.iter().any(|ended| who.ends_with(ended.as_str()));
        loop {
            let holders = self.holders(&native).await.map_err(|error| error.about(&key))?;
            if !holders.iter().any(|holder| is_one_of_them(&holder.who)) {
                return Ok(true);
            }
            if began.elapsed() > BREAK_TIME_MAX {
                let source =
                    Arc::from(Box::from("the server has not ended the holder's session yet"));
                return Err(Error::away(self.backend(), source).about(&key));
            }
            self.0.engine.sleep(BREAK_LOOK_PAUSE).await?;
        }
    }

    /// Deletes the rows of keys that nobody has held for `older_than` from the lease table. Returns
    /// the number of deleted rows. Rows of fencing tokens are in the same table and are deleted
    /// too: use a locker with `lease+` in its URL. Keys that are held, or kept by
    /// [`min_hold`](Lock::min_hold) or [`once_per`](Lock::once_per), stay.
    ///
    /// The table has one row for each key that was ever locked. This does not slow down locks, but
    /// [`status`](Locker::status) reads all rows. [`check`](Locker::check) reports more than
    /// 100,000 rows. Rows are deleted 1,000 at a time, and locks can be acquired in between. Any
    /// number of processes may prune at once.
    ///
    /// **Fencing tokens continue to grow.** When a key is locked again, its new row starts with a
    /// token from the database's clock, in microseconds. A row is deleted only if its token is
    /// lower than that by more than `older_than`. So keep `older_than` well above the time by which
    /// the clock may be set back, the difference between the clocks of a cluster's nodes, and the
    /// longest duration of a statement: one hour or more. A row with a higher token, for whatever
    /// reason, stays.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where locks are not leases, on Oracle, and for the table of
    /// django-database-locks. [`Error::Permission`] if the user may not delete, which nothing else
    /// here needs. [`Error::Unavailable`] if the server does not answer; some rows may have been
    /// deleted.
    ///
    /// # Cancel safety
    /// When the future is dropped, rows that were deleted stay deleted, and no more rows are
    /// deleted.
    /// # Examples
    /// ```
    /// # #[cfg(feature = "sqlite")]
    /// # async fn prune(locker: dlock::Locker) -> dlock::Result<()> {
    /// let month = std::time::Duration::from_secs(30 * 24 * 3600);
    /// let removed = locker.prune(month).await?;
    /// println!("{removed} keys were forgotten");
    /// # Ok(()) }
    /// ```
    pub async fn prune(&self, older_than: Duration) -> Result<u64> {
        self.fail_as_planned()?;
        self.ask(|reply| Message::Prune { older_than, reply }).await
    }

    /// Does the same as [`prune`](Locker::prune), and blocks the thread instead of awaiting.
    ///
    /// # Errors
    /// Those of [`prune`](Locker::prune), and [`Error::Config`] if called inside the same
    /// current-thread runtime that the locker was told to run on.
    pub fn prune_blocking(&self, older_than: Duration) -> Result<u64> {
        self.ask_blocking(self.prune(older_than))
    }

    /// Asks the server for an answer, in one round trip. For readiness probes. Makes a connection
    /// if there is none.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the server does not answer within 5 s or cannot be reached.
    /// [`Error::Closed`] if the locker is closed.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn ping(&self) -> Result<()> {
        self.fail_as_planned()?;
        self.ask(Message::Ping).await
    }

    /// Does the same as [`status`](Locker::status), and blocks the thread instead of awaiting.
    ///
    /// # Errors
    /// Those of [`status`](Locker::status), and [`Error::Config`] if called inside the same
    /// current-thread runtime that the locker was told to run on.
    pub fn status_blocking(&self) -> Result<Vec<LockStatus>> {
        self.ask_blocking(self.status())
    }

    /// Does the same as [`check`](Locker::check), and blocks the thread instead of awaiting.
    ///
    /// # Errors
    /// Those of [`check`](Locker::check) and [`status_blocking`](Locker::status_blocking).
    pub fn check_blocking(&self) -> Result<Report> {
        self.ask_blocking(self.check())
    }

    /// Does the same as [`ping`](Locker::ping), and blocks the thread instead of awaiting.
    ///
    /// # Errors
    /// Those of [`ping`](Locker::ping) and [`status_blocking`](Locker::status_blocking).
    pub fn ping_blocking(&self) -> Result<()> {
        self.ask_blocking(self.ping())
    }

    fn ask_blocking<T>(&self, answer: impl Future<Output = Result<T>>) -> Result<T> {
        self.0.engine.check_blocking()?;
        #[cfg(feature = "test-util")]
        let _blocks = self.0.engine.blocks();
        block_for(ASK_TIME_MAX, answer).unwrap_or_else(|| Err(self.does_not_run()))
    }

    /// The error that a test wants the next question to fail with.
    fn fail_as_planned(&self) -> Result<()> {
        #[cfg(feature = "test-util")]
        if let Some(error) = self.0.engine.for_tests().and_then(Inline::planned_failure) {
            return Err(error);
        }
        Ok(())
    }

    /// Whether nobody holds this and nobody is to have it yet either.
    pub(crate) async fn is_kept(&self, native: &NativeKey) -> Result<bool> {
        Ok(self.holders(native).await?.iter().any(|holder| holder.who == KEPT))
    }

    /// Asks who holds this, as the server sees it.
    pub(crate) async fn holders(&self, native: &NativeKey) -> Result<Vec<Holder>> {
        let rows = self.ask(Message::Status).await?;
        let of_key = rows.into_iter().filter(|row| row.native == *native);
        Ok(of_key.flat_map(|row| row.holders).collect())
    }

    /// Returns the database's name for this key, and a statement that finds its holders by hand.
    /// Sends nothing to the database.
    pub fn explain(&self, key: impl IntoKey) -> Explained {
        let key = key.into_key();
        match self.native(&key) {
            Ok(native) => Explained { sql: (self.0.about.explain)(&native), native },
            Err(error) => Explained {
                native: self.0.about.naming.native(&key, &self.0.namespace),
                sql: format!("-- {error}"),
            },
        }
    }

    /// Has the engine ask the server. A session that ends over the question says nothing of the
    /// server: while others may have ended with it, it is asked again.
    async fn ask<T>(&self, message: impl Fn(Reply<T>) -> Message) -> Result<T> {
        let began = Instant::now();
        let mut pause = ASK_AGAIN_PAUSE_MIN;
        loop {
            let answer = self.ask_once(&message).await;
            let again = answer.as_ref().is_err_and(Error::is_retryable);
            if !again || began.elapsed() + pause > ASK_AGAIN_TIME_MAX {
                return answer;
            }
            self.0.engine.sleep(pause).await?;
            pause *= 2;
        }
    }

    async fn ask_once<T>(&self, message: impl FnOnce(Reply<T>) -> Message) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.0.engine.send(message(reply))?;
        answer.await.unwrap_or_else(|_| {
            let source = Arc::from(Box::from("the connection was lost over the question"));
            Err(Error::away(self.backend(), source))
        })
    }

    fn native(&self, key: &Key) -> Result<NativeKey> {
        self.0.scheme.native(self.0.about.naming, key, &self.0.namespace)
    }

    /// An error if the database has no such locks.
    pub(crate) fn check_mode(&self, mode: Mode) -> Result<()> {
        let BackendInfo { label, modes, .. } = &self.0.about;
        if modes.contains(&mode) {
            return Ok(());
        }
        let modes: Vec<String> = modes.iter().map(Mode::to_string).collect();
        Err(Error::Unsupported {
            backend: label.clone(),
            what: format!("{mode} locks").into(),
            instead: format!("it has {} ones", modes.join(" and ")).into(),
        })
    }

    /// An error if locks cannot be taken on these options.
    pub(crate) fn check_options(&self, options: &LockOptions, mode: Mode) -> Result<()> {
        let BackendInfo { label, leases, fences, .. } = &self.0.about;
        let unsupported = |what: &str, instead: &str| Error::Unsupported {
            backend: label.clone(),
            what: what.into(),
            instead: instead.into(),
        };
        // What the database does not have at all is not a matter of its size.
        if let (None, Some(what)) = (leases, options.of_leases()) {
            return Err(unsupported(
                what,
                "leases have: use sqlite://, or put lease+ before a server's url",
            ));
        }
        options.check()?;
        leases.as_ref().map_or(Ok(()), |lease| lease.check_options(options))?;
        if options.fenced && mode.is_compatible_with(mode) {
            return Err(Error::config(format!(
                "a fencing token tells the later of two holders, and {mode} locks have many at \
                 once; leave out fenced() or the mode"
            )));
        }
        if options.fenced && !fences {
            return Err(unsupported("fencing tokens", "leases have: put lease+ before the url"));
        }
        Ok(())
    }

    /// Closes the locker and all of its clones: it reports all guards that are still held as lost,
    /// releases everything, and ends the connections.
    ///
    /// This takes a few round trips. With a server that does not answer, it takes about six
    /// seconds. What [`min_hold`](Lock::min_hold) keeps from others stays kept. Leases keep it in
    /// their rows. Session locks keep it while this waits, at most one minute; for a longer
    /// `min_hold`, dlock logs at WARN.
    ///
    /// # Cancel safety
    /// Once polled, it continues when the future is dropped.
    pub async fn close(self) {
        self.begin_close(true);
        self.closed().await;
    }

    /// Does the same as [`Locker::close`], and blocks the thread instead of awaiting. It does not
    /// wait inside the same current-thread runtime that the locker was told to run on. It also
    /// stops waiting for an engine that does not answer within 10 s (plus the rest of a
    /// `min_hold`).
    pub fn close_blocking(self) {
        if self.0.engine.check_blocking().is_ok() {
            self.begin_close(true);
            let mut closed = std::pin::pin!(self.closed());
            let mut longest = CLOSED_WITHIN;
            while block_for(longest, &mut closed).is_none() {
                match self.0.engine.keeps_for() {
                    Duration::ZERO => return,
                    left => longest = left + CLOSED_WITHIN,
                }
            }
        }
    }

    /// Has it closed, without waiting for that. `patient`: somebody does.
    pub(crate) fn begin_close(&self, patient: bool) {
        self.0.engine.begin_close(patient);
    }

    /// Ends when it is closed, by whoever.
    pub(crate) async fn closed(&self) {
        self.0.engine.closed().await;
    }

    /// It is not closed, and not that of the process that this one was forked from.
    pub(crate) fn is_open(&self) -> bool {
        self.0.engine.is_open()
    }

    pub(crate) fn naming(&self) -> Naming {
        self.0.about.naming
    }

    /// An error where a blocking call would wait for itself.
    pub(crate) fn may_block(&self) -> Result<()> {
        if crate::switch::enabled() { self.0.engine.check_blocking() } else { Ok(()) }
    }

    /// What to say when the engine has not even kept the time.
    pub(crate) fn does_not_run(&self) -> Error {
        let source: Source = Arc::from(Box::from("the locker's engine does not run"));
        Error::away(self.backend(), source)
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    pub(crate) fn retry_every(&self) -> Option<Duration> {
        self.0.retry_every
    }

    /// The database and its address.
    pub(crate) fn backend(&self) -> &str {
        &self.0.about.label
    }

    pub(crate) fn is_for(&self, url: &str) -> bool {
        self.0.url == Some(Key::from(&*normal(url)).id(""))
    }
}

impl fmt::Debug for Locker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locker")
            .field("backend", &self.0.about.label)
            .field("namespace", &self.0.namespace)
            .field("key_scheme", &self.0.scheme)
            .finish_non_exhaustive()
    }
}
