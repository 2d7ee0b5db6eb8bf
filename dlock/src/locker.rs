//! Locker: where locks come from.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::backend::lease::LeaseOptions;
use crate::backend::{self, About, Address, Options, Place, Pool};
use crate::blocking::{block_for, block_on};
use crate::engine::{Engine, Mail, Reply};
use crate::error::{Error, Result, Source};
use crate::key::Key;
use crate::lock::Lock;
use crate::mode::Mode;
use crate::native::NativeKey;
use crate::scheme::KeyScheme;
use crate::status::{Explained, LockStatus, Report};
use crate::wait::Wait;

/// How long the first connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// Where locks come from: a database, the connections to it, and the engine that keeps them.
///
/// Cheap to clone. The engine ends when the last clone and the last guard are gone, or with
/// [`Locker::close`]. Lockers have connections of their own and never use the application's.
#[derive(Clone)]
pub struct Locker(Arc<Inner>);

struct Inner {
    engine: Engine,
    about: About,
    scheme: KeyScheme,
    namespace: Box<str>,
    wait: Wait,
    /// A fingerprint, not the URL: that has the password in it.
    url: Option<i64>,
}

impl Locker {
    /// Connects to the database that the URL names: `postgres://`, `postgresql://`, `mysql://`,
    /// `mariadb://`, `sqlite://file`, `memory:`.
    ///
    /// # Errors
    /// [`Error::Config`] for a URL that cannot be meant, with the feature to turn on where it is
    /// off; [`Error::Unsupported`] where locks would exclude nobody: a standby, a cluster, a pooler
    /// in transaction mode; [`Error::Unavailable`] when the server is not there.
    ///
    /// # Cancel safety
    /// The connections are closed again when the future is dropped.
    pub async fn connect(url: &str) -> Result<Locker> {
        Locker::builder(url).connect().await
    }

    /// [`Locker::connect`] without `await`.
    ///
    /// # Errors
    /// As [`Locker::connect`].
    pub fn connect_blocking(url: &str) -> Result<Locker> {
        Locker::builder(url).connect_blocking()
    }

    /// A locker with other settings than the defaults.
    pub fn builder(url: &str) -> LockerBuilder {
        LockerBuilder::new(Address::Url(url.to_owned()))
    }

    /// A locker for the database of an sqlx pool. Its connect options are read at each connect, so
    /// rotated passwords are followed; its connections are left alone, for locks in an
    /// application's pool starve it.
    pub fn from_pool(pool: impl Into<Pool>) -> LockerBuilder {
        LockerBuilder::new(Address::Pool(pool.into()))
    }

    /// The lock of this key. That the database has no such lock is told when it is to be taken.
    pub fn lock(&self, key: impl Into<Key>) -> Lock {
        let key = key.into();
        let native = self.native(&key);
        Lock::new(self.clone(), key, native, self.0.wait)
    }

