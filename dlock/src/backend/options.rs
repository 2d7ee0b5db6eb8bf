//! Options: the settings that backends and engines share.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::lease::LeaseOptions;
use crate::error::{Error, Result};

/// Settings that backends and engines share; their meaning is told at `LockerBuilder`.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// How long connecting may take.
    pub(crate) connect_timeout: Duration,
    pub(crate) session_ttl: Duration,
    pub(crate) max_sessions: u32,
    pub(crate) max_keys: u32,
    pub(crate) application_name: Option<String>,
    /// How long one statement waits; then it is asked again.
    pub(crate) slice: Duration,
    pub(crate) lease: LeaseOptions,
    /// Leases are wanted even where there are session locks.
    pub(crate) leases: bool,
}

const SESSION_TTL: Duration = Duration::from_secs(30);
/// PostgreSQL's lock table has room for some 12,800 as it comes, and is everybody's.
const KEYS_MAX: u32 = 5_000;

impl Default for Options {
    fn default() -> Self {
        Options {
            connect_timeout: Duration::from_secs(10),
            session_ttl: SESSION_TTL,
            max_sessions: 8,
            max_keys: KEYS_MAX,
            application_name: None,
            // On PostgreSQL a waiting statement pins the oldest snapshot, and vacuum with it.
            slice: Duration::from_secs(30),
            lease: LeaseOptions::default(),
            leases: false,
        }
    }
}

impl Options {
    pub(crate) fn check(&self) -> Result<()> {
        // Half of it must be enough for a round trip, and servers count in whole seconds.
        const SHORTEST: Duration = Duration::from_secs(1);
        const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
        if !(SHORTEST..=LONGEST).contains(&self.session_ttl) {
            return Err(Error::config(format!(
                "session_ttl is {:?}; it must be between a second and a day",
                self.session_ttl
            )));
        }
        const CONNECT_TIMEOUTS: RangeInclusive<Duration> =
            Duration::from_millis(1)..=Duration::from_secs(60 * 60);
        if !CONNECT_TIMEOUTS.contains(&self.connect_timeout) {
            return Err(Error::config(format!(
                "connect_timeout is {:?}; it must be between 1 ms and an hour",
                self.connect_timeout
            )));
        }
        if self.max_sessions == 0 {
            return Err(Error::config("max_sessions is 0; there must be at least one connection"));
        }
        if self.max_keys == 0 {
            return Err(Error::config("max_keys is 0; there must be at least one"));
        }
        self.lease.check()
    }

    /// Refuses what does nothing where locks are leases.
    #[cfg(feature = "_database")]
    pub(crate) fn check_for_leases(&self) -> Result<()> {
        let useless = if self.session_ttl != SESSION_TTL {
            "session_ttl is about locks of a connection; leases have LeaseOptions::ttl: set that instead"
        } else if self.max_keys != KEYS_MAX {
            "max_keys is about the table of locks of a server; leases are rows, of which there may be \
             any number: leave it out"
        } else {
            return Ok(());
        };
        Err(Error::config(useless))
    }

    /// Refuses what does nothing where locks are those of a connection.
    pub(crate) fn check_for_sessions(&self) -> Result<()> {
        self.lease.only_for_leases().map_or(Ok(()), |what| {
            Err(Error::config(format!(
                "LeaseOptions::{what} does nothing for locks of a connection; use sqlite://, or put lease+ \
                 before a server's url, to have leases, or leave it out"
            )))
        })
    }
}
