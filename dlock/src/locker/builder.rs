//! LockerBuilder: the settings of a locker.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::backend::Options;
use crate::backend::lease::LeaseOptions;
use crate::blocking::block_for;
use crate::engine::{Engine, Opened, StatusFile};
use crate::error::{Error, Result, Source};
use crate::locker::Locker;
use crate::locker::core::Inner;
use crate::locker::registry;
use crate::locker::start::{self, Address, StartOptions};
use crate::observe::{self, Observer};
use crate::spec::key::Key;
use crate::spec::options::check_retry_every;
use crate::spec::scheme::KeyScheme;
use crate::spec::wait::Wait;

/// A blocking call keeps its own time as well, a little longer.
const CONNECT_GRACE: Duration = Duration::from_secs(1);

/// The settings of a [`Locker`]. Made by [`Locker::builder`] and [`Locker::from_pool`].
#[must_use = "nothing is connected yet: await `connect()` or `init()`, or call one of their `_blocking` \
              forms"]
pub struct LockerBuilder {
    address: Address,
    options: Options,
    namespace: String,
    scheme: KeyScheme,
    wait: Wait,
    retry_every: Option<Duration>,
    runtime: Option<Handle>,
    status_file: Option<PathBuf>,
    observe: observe::Settings,
    /// The name that it is to be installed by.
    installed_as: Option<Box<str>>,
}

impl LockerBuilder {
    pub(crate) fn new(address: Address) -> Self {
        LockerBuilder {
            address,
            options: Options::default(),
            namespace: String::new(),
            scheme: KeyScheme::default(),
            wait: Wait::DEFAULT,
            retry_every: None,
            runtime: None,
            status_file: None,
            observe: observe::Settings::default(),
            installed_as: None,
        }
    }