    /// Who holds and who waits, of all locks of the database that the server shows: also those of
    /// other programs.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the server does not answer, [`Error::Permission`] when it does
    /// not let us see.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn status(&self) -> Result<Vec<LockStatus>> {
        self.ask(Mail::Status).await
    }

    /// Looks for what is wrong with the set-up: rights that are missing, settings that end
    /// sessions, a server that is nearly full. What makes locks worthless (a transaction pooler, a
    /// standby, a cluster) is already an error of [`connect`](Locker::connect).
    ///
    /// # Errors
    /// As [`status`](Locker::status).
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn check(&self) -> Result<Report> {
        self.ask(Mail::Check).await
    }

    /// What the database calls this key, and how to look up by hand who holds it. Asks nothing.
    pub fn explain(&self, key: impl Into<Key>) -> Explained {
        let key = key.into();
        match self.native(&key) {
            Ok(native) => Explained { sql: (self.0.about.explain)(&native), native },
            Err(error) => Explained {
                native: self.0.about.naming.native(&key, &self.0.namespace),
                sql: format!("-- {error}"),
            },
        }
    }

    async fn ask<T>(&self, mail: impl FnOnce(Reply<T>) -> Mail) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.0.engine.post(mail(reply))?;
        answer.await.unwrap_or_else(|_| {
            let source: Source = Arc::from(Box::from("the connection was lost over the question"));
            Err(Error::Unavailable { backend: self.backend().into(), source })
        })
    }

    fn native(&self, key: &Key) -> Result<NativeKey> {
        self.0.scheme.native(self.0.about.naming, key, &self.0.namespace)
    }

    /// An error if the database has no such locks.
    pub(crate) fn check_mode(&self, mode: Mode) -> Result<()> {
        let About { label, modes, .. } = &self.0.about;
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

    /// Releases what is held, tells the guards that are still there that it is lost, and ends the
    /// connections. All clones are closed with it.
    ///
    /// # Cancel safety
    /// Once polled, it goes on when the future is dropped.
    pub async fn close(self) {
        self.0.engine.close().await;
    }

    /// [`Locker::close`] without `await`.
    pub fn close_blocking(self) {
        if self.0.engine.check_blocking().is_ok() {
            block_for(Duration::from_secs(10), self.0.engine.close());
        }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// The database and its address.
    pub(crate) fn backend(&self) -> &str {
        &self.0.about.label
    }

    pub(crate) fn is_for(&self, url: &str) -> bool {
        self.0.url == Some(Key::from(url).id(""))
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

/// How a [`Locker`] is to be. Made by [`Locker::builder`] and [`Locker::from_pool`].
#[must_use = "nothing is connected before `connect`"]
pub struct LockerBuilder {
    address: Address,
    options: Options,
    namespace: String,
    scheme: KeyScheme,
    wait: Wait,
    runtime: Option<Handle>,
}

impl LockerBuilder {
    fn new(address: Address) -> Self {
        LockerBuilder {
            address,
            options: Options::default(),
            namespace: String::new(),
            scheme: KeyScheme::default(),
            // Long enough for a queue of people, short enough that a stuck holder is noticed by
            // those who wait and not by those who wait for them.
            wait: Wait::For(Duration::from_secs(30)),
            runtime: None,
        }
    }

    /// Keys of different namespaces never meet, so that two applications can share a database.
    /// Default: none.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// How a key becomes the database's id, so that programs in other languages have the same lock.
    /// Default: [`KeyScheme::Dlock`]. Any other cannot have a namespace.
    pub fn key_scheme(mut self, scheme: KeyScheme) -> Self {
        self.scheme = scheme;
        self
    }

    /// How long locks wait that do not say it themselves. Default: 30 s. Connecting takes no longer
    /// either, and no longer than 10 s.
    pub fn timeout(mut self, wait: impl Into<Wait>) -> Self {
        self.wait = wait.into().normal();
        self
    }

    /// How long a holder that has vanished or is frozen may keep a lock; also how long a guard's
    /// word is good without a sign of the server. The server is asked three times in this time, so
    /// it should be far above a network's hiccups. At least 1 s. Default: 30 s. Leases have
    /// [`LeaseOptions::ttl`] instead.
    pub fn session_ttl(mut self, ttl: Duration) -> Self {
        self.options.session_ttl = ttl;
        self
    }

    /// How many connections to the server there may be at most. One carries any number of locks,
    /// the others wait, one for each key that is fought over; keys beyond that are asked for again
    /// and again. Default: 8. At least 1.
    pub fn max_sessions(mut self, n: u32) -> Self {
        self.options.max_sessions = n;
        self
    }

    /// How long one waiting statement lasts, for tests.
    #[doc(hidden)]
    pub fn slice(mut self, slice: Duration) -> Self {
        self.options.slice = slice;
        self
    }

    /// How this process shows up in the server's own views. Default: `dlock`, and the application's
    /// own name from the URL or pool where it has one.
    pub fn application_name(mut self, name: impl Into<String>) -> Self {
        self.options.application_name = Some(name.into());
        self
    }

    /// Settings of the lease table.
    pub fn lease(mut self, lease: LeaseOptions) -> Self {
        self.options.lease = lease;
        self
    }

    /// Runs the engine on this runtime instead of on a thread of its own. That saves a few
    /// microseconds a lock; in return the runtime must be kept running, and blocking calls inside
    /// it are an error when it has only one thread.
    pub fn runtime(mut self, runtime: Handle) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Connects.
    ///
    /// # Errors
    /// As [`Locker::connect`]; [`Error::Config`] for settings that cannot be,
    /// [`Error::Unsupported`] for a [`KeyScheme`] whose locks this database does not have.
    ///
    /// # Cancel safety
    /// As [`Locker::connect`].
    pub async fn connect(self) -> Result<Locker> {
        self.options.check()?;
        self.scheme.check_namespace(&self.namespace)?;
        let url = match &self.address {
            Address::Url(url) => Some(Key::from(url.as_str()).id("")),
            Address::Pool(_) => None,
        };
        let limit = match self.wait {
            Wait::For(time) => time.min(CONNECT),
            Wait::NoWait | Wait::Forever => CONNECT,
        };
        let place = Place { runtime: self.runtime, limit, scheme: self.scheme.clone() };
        let started = backend::start(self.address, self.options, place)?;
        match started.opened.await {
            Ok(opened) => opened?,
            Err(_) => return Err(Error::Closed),
        }
        Ok(Locker(Arc::new(Inner {
            engine: started.engine,
            about: started.about,
            scheme: self.scheme,
            namespace: self.namespace.into(),
            wait: self.wait,
            url,
        })))
    }

    /// [`LockerBuilder::connect`] without `await`.
    ///
    /// # Errors
    /// As [`LockerBuilder::connect`]; [`Error::Config`] inside the very current-thread runtime that
    /// the locker is told to run on.
    pub fn connect_blocking(self) -> Result<Locker> {
        Engine::check_not_inside(self.runtime.as_ref())?;
        block_on(self.connect())
    }
}

impl fmt::Debug for LockerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockerBuilder")
            .field("namespace", &self.namespace)
            .field("key_scheme", &self.scheme)
            .field("timeout", &self.wait)
            .finish_non_exhaustive()
    }
}
