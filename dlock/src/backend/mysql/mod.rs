//! MySQL and MariaDB: named locks of a session, `GET_LOCK` and `RELEASE_LOCK`.
//!
//! <https://dev.mysql.com/doc/refman/8.4/en/locking-functions.html>,
//! <https://mariadb.com/kb/en/get_lock/>
//!
//! Statements go out as text, except for the [smallest batches](prepared). Every answer comes with the
//! session's `CONNECTION_ID()`, which must stay the same. A connection that is dropped is just closed: a
//! goodbye that nobody reads yet would hide from the server that the client of a wait has gone.

#[cfg(feature = "mysql")]
pub(crate) mod caller_sql;
mod check;
mod connect;
mod errors;
mod family;
mod fencing;
#[cfg(feature = "mysql")]
pub(crate) mod lease;
pub(crate) mod lease_sql;
mod polling;
mod prepared;
mod replication;
mod server;
mod session;
mod session_sql;
mod settings;
mod status;
mod wait;

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{ConnectOptions as _, MySqlPool};

pub(crate) use self::connect::{as_it_is, kind, label, parse};
pub(crate) use self::polling::integer;
pub(crate) use self::polling::text;
use self::prepared::{FORMS, Prepared};
pub(crate) use self::replication::{REMEDY, replicates};
pub(crate) use self::server::IN_GROUP;
use self::server::Server;
use self::session_sql::name;
#[cfg(test)]
pub(crate) use self::session_sql::read_wait;
pub(crate) use self::session_sql::{FIRST_FENCE, literal};
pub(crate) use self::settings::fit;
use super::lease::Table;
use super::{BackendInfo, Options, SessionLocks as _};
use crate::backend::errors::unsupported;
use crate::backend::pool;
use crate::error::{Error, Result};
use crate::spec::native::Naming;

/// The server does not tell of the end of a session: it goes unnoticed for this long at most, and a round trip.
const HEARTBEAT: Duration = Duration::from_millis(1500);
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

pub(crate) struct MySql {
    from: From,
    label: Box<str>,
    session_ttl: Duration,
    application_name: Option<String>,
    /// How many sessions there may be.
    max_sessions: u32,
    /// Where fencing tokens are drawn.
    table: Table,
    /// It has been said that tokens may repeat here.
    warned: AtomicBool,
    /// Left over from the preflight, for the first session: with TLS a connection is dear.
    spare: Mutex<Option<MySqlConnection>>,
}

enum From {
    Url(Box<MySqlConnectOptions>),
    /// Its options are read at each connect.
    Pool(MySqlPool),
}

pub(crate) struct Session {
    connection: MySqlConnection,
    id: i64,
    /// When the server was started: the numbers of its sessions are used again after that.
    birth: i64,
    /// What each answer must show.
    proof: String,
    server: Server,
    /// How many connections the server had left at connect.
    left: Option<i64>,
    /// It knows that there is a table to draw tokens from.
    fences: bool,
    prepared: Prepared,
}

impl MySql {
    pub(crate) fn from_url(url: &str, options: &Options) -> Result<Self> {
        MySql::new(From::Url(Box::new(parse(url)?)), kind(url), options)
    }

    pub(crate) fn from_pool(pool: MySqlPool, options: &Options) -> Result<Self> {
        MySql::new(From::Pool(pool), "mysql", options)
    }

    fn new(from: From, server: &str, options: &Options) -> Result<Self> {
        Ok(MySql {
            label: label(server, &[from.options()]),
            from,
            session_ttl: options.session_ttl,
            application_name: options.application_name.clone(),
            max_sessions: options.max_sessions,
            table: options.lease.table_of(false)?,
            warned: AtomicBool::new(false),
            spare: Mutex::new(None),
        })
    }

    /// What is known of it without asking.
    pub(crate) fn about(&self) -> BackendInfo {
        BackendInfo {
            label: self.label.clone(),
            naming: Naming::ShortName,
            modes: self.modes(),
            leases: None,
            fences: true,
            explain: Box::new(|key| session_sql::explain(&name(key))),
        }
    }

    async fn connect(&self) -> Result<MySqlConnection> {
        // Nothing is set before the server is known to be one whose locks are of use.
        // The application's own wish for its statements is not one for ours: without room for them,
        // each would be prepared each time.
        let options = as_it_is(self.from.options()).statement_cache_capacity(FORMS);
        let connected = match &self.from {
            From::Url(_) => options.connect().await,
            From::Pool(pool) => pool::connect(pool, options).await,
        };
        connected.map_err(|error| self.error(error))
    }

    fn proxied(&self) -> Error {
        unsupported(
            &self.label,
            "session of its own for each connection (there is a proxy between that shares the server's \
             sessions among its clients)",
            "connect to the server itself",
        )
    }

    /// Quotes what the application calls itself.
    fn own_name(&self) -> String {
        literal(self.application_name.as_deref().unwrap_or("dlock"))
    }
}

impl From {
    fn options(&self) -> MySqlConnectOptions {
        match self {
            From::Url(options) => (**options).clone(),
            From::Pool(pool) => (*pool.connect_options()).clone(),
        }
    }
}