    /// Creates a builder for a locker on SQL Server, from an ADO.NET connection string:
    /// `Server=tcp:host,port;Database=app;User ID=app;Password=…;Encrypt=true`.
    ///
    /// ```no_run
    /// # async fn connect() -> dlock::Result<()> {
    /// let ado = std::env::var("APP_DATABASE").unwrap_or_default();
    /// let locker = dlock::LockerBuilder::ado(ado).session_ttl(std::time::Duration::from_secs(15));
    /// let locker = locker.connect().await?;
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "mssql")]
    pub fn ado(string: impl Into<String>) -> Self {
        LockerBuilder::new(Address::Ado(string.into()))
    }

    /// Sets the namespace. Keys of different namespaces are different locks, so that two
    /// applications can share a database, and two databases a server. Default: none.
    ///
    /// Without a namespace, all programs in the same space share their keys. The space is:
    ///
    /// * **MySQL and MariaDB: all databases of the server**, because the server has one space of
    ///   named locks. If staging and production are databases of one server, each needs a namespace
    ///   of its own. Otherwise the job of one makes the job of the other skip.
    /// * PostgreSQL: one database.
    /// * Leases: one table.
    /// * `memory:`: the spaces of this process that have the same name.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Sets how a key becomes the database's id, so that programs in other languages take the same
    /// lock. Default: [`KeyScheme::Dlock`]. No other scheme allows a namespace.
    pub fn key_scheme(mut self, scheme: KeyScheme) -> Self {
        self.scheme = scheme;
        self
    }

    /// Sets the default timeout of this locker's locks. Default: 30 s. Connecting has its own
    /// timeout: [`connect_timeout`](LockerBuilder::connect_timeout).
    pub fn timeout(mut self, wait: impl Into<Wait>) -> Self {
        self.wait = wait.into().normal();
        self
    }

    /// Sets the default pause between two tries of this locker's locks, as
    /// [`Lock::retry_every`](crate::Lock::retry_every) does for one lock. Default: none; the
    /// database wakes the waiting callers, and leases are polled as [`LeaseOptions::poll`] says. On
    /// PostgreSQL, set it for the locker whose locks migrations run under. No statement of this
    /// locker then waits, so none blocks `CREATE INDEX CONCURRENTLY`.
    pub fn retry_every(mut self, pause: Duration) -> Self {
        self.retry_every = Some(pause);
        self
    }

    /// Sets how long connecting may take, now and whenever the locker reconnects. Default: 10 s.
    /// From 1 ms to one hour.
    pub fn connect_timeout(mut self, time: Duration) -> Self {
        self.options.connect_timeout = time;
        self
    }

    /// Sets how long a vanished or frozen holder may keep a lock. A guard also stays valid this
    /// long without an answer from the server. dlock asks the server three times in this time, so
    /// it should be far above short interruptions of the network. At least 1 s. Default: 30 s.
    /// Leases have [`LeaseOptions::ttl`] instead.
    pub fn session_ttl(mut self, ttl: Duration) -> Self {
        self.options.session_ttl = ttl;
        self
    }

    /// Sets the maximum number of connections to the server. One connection holds all locks. Each
    /// other connection waits for one contended key. Further contended keys are polled. Default: 8.
    /// At least 1.
    pub fn max_sessions(mut self, n: u32) -> Self {
        self.options.max_sessions = n;
        self
    }

    /// Sets the maximum number of keys that this locker holds and waits for at once. For one key
    /// more, acquiring returns [`Error::Unavailable`] at once; try again when other keys are
    /// released. Default: 5,000. PostgreSQL keeps the locks of all its clients in one table, with
    /// room for `max_locks_per_transaction` (64) times `max_connections` (100) and a little more.
    /// When that table is full, nobody can even connect
    /// (<https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS>). Leases,
    /// which are rows, and `memory:` have no limit.
    pub fn max_keys(mut self, n: u32) -> Self {
        self.options.max_keys = n;
        self
    }

    /// How long one waiting statement lasts, for tests; where there are shared locks, that of a
    /// writer lasts ten times as long.
    #[doc(hidden)]
    pub fn slice(mut self, slice: Duration) -> Self {
        self.options.slice = slice;
        self
    }

    /// Sets the name of this process in the server's own views. Default: `dlock`, and the
    /// application's own name from the URL or pool if it has one.
    pub fn application_name(mut self, name: impl Into<String>) -> Self {
        self.options.application_name = Some(name.into());
        self
    }

    /// Keeps locks as leases in a table, as `lease+` before a URL does. For lockers from a pool,
    /// which have no URL.
    pub fn use_leases(mut self) -> Self {
        self.options.leases = true;
        self
    }

    /// Sets the options of leases, and of the table where session locks draw their fencing tokens.
    /// On a database with session locks, this alone does not choose leases: use a URL with `lease+`
    /// or [`use_leases`](LockerBuilder::use_leases).
    pub fn lease_options(mut self, lease: LeaseOptions) -> Self {
        self.options.lease = lease;
        self
    }

    /// Runs the engine on this runtime instead of on a thread of its own. That saves a few
    /// microseconds per lock. In return, the runtime must keep running, with timers and I/O. A
    /// blocking call on its only worker thread returns [`Error::Config`]. The engine uses the
    /// runtime's clock. If a test has paused that clock, waits end in its time, and so may a lease
    /// that the engine renews by it.
    pub fn runtime(mut self, runtime: Handle) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Writes what this process holds and waits for into this file. The first line says `idle`,
    /// `waiting` or `held`. The second line has the process id. Each lock has one further line, its
    /// parts separated by tabs: `held`, key, mode and (if there is one) fencing token; or
    /// `waiting`, key and mode. dlock replaces the file as a whole, at most every 20 ms, and writes
    /// `idle` after the locker is closed. A process that is killed leaves the file as it was.
    pub fn status_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.status_file = Some(path.into());
        self
    }

    /// Logs a warning for each caller that has waited for a lock of this locker for this long and
    /// still waits: an event `slow_wait` at WARN, in the caller's span. It names the holder if the
    /// server can tell who that is. Default: no such warning.
    ///
    /// Finding the holder costs one query for all callers that wait at that time.
    pub fn slow_wait(mut self, time: Duration) -> Self {
        self.observe.slow_wait = Some(time);
        self
    }

    /// Logs a warning for each lock of this locker that has been held for this long and still is:
    /// an event `long_hold` at WARN with the key, in the span in which the guard was taken, once
    /// for each guard. Default: no such warning.
    pub fn max_hold(mut self, time: Duration) -> Self {
        self.observe.max_hold = Some(time);
        self
    }

    /// Sets an observer, which is told what happens to this locker's locks, on a separate thread of
    /// the locker: see [`Observer`]. A second call replaces the first observer.
    ///
    /// ```
    /// # fn main() -> dlock::Result<()> {
    /// use dlock::{LostInfo, ObservedLock, Observer};
    ///
    /// struct Pager;
    /// impl Observer for Pager {
    ///     fn lost(&self, lock: &ObservedLock, info: &LostInfo) {
    ///         eprintln!("{} on {}: {info}", lock.key, lock.locker.server);
    ///     }
    /// }
    /// let locker = dlock::Locker::builder("memory:docs-observer").observer(Pager).connect_blocking()?;
    /// # locker.ping_blocking()
    /// # }
    /// ```
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observe.observer = Some(Arc::new(observer));
        self
    }

    /// The same for a locker that will be known by this name.
    pub(crate) fn installed_as(mut self, name: &str) -> Self {
        self.installed_as = Some(name.into());
        self
    }

    /// Connects to the database.
    ///
    /// # Errors
    /// Those of [`Locker::connect`]. [`Error::Config`] for invalid settings. [`Error::Unsupported`]
    /// for a [`KeyScheme`] whose locks this database does not have.
    ///
    /// # Cancel safety
    /// The same as [`Locker::connect`].
    pub async fn connect(self) -> Result<Locker> {
        let (locker, mut opened) = self.begin(false)?;
        opened.wait().await?;
        Ok(locker)
    }

    /// Connects and installs the locker as "default", which `#[locked]` uses: [`init`](crate::init)
    /// with these settings.
    ///
    /// # Errors
    /// Those of [`connect`](LockerBuilder::connect). [`Error::AlreadyInstalled`] if there is a
    /// default locker that is not closed; nothing is connected then.
    ///
    /// # Cancel safety
    /// Nothing is installed when the future is dropped.
    pub async fn init(self) -> Result<Locker> {
        self.install(registry::DEFAULT).await
    }

    /// Does the same as [`init`](LockerBuilder::init), and blocks the thread instead of awaiting.
    ///
    /// # Errors
    /// Those of [`init`](LockerBuilder::init) and
    /// [`connect_blocking`](LockerBuilder::connect_blocking).
    pub fn init_blocking(self) -> Result<Locker> {
        registry::check_free(registry::DEFAULT)?;
        let locker = self.installed_as(registry::DEFAULT).connect_blocking()?;
        registry::install_open(registry::DEFAULT, locker.clone())?;
        Ok(locker)
    }

    /// Connects and installs the locker under this name: `#[locked(locker = "billing")]`.
    ///
    /// # Errors
    /// Those of [`init`](LockerBuilder::init), for this name.
    ///
    /// # Cancel safety
    /// Nothing is installed when the future is dropped.
    pub async fn install(self, name: &str) -> Result<Locker> {
        registry::check_free(name)?;
        let locker = self.installed_as(name).connect().await?;
        registry::install_open(name, locker.clone())?;
        Ok(locker)
    }

    /// Checks the settings, and connects at the first use. So an application starts even if its
    /// database is not running yet. [`Locker::ping`] tells whether the database can be reached.
    ///
    /// The first acquire or query waits for the connection too, within its own timeout. If the
    /// connection cannot be made, it returns that error, and the next call tries again.
    ///
    /// # Errors
    /// [`Error::Config`] and [`Error::Unsupported`] as for [`connect`](LockerBuilder::connect), if
    /// the settings alone show the mistake. Errors that only the server can report come at the
    /// first use.
    /// # Examples
    /// ```
    /// # fn main() -> dlock::Result<()> {
    /// let locker = dlock::Locker::builder("memory:docs-lazy").connect_lazy()?;
    /// locker.ping_blocking()
    /// # }
    /// ```
    pub fn connect_lazy(self) -> Result<Locker> {
        self.begin(true).map(|(locker, _)| locker)
    }

    /// Starts to connect, or waits with that until it is needed; the locker is of use when it has
    /// opened.
    pub(crate) fn begin(self, lazy: bool) -> Result<(Locker, Opened)> {
        self.options.check()?;
        self.observe.check()?;
        self.scheme.check_namespace(&self.namespace)?;
        if self.namespace == crate::spec::native::BESIDE {
            return Err(Error::config(format!(
                "the namespace {:?} is dlock's own, for what belongs to locks with permits; choose \
                 another one",
                self.namespace
            )));
        }
        self.retry_every.map_or(Ok(()), check_retry_every)?;
        let url = match &self.address {
            Address::Url(url) => Some(Key::from(&*crate::backend::normal(url)).id("")),
            Address::Pool(_) => None,
            #[cfg(feature = "mssql")]
            Address::Ado(text) => Some(Key::from(text).id("")),
        };
        let limit = self.options.connect_timeout;
        let file = self.status_file.map(|path| {
            StatusFile::create(path.clone()).map_err(|error| {
                Error::config(format!(
                    "the status file {path:?} cannot be written: {error}; its folder must be there, \
                     and this process be able to write it"
                ))
            })
        });
        let (runtime, scheme) = (self.runtime, self.scheme.clone());
        // What tells this locker from others of the process, best first.
        let own = || Some(&*self.namespace).filter(|name| !name.is_empty());
        let name = self.installed_as.as_deref().or_else(own);
        let name = name.or(self.options.application_name.as_deref());
        let observe = observe::Settings { locker: name.unwrap_or("").into(), ..self.observe };
        let place = StartOptions { runtime, limit, lazy, file: file.transpose()?, scheme, observe };
        let started = start::start(self.address, self.options, place)?;
        let locker = Locker::from_inner(Inner {
            engine: started.engine,
            about: started.about,
            scheme: self.scheme,
            namespace: self.namespace.into(),
            wait: self.wait,
            retry_every: self.retry_every,
            url,
        });
        Ok((locker, started.opened))
    }

    /// Does the same as [`LockerBuilder::connect`], and blocks the thread instead of awaiting.
    ///
    /// # Errors
    /// Those of [`LockerBuilder::connect`], and [`Error::Config`] if called inside the same
    /// current-thread runtime that the locker is told to run on.
    pub fn connect_blocking(self) -> Result<Locker> {
        Engine::check_not_inside(self.runtime.as_ref())?;
        // The runtime that the engine is to run on may be stuck, or gone, and its timers with it.
        let limit = self.options.connect_timeout.saturating_add(CONNECT_GRACE);
        let stuck = || {
            let source: Source = Arc::from(Box::from("the runtime of the locker does not run"));
            Error::away("the database", source)
        };
        block_for(limit, self.connect()).unwrap_or_else(|| Err(stuck()))
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
