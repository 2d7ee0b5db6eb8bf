//! SQL Server: application locks of a session, `sp_getapplock` and `sp_releaseapplock`.
//!
//! <https://learn.microsoft.com/sql/relational-databases/system-stored-procedures/sp-getapplock-transact-sql>
//!
//! The locks are those of one database of the server. A session is recognized by its number and by a
//! mark that it was given when it was opened (`CONTEXT_INFO`); every answer has both. SQL Server ends
//! no session for its silence: it notices a client whose connection is closed at once, one whose host
//! has vanished by the keep-alive packets of its network (after some 35 s), and one that is frozen not
//! at all. So a guard ends by its own clock before that, see [`TTL_MAX`].

pub(crate) mod caller_sql;
mod check;
mod connect;
mod errors;
mod fencing;
mod lease;
mod lease_sql;
pub(crate) mod results;
mod server;
mod session;
mod session_sql;
mod socket;
mod status;
mod table;
mod wait;

use std::sync::OnceLock;
use std::time::Duration;

pub(crate) use self::connect::Target;
pub(crate) use self::lease::MssqlLeases;
use self::lease_sql::LeaseSql;
use super::{BackendInfo, Options, SessionLocks as _};
use crate::error::{Error, Result};
use crate::spec::native::Naming;

/// For how long a guard is valid without an answer, at most: SQL Server gives a silent client's locks
/// back when its keep-alive packets have not been answered, which it begins to send after 30 s.
/// <https://learn.microsoft.com/sql/tools/configuration-manager/tcp-ip-properties-protocols-tab>
const TTL_MAX: Duration = Duration::from_secs(30);
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

pub(crate) struct Mssql {
    target: Target,
    label: Box<str>,
    /// What was asked for.
    session_ttl: Duration,
    /// The database of the first session: that of all others must be the same.
    database: OnceLock<String>,
    /// Where fencing tokens are drawn.
    tokens: LeaseSql,
}

impl Mssql {
    pub(crate) fn new(target: Target, options: &Options) -> Result<Self> {
        Ok(Mssql {
            label: target.label().into(),
            target,
            session_ttl: options.session_ttl,
            database: OnceLock::new(),
            tokens: LeaseSql::new(&options.lease.table_of(false)?),
        })
    }

    /// What is known of it without asking.
    pub(crate) fn about(&self) -> BackendInfo {
        BackendInfo {
            label: self.label.clone(),
            naming: Naming::AppLock,
            modes: self.modes(),
            leases: None,
            fences: true,
            explain: Box::new(|key| status::explain(&session::name(key))),
        }
    }

    /// Refuses a session in another database than the first one: its locks are others.
    fn same_database(&self, database: &str) -> Result<()> {
        let first = self.database.get_or_init(|| database.to_owned());
        if first == database {
            return Ok(());
        }
        Err(Error::config(format!(
            "{} has moved this login from database {first:?} to {database:?}, where locks are others; \
             name the database in the url",
            self.label
        )))
    }
}
