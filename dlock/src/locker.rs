//! Locker: a database, and the source of its locks.

pub(crate) mod builder;
pub(crate) mod core;
mod questions;
pub mod registry;
#[cfg(feature = "test-util")]
pub(crate) mod scoped;
pub(crate) mod start;

use std::fmt;
use std::time::Duration;

use self::builder::LockerBuilder;
use self::core::{Core, Inner};
use self::start::Address;
use crate::backend::Pool;
use crate::blocking::block_for;
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::lock::Lock;
use crate::lock::guard::Guard;
use crate::lock::multi::MultiLock;
use crate::lock::token::Token;
use crate::spec::key::{IntoKey, Key};

/// How long closing takes at most, with a server that does not answer.
const CLOSED_WITHIN: Duration = Duration::from_secs(10);

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
pub struct Locker(Core);

impl Locker {
    pub(crate) fn from_inner(inner: Inner) -> Self {
        Locker(Core::new(inner))
    }

    /// What it shares with its locks.
    pub(crate) fn core(&self) -> &Core {
        &self.0
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
        let native = self.0.native(&key);
        Lock::new(self.0.clone(), key, native)
    }

    /// Returns the locks of these keys, to be acquired together: all or none.
    pub fn lock_all<K: IntoKey>(&self, keys: impl IntoIterator<Item = K>) -> MultiLock {
        let locks = keys.into_iter().map(|key| self.lock(key));
        MultiLock::new(self.0.clone(), locks)
    }

    /// The same with a label for each.
    pub(crate) fn lock_listed(
        &self,
        keys: impl IntoIterator<Item = (Key, &'static str)>,
    ) -> MultiLock {
        let locks = keys.into_iter().map(|(key, label)| self.lock(key).label(label));
        MultiLock::new(self.0.clone(), locks)
    }

    /// Takes over the lock that a token stands for. The guard then holds it like a lock that was
    /// acquired here, with the same fencing token and with the ttl of the lock that the token was
    /// made of. Each token works once, with a locker of the same table. The locker's namespace does
    /// not matter.
    ///
    /// # Errors
    /// [`Error::Lost`] if the token was already adopted or has expired: another holder may have the
    /// lock. [`Error::Unsupported`] where locks are not leases. [`Error::Unavailable`] if the
    /// server does not answer: dlock then does not know whether the token still works.
    ///
    /// # Cancel safety
    /// When the future is dropped, the token still works, or the lock is released.
    pub async fn adopt(&self, token: Token) -> Result<Guard> {
        token.adopt(&self.0).await
    }

    /// Does the same as [`adopt`](Locker::adopt), and blocks the thread instead of awaiting.
    ///
    /// # Errors
    /// Those of [`adopt`](Locker::adopt), and [`Error::Config`] if called inside the same
    /// current-thread runtime that the locker was told to run on.
    pub fn adopt_blocking(&self, token: Token) -> Result<Guard> {
        token.adopt_blocking(&self.0)
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
        self.0.begin_close(true);
        self.0.closed().await;
    }

    /// Does the same as [`Locker::close`], and blocks the thread instead of awaiting. It does not
    /// wait inside the same current-thread runtime that the locker was told to run on. It also
    /// stops waiting for an engine that does not answer within 10 s (plus the rest of a
    /// `min_hold`).
    pub fn close_blocking(self) {
        if self.0.engine().check_blocking().is_ok() {
            self.0.begin_close(true);
            let mut closed = std::pin::pin!(self.0.closed());
            let mut longest = CLOSED_WITHIN;
            while block_for(longest, &mut closed).is_none() {
                match self.0.engine().keeps_for() {
                    Duration::ZERO => return,
                    left => longest = left + CLOSED_WITHIN,
                }
            }
        }
    }
}

impl fmt::Debug for Locker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (backend, namespace, scheme) = self.0.described();
        f.debug_struct("Locker")
            .field("backend", &backend)
            .field("namespace", &namespace)
            .field("key_scheme", scheme)
            .finish_non_exhaustive()
    }
}
