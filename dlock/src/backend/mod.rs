//! What is different between databases: SQL, return codes, error codes. Nothing else.

#[cfg(feature = "_server")]
pub(crate) mod bounds;
#[cfg(feature = "_server")]
pub(crate) mod driver;
#[cfg(feature = "_server")]
pub(crate) mod errors;
#[cfg(test)]
mod faulty;
#[cfg(feature = "_server")]
mod handshake;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) mod hosts;
pub(crate) mod lease;
pub(crate) mod memory;
#[cfg(feature = "mssql")]
pub(crate) mod mssql;
#[cfg(feature = "mysql")]
pub(crate) mod mysql;
mod options;
#[cfg(feature = "oracle")]
pub(crate) mod oracle;
pub(crate) mod pool;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) mod rows;
#[cfg(test)]
pub(crate) mod scripted;
mod seam;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod tls;
pub(crate) mod url;

#[cfg(any(feature = "mssql", feature = "mysql", feature = "oracle", feature = "sqlite"))]
use std::time::Duration;

use self::lease::LeaseOptions;
pub(crate) use self::options::Options;
pub use self::pool::Pool;
#[cfg(any(feature = "mssql", feature = "mysql", feature = "oracle"))]
use self::seam::orders_or_locks;
pub(crate) use self::seam::{
    Answer, BatchItem, LockView, Op, PING, SessionBackend, SessionLocks, SessionTag, SessionView,
    SessionViews, SessionWaits, Waited, no_conversion,
};
pub(crate) use self::url::normal;
use crate::spec::mode::Mode;
use crate::spec::native::{Naming, NativeKey};
#[cfg(any(feature = "mysql", feature = "postgres"))]
use crate::status::Finding;

/// What a locker knows of its database without asking it.
pub(crate) struct BackendInfo {
    /// The database and its address, for messages.
    pub(crate) label: Box<str>,
    pub(crate) naming: Naming,
    /// The locks it has.
    pub(crate) modes: &'static [Mode],
    /// If they are leases: what the locker says of those.
    pub(crate) leases: Option<LeaseOptions>,
    /// Whether its locks can have fencing tokens.
    pub(crate) fences: bool,
    /// A statement that finds the holders of a key.
    pub(crate) explain: Box<dyn Fn(&NativeKey) -> String + Send + Sync>,
}

/// The time that a database has counted in some unit, as in [`Duration::from_micros`].
#[cfg(any(feature = "mssql", feature = "mysql", feature = "oracle", feature = "sqlite"))]
fn counted(number: Option<impl Into<i64>>, unit: fn(u64) -> Duration) -> Option<Duration> {
    number.and_then(|number| u64::try_from(number.into()).ok()).map(unit)
}

/// What to say where a locker may take a large part of the connections that the server has for its
/// clients.
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) fn share(max_sessions: u32, in_use: i64, most: i64) -> Option<Finding> {
    let large = i64::from(max_sessions).saturating_mul(3) > most;
    large.then(|| {
        Finding::note(
            format!(
                "this locker may take {max_sessions} of the server's {most} connections for clients, of \
                 which {in_use} are in use: each key that is waited for takes one"
            ),
            "lower LockerBuilder::max_sessions, also because other processes have lockers too, or raise \
             the server's max_connections",
        )
    })
}
