//! From a URL or a pool to a running engine.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::backend::memory::Memory;
#[cfg(feature = "mssql")]
use crate::backend::mssql::Target;
use crate::backend::pool::Pool;
use crate::backend::url::{check, normal, not_there};
use crate::backend::{BackendInfo, Options, SessionBackend, SessionLocks as _};
use crate::engine::{Engine, Executor, Limits, Open, Opened, Sessions, StatusFile, opens};
#[cfg(feature = "_database")]
use crate::error::Error;
use crate::error::Result;
use crate::observe::{self, Telemetry};
use crate::spec::native::Naming;
use crate::spec::scheme::KeyScheme;

/// Where the database is.
pub(crate) enum Address {
    Url(String),
    /// An ADO.NET connection string, of SQL Server.
    #[cfg(feature = "mssql")]
    Ado(String),
    Pool(Pool),
}

/// An engine on its way up.
pub(crate) struct Started {
    pub(crate) engine: Engine,
    /// Whether the first connection was made.
    pub(crate) opened: Opened,
    pub(crate) about: BackendInfo,
}

/// Where and how the engine is to start.
pub(crate) struct StartOptions {
    /// The user's runtime, if it is to run there.
    pub(crate) runtime: Option<Handle>,
    /// How long the first connection may take.
    pub(crate) limit: Duration,
    /// It connects when it is first of use.
    pub(crate) lazy: bool,
    /// Where it is to write what it does.
    pub(crate) file: Option<StatusFile>,
    /// The keys' scheme, to be refused where the database has no locks of it.
    pub(crate) scheme: KeyScheme,
    /// What is told of its locks.
    pub(crate) observe: observe::Settings,
}

impl StartOptions {
    fn sessions<B: SessionBackend>(
        self,
        about: BackendInfo,
        backend: B,
        options: &Options,
    ) -> Result<Started> {
        options.check_for_sessions()?;
        let limits = Limits {
            connect: options.connect_timeout,
            sessions: options.max_sessions,
            // What is not a server's is nobody else's.
            keys: backend.session_ttl().map_or(u32::MAX, |_| options.max_keys),
            slice: options.slice,
        };
        let backend = Arc::new(backend);
        self.start(about, move |telemetry| {
            opens(move || Sessions::open(Arc::clone(&backend), limits, Arc::clone(&telemetry)))
        })
    }

    /// Leases, and a statement that finds the holder of one.
    #[cfg(feature = "_database")]
    fn leases<B: crate::backend::lease::LeaseBackend>(
        self,
        backend: B,
        options: Options,
        explain: Box<dyn Fn(&crate::spec::native::NativeKey) -> String + Send + Sync>,
    ) -> Result<Started> {
        options.check_for_leases()?;
        let name = options.application_name.clone().or_else(|| backend.application_name());
        let lease = options.lease.of_process(crate::backend::lease::process(name.as_deref()));
        let about = BackendInfo {
            label: backend.label(),
            naming: Naming::Row,
            modes: &[crate::spec::mode::Mode::Exclusive],
            leases: Some(lease.clone()),
            // That of django-database-locks has no column for them.
            fences: !self.scheme.is_django(),
            explain,
        };
        let (backend, limit) = (Arc::new(backend), options.connect_timeout);
        self.start(about, move |telemetry| {
            opens(move || {
                let (backend, telemetry) = (Arc::clone(&backend), Arc::clone(&telemetry));
                crate::engine::Leases::open(backend, lease.clone(), limit, telemetry)
            })
        })
    }

    /// The Python package itself locks nothing on SQLite, and dlock has no table of it on SQL Server and
    /// on Oracle.
    #[cfg(any(feature = "mssql", feature = "oracle", feature = "sqlite"))]
    fn refuse_django(&self, backend: &str) -> Result<()> {
        if !self.scheme.is_django() {
            return Ok(());
        }
        Err(Error::Unsupported {
            backend: backend.into(),
            what: format!("locks of the key scheme {:?}", self.scheme).into(),
            instead: "its table is not kept there: use PostgreSQL, MySQL or \
                      MariaDB, or leave the key scheme away"
                .into(),
        })
    }

    fn start<E: Executor>(
        self,
        about: BackendInfo,
        open: impl FnOnce(Arc<Telemetry>) -> Open<E>,
    ) -> Result<Started> {
        self.scheme.check(about.naming, &about.label)?;
        let limit = (self.limit, &*about.label);
        let telemetry = Telemetry::new(&about.label, about.leases.is_some(), self.observe);
        let open = open(Arc::clone(&telemetry));
        let (engine, opened) =
            Engine::start(self.runtime, limit, telemetry, self.file, self.lazy, open)?;
        Ok(Started { engine, opened, about })
    }
}

