//! Locks that are rows of a table, each with a time at which it ends by itself.
//!
//! `dlock_leases(name, owner, fence, acquired_at, expires_at)` is the whole contract: a key is held
//! by the owner of its row until `expires_at` on the database's clock, and is free when that is in
//! the past or there is no row. Rows are never deleted, for `fence` must go on growing.

#[cfg(feature = "sqlite")]
mod owner;
#[cfg(feature = "sqlite")]
mod seam;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;

#[cfg(feature = "sqlite")]
pub(crate) use self::seam::{Failure, Lease, LeaseBackend, Verdicts, name};

use std::time::Duration;

use crate::error::{Error, Result};

/// Settings of the locks that are kept in a lease table.
///
/// ```
/// use std::time::Duration;
/// use dlock::LeaseOptions;
///
/// let patient = LeaseOptions::new().ttl(Duration::from_secs(60));
/// # let _ = patient;
/// ```
#[derive(Debug, Clone)]
pub struct LeaseOptions {
    ttl: Duration,
}

impl LeaseOptions {
    /// The defaults.
    pub fn new() -> Self {
        LeaseOptions { ttl: Duration::from_secs(10) }
    }

    /// For how long a lease is taken: it is renewed after each third of this time while it is held,
    /// and ends by itself so long after the last renewal. That is how long others wait for a holder
    /// that was killed, and how long a holder that cannot reach the database may go on working. At
    /// least 100 ms, far above the pauses of your disk and your scheduler. Default: 10 s.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        // Three renewals must fit in, and a commit may wait for the disk.
        const SHORTEST: Duration = Duration::from_millis(100);
        // Databases count in milliseconds from 1970; nobody means more than this as a time to live.
        const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);
        if (SHORTEST..=LONGEST).contains(&self.ttl) {
            return Ok(());
        }
        Err(Error::config(format!(
            "the ttl of leases is {:?}; it must be between 100 ms and a year",
            self.ttl
        )))
    }

    #[cfg(feature = "sqlite")]
    pub(crate) fn time_to_live(&self) -> Duration {
        self.ttl
    }
}

impl Default for LeaseOptions {
    fn default() -> Self {
        LeaseOptions::new()
    }
}
