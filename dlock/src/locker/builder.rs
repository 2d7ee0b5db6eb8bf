//! LockerBuilder: how a locker is to be.

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
use crate::locker::registry;
use crate::locker::start::{self, Address, StartOptions};
use crate::locker::{Inner, Locker};
use crate::observe::{self, Observer};
use crate::spec::key::Key;
use crate::spec::options::check_retry_every;
use crate::spec::scheme::KeyScheme;
use crate::spec::wait::Wait;

/// A blocking call keeps its own time as well, a little longer.
const CONNECT_GRACE: Duration = Duration::from_secs(1);

/// How a [`Locker`] is to be. Made by [`Locker::builder`] and [`Locker::from_pool`].
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

    /// A locker of a database of SQL Server, by an ADO.NET connection string:
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

    /// Keys of different namespaces never meet, so that two applications can share a database, and two
    /// databases a server. Default: none.
    ///
    /// What shares keys without a namespace:
    ///
    /// * **MySQL and MariaDB: all databases of the server**, for it has one space of named locks. Where
    ///   staging and production are databases of one server, each needs a namespace of its own, or the
    ///   job of one makes that of the other skip.
    /// * PostgreSQL: one database.
    /// * Leases: one table.
    /// * `memory:`: the spaces of this process that have the same name.
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

    /// The default timeout of this locker's locks. Default: 30 s. It is not that of connecting:
    /// [`connect_timeout`](LockerBuilder::connect_timeout).
    pub fn timeout(mut self, wait: impl Into<Wait>) -> Self {
        self.wait = wait.into().normal();
        self
    }

    /// The pause between two tries of locks that do not say it themselves, as
    /// [`Lock::retry_every`](crate::Lock::retry_every). Default: none; the database wakes whoever
    /// waits, and leases are asked for as [`LeaseOptions::poll`] says. On PostgreSQL, set it for the
    /// locker whose locks migrations run under: no statement of this locker waits then, so none stands
    /// in the way of `CREATE INDEX CONCURRENTLY`.
    pub fn retry_every(mut self, pause: Duration) -> Self {
        self.retry_every = Some(pause);
        self
    }

    /// How long connecting may take, now and whenever the locker connects again. Default: 10 s. From
    /// 1 ms to an hour.
    pub fn connect_timeout(mut self, time: Duration) -> Self {
        self.options.connect_timeout = time;
        self
    }

    /// How long a holder that has vanished or is frozen may keep a lock; also how long a guard's
    /// validity lasts without a sign of the server. The server is asked three times in this time, so
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

    /// How many keys this locker may hold and want at once; one more is [`Error::Unavailable`],
    /// at once: it may be tried again when others are released.
    /// Default: 5,000. PostgreSQL keeps the locks of all its clients in one table, with room for
    /// `max_locks_per_transaction` (64) times `max_connections` (100) and a little more: when it is
    /// full, nobody can even connect
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

    /// How this process shows up in the server's own views. Default: `dlock`, and the application's
    /// own name from the URL or pool where it has one.
    pub fn application_name(mut self, name: impl Into<String>) -> Self {
        self.options.application_name = Some(name.into());
        self
    }

    /// Keeps locks as leases in a table, as `lease+` before a URL does: for pools.
    pub fn use_leases(mut self) -> Self {
        self.options.leases = true;
        self
    }

    /// Settings of leases, and of the table where session locks draw their fencing tokens. On a
    /// database with session locks it does not choose leases: a URL with `lease+` or
    /// [`use_leases`](LockerBuilder::use_leases) does.
    pub fn lease_options(mut self, lease: LeaseOptions) -> Self {
        self.options.lease = lease;
        self
    }

    /// Runs the engine on this runtime instead of on a thread of its own. That saves a few
    /// microseconds a lock; in return the runtime must be kept running, with timers and I/O, and a
    /// blocking call on the only thread that it has for tasks is [`Error::Config`]. Its clock is the
    /// engine's: where a test has paused it, waits end in its time, and so may a lease that is
    /// renewed by it.
    pub fn runtime(mut self, runtime: Handle) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Writes into this file what this process holds and waits for: a first line that says `idle`,
    /// `waiting` or `held`, one with the process id, and one for each lock, its parts separated by
    /// tabs: `held`, key, mode and (where there is one) fencing token, or `waiting`, key and mode. It
    /// is replaced as a whole, at most every 20 ms, and says `idle` after the locker is closed. A
    /// process that is killed leaves it as it was.
    pub fn status_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.status_file = Some(path.into());
        self
    }

    /// Warns of each caller who has waited for a lock of this locker for this long, and goes on waiting:
    /// an event `slow_wait` at WARN, in the caller's span, with the holder where the server can tell who
    /// that is. Default: no such warning.
    ///
    /// To find out who the holder is costs one question to the server for all who wait by then.
    pub fn slow_wait(mut self, time: Duration) -> Self {
        self.observe.slow_wait = Some(time);
        self
    }

    /// Warns of each lock of this locker that has been held for this long, and still is: an event
    /// `long_hold` at WARN with the key, in the span in which the guard was taken, once for each guard.
    /// Default: no such warning.
    pub fn max_hold(mut self, time: Duration) -> Self {
        self.observe.max_hold = Some(time);
        self
    }

    /// Tells this observer what happens to this locker's locks, on a thread that the locker has for that: see
    /// [`Observer`]. A second call replaces the first.
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

    /// Connects.
    ///
    /// # Errors
    /// As [`Locker::connect`]; [`Error::Config`] for settings that cannot be,
    /// [`Error::Unsupported`] for a [`KeyScheme`] whose locks this database does not have.
    ///
    /// # Cancel safety
    /// As [`Locker::connect`].
    pub async fn connect(self) -> Result<Locker> {
        let (locker, mut opened) = self.begin(false)?;
        opened.wait().await?;
        Ok(locker)
    }

    /// Connects and installs the locker as "default", for `#[locked]` to use: [`init`](crate::init) with
    /// these settings.
    ///
    /// # Errors
    /// As [`connect`](LockerBuilder::connect); [`Error::AlreadyInstalled`] when there is a default
    /// locker that is not closed, before anything is connected to.
    ///
    /// # Cancel safety
    /// Nothing is installed when the future is dropped.
    pub async fn init(self) -> Result<Locker> {
        self.install(registry::DEFAULT).await
    }

    /// [`init`](LockerBuilder::init) without `await`.
    ///
    /// # Errors
    /// As [`init`](LockerBuilder::init) and [`connect_blocking`](LockerBuilder::connect_blocking).
    pub fn init_blocking(self) -> Result<Locker> {
        registry::check_free(registry::DEFAULT)?;
        let locker = self.installed_as(registry::DEFAULT).connect_blocking()?;
        registry::install_open(registry::DEFAULT, locker.clone())?;
        Ok(locker)
    }

    /// Connects and makes the locker known under this name: `#[locked(locker = "billing")]`.
    ///
    /// # Errors
    /// As [`init`](LockerBuilder::init), for this name.
    ///
    /// # Cancel safety
    /// Nothing is installed when the future is dropped.
    pub async fn install(self, name: &str) -> Result<Locker> {
        registry::check_free(name)?;
        let locker = self.installed_as(name).connect().await?;
        registry::install_open(name, locker.clone())?;
        Ok(locker)
    }

    /// Checks the settings, and connects at the first use: an application starts although its database
    /// does not, or not yet. [`Locker::ping`] tells whether it can be reached.
    ///
    /// The first lock that is taken, or the first question, waits for the connection too, and fails
    /// with its error where it cannot be made, within its own time; the next one tries anew.
    ///
    /// # Errors
    /// [`Error::Config`] and [`Error::Unsupported`] as [`connect`](LockerBuilder::connect), as far as
    /// the settings themselves say. What only the server can say is the error of the first use.
    ///
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

    /// [`LockerBuilder::connect`] without `await`.
    ///
    /// # Errors
    /// As [`LockerBuilder::connect`]; [`Error::Config`] inside the very current-thread runtime that
    /// the locker is told to run on.
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