/// Starts the engine for a database.
pub(crate) fn start(address: Address, options: Options, place: StartOptions) -> Result<Started> {
    match address {
        #[cfg(feature = "mssql")]
        Address::Ado(text) => {
            let target = Target::of_ado(&text, options.application_name.as_deref())?;
            mssql(target, options, place)
        }
        Address::Url(url) if options.leases && !url.starts_with("lease+") => {
            by_url(&format!("lease+{url}"), options, place)
        }
        Address::Url(url) => by_url(&url, options, place),
        #[cfg(feature = "postgres")]
        Address::Pool(Pool::Postgres(pool)) if options.leases => {
            let table = options.lease.table_of(place.scheme.is_django())?;
            let backend =
                crate::backend::postgres::lease::Postgres::from_pool(pool, table, &options);
            let explain = backend.explain();
            place.leases(backend, options, explain)
        }
        #[cfg(feature = "postgres")]
        Address::Pool(Pool::Postgres(pool)) => {
            let backend = crate::backend::postgres::Postgres::from_pool(pool, &options)?;
            place.sessions(backend.about(), backend, &options)
        }
        #[cfg(feature = "mysql")]
        Address::Pool(Pool::MySql(pool)) if options.leases => {
            let table = options.lease.table_of(place.scheme.is_django())?;
            let backend = crate::backend::mysql::lease::MySql::from_pool(pool, &table, &options)?;
            let explain = backend.explain();
            place.leases(backend, options, explain)
        }
        #[cfg(feature = "mysql")]
        Address::Pool(Pool::MySql(pool)) => {
            let backend = crate::backend::mysql::MySql::from_pool(pool, &options)?;
            place.sessions(backend.about(), backend, &options)
        }
        #[cfg(feature = "sqlite")]
        Address::Pool(Pool::Sqlite(pool)) => {
            place.refuse_django("sqlite")?;
            let table = options.lease.table_of(false)?;
            let backend = crate::backend::sqlite::Sqlite::from_pool(&pool, &table)?;
            let explain = backend.explain();
            place.leases(backend, options, explain)
        }
    }
}

fn by_url(url: &str, options: Options, place: StartOptions) -> Result<Started> {
    check(url)?;
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    if crate::backend::hosts::are_several(url) && !scheme.starts_with("lease+") {
        return Err(Error::config(
            "the url has several hosts, and a session's locks are those of one server: two processes \
             that meet different ones would both have the lock; name one host, or put lease+ before \
             the url of a cluster",
        ));
    }
    match scheme {
        "memory" => {
            let memory = Memory::new(&normal(url));
            let about = BackendInfo {
                label: "memory".into(),
                naming: Naming::Name,
                modes: memory.modes(),
                leases: None,
                fences: true,
                explain: Box::new(|_| "-- memory: there is nothing to ask but this process".into()),
            };
            place.sessions(about, memory, &options)
        }
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => {
            let backend = crate::backend::postgres::Postgres::from_url(url, &options)?;
            place.sessions(backend.about(), backend, &options)
        }
        #[cfg(feature = "postgres")]
        "lease+postgres" | "lease+postgresql" => {
            let url = url.strip_prefix("lease+").unwrap_or(url);
            let table = options.lease.table_of(place.scheme.is_django())?;
            let backend =
                crate::backend::postgres::lease::Postgres::from_url(url, table, &options)?;
            let explain = backend.explain();
            place.leases(backend, options, explain)
        }
        #[cfg(feature = "mysql")]
        "mysql" | "mariadb" => {
            let backend = crate::backend::mysql::MySql::from_url(url, &options)?;
            place.sessions(backend.about(), backend, &options)
        }
        #[cfg(feature = "mysql")]
        "lease+mysql" | "lease+mariadb" => {
            let url = url.strip_prefix("lease+").unwrap_or(url);
            let table = options.lease.table_of(place.scheme.is_django())?;
            let backend = crate::backend::mysql::lease::MySql::from_url(url, &table, &options)?;
            let explain = backend.explain();
            place.leases(backend, options, explain)
        }
        #[cfg(feature = "mssql")]
        "mssql" | "sqlserver" => {
            let target = Target::of_url(url, options.application_name.as_deref())?;
            mssql(target, options, place)
        }
        #[cfg(feature = "mssql")]
        "lease+mssql" | "lease+sqlserver" => {
            let url = url.strip_prefix("lease+").unwrap_or(url);
            let target = Target::of_url(url, options.application_name.as_deref())?;
            mssql(target, Options { leases: true, ..options }, place)
        }
        #[cfg(feature = "oracle")]
        "oracle" | "lease+oracle" => {
            let leases = scheme.starts_with("lease+");
            let url = url.strip_prefix("lease+").unwrap_or(url);
            let target =
                crate::backend::oracle::Target::of_url(url, options.application_name.as_deref())?;
            if !leases {
                let backend = crate::backend::oracle::Oracle::new(target, &options)?;
                return place.sessions(backend.about(), backend, &options);
            }
            place.refuse_django("oracle")?;
            let table = options.lease.table_of(false)?;
            let backend = crate::backend::oracle::OracleLeases::new(target, &table, &options);
            place.leases(backend, options, crate::backend::oracle::OracleLeases::explain(&table))
        }
        #[cfg(feature = "sqlite")]
        "sqlite" | "lease+sqlite" => {
            let url = url.strip_prefix("lease+").unwrap_or(url);
            place.refuse_django("sqlite")?;
            let table = options.lease.table_of(false)?;
            let backend = crate::backend::sqlite::Sqlite::from_url(url, &table)?;
            let explain = backend.explain();
            place.leases(backend, options, explain)
        }
        // What stands there may be a user, or a password.
        _ if url.contains('@') && !url.contains("://") => Err(not_there("")),
        other => Err(not_there(other)),
    }
}

/// Session locks of SQL Server, or leases there.
#[cfg(feature = "mssql")]
fn mssql(target: Target, options: Options, place: StartOptions) -> Result<Started> {
    if !options.leases {
        let backend = crate::backend::mssql::Mssql::new(target, &options)?;
        return place.sessions(backend.about(), backend, &options);
    }
    place.refuse_django("mssql")?;
    let table = options.lease.table_of(false)?;
    let explain = crate::backend::mssql::MssqlLeases::explain(&table);
    let backend = crate::backend::mssql::MssqlLeases::new(target, &table);
    place.leases(backend, options, explain)
}
