//! Oracle: user locks of a session, the package `DBMS_LOCK`.
//!
//! <https://docs.oracle.com/en/database/oracle/oracle-database/19/arpls/DBMS_LOCK.html>
//!
//! The locks are those of one database (of one pluggable one, where there are such), in all instances
//! of a cluster. The server frees them when the session ends. It ends no session for its silence
//! unless it is told to; a client that has vanished it notices by the packets that
//! `SQLNET.EXPIRE_TIME` has it send, and without that setting maybe never. So a guard ends by its own
//! clock before that, see [`TTL_MAX`].

#[cfg(feature = "oracle")]
pub(crate) mod caller_sql;
mod check;
mod connect;
mod connection;
mod errors;
mod fencing;
mod known;
mod lease;
mod lease_sql;
mod session;
mod session_sql;
mod status;
mod table;
mod wait;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

pub(crate) use self::connect::Target;
pub(crate) use self::errors::{Said, number};
pub(crate) use self::lease::OracleLeases;
use self::lease_sql::LeaseSql;
use super::{BackendInfo, Options, SessionLocks as _};
use crate::error::{Error, Result};
use crate::spec::native::Naming;

/// For how long a guard is valid without an answer, at most: with the shortest `SQLNET.EXPIRE_TIME`,
/// a minute, the server gives the locks of a silent client back after that.
/// <https://docs.oracle.com/en/database/oracle/oracle-database/19/netrf/parameters-for-the-sqlnet.ora.html>
const TTL_MAX: Duration = Duration::from_secs(60);
/// That a session has ended does not show without a question.
const HEARTBEAT_MAX: Duration = Duration::from_secs(2);
/// The longest that one statement waits. The driver cannot stop it: a wait that nobody wants any more
/// goes on for this long, and a client that has vanished may still be granted the lock.
const SLICE: Duration = Duration::from_secs(5);

pub(crate) struct Oracle {
    target: Target,
    label: Box<str>,
    /// What was asked for.
    session_ttl: Duration,
    connect_timeout: Duration,
    /// The database of the first session: that of all others must be the same.
    database: OnceLock<String>,
    /// Where fencing tokens are drawn.
    tokens: LeaseSql,
    block: Arc<str>,
    /// The same that draws tokens as well.
    fenced_block: Arc<str>,
}

impl Oracle {
    pub(crate) fn new(target: Target, options: &Options) -> Result<Self> {
        let tokens = LeaseSql::new(&options.lease.table_of(false)?);
        Ok(Oracle {
            label: target.label().into(),
            target,
            session_ttl: options.session_ttl,
            connect_timeout: options.connect_timeout,
            database: OnceLock::new(),
            block: session_sql::block(None).into(),
            fenced_block: session_sql::block(Some(&tokens.draw())).into(),
            tokens,
        })
    }

    /// What is known of it without asking.
    pub(crate) fn about(&self) -> BackendInfo {
        BackendInfo {
            label: self.label.clone(),
            naming: Naming::UserLock,
            modes: self.modes(),
            leases: None,
            fences: true,
            explain: Box::new(status::explain),
        }
    }

    /// Refuses a session in another database than the first one: its locks are others.
    fn same_database(&self, database: &str) -> Result<()> {
        let first = self.database.get_or_init(|| database.to_owned());
        if first == database {
            return Ok(());
        }
        Err(Error::config(format!(
            "{} has led to database {first} before and leads to {database} now, where locks are \
             others; name a service that is of one database only",
            self.label
        )))
    }
}
