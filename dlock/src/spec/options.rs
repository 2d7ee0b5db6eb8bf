//! LockOptions: on what options a lock is taken, beyond its key and its mode.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::text::Text;

/// Nobody means more than this as a time to live; databases count from a date.
pub(crate) const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// Three renewals must fit in, and a commit may wait for the disk.
const SHORTEST: Duration = Duration::from_millis(100);
/// To ask a database more often than this is to do nothing else.
const RETRY_TIME_MIN: Duration = Duration::from_millis(1);
/// MySQL's column has room for so many bytes.
pub(crate) const LONGEST_OWNER: usize = 255;
/// What is left of that behind an owner that dlock makes.
pub(crate) const DATA_LEN_MAX: usize = 100;

/// On what options a lock is taken; their meaning is told at `Lock`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockOptions {
    /// How long a lease lasts without renewal; `None`: what the locker says.
    pub ttl: Option<Duration>,
    /// Whether it is renewed for as long as it is held.
    pub auto_renew: bool,
    /// Who holds the lease; `None`: what the locker says.
    pub owner: Option<Arc<str>>,
    /// What a lease's row says about the grant.
    pub data: Option<Text>,
    /// The pause between two tries of a key that others have; `None`: as the database does it best.
    pub retry_every: Option<Duration>,
    /// Nobody else gets it before so much time has passed since its grant.
    pub min_hold: Duration,
    /// A run that succeeds keeps others out until this time has passed since its grant.
    pub once_per: Option<Duration>,
    /// A fencing token is wanted.
    pub fenced: bool,
    /// A body under the lock may take it again.
    pub reentrant: bool,
}

impl Default for LockOptions {
    fn default() -> Self {
        LockOptions {
            ttl: None,
            auto_renew: true,
            owner: None,
            data: None,
            retry_every: None,
            min_hold: Duration::ZERO,
            once_per: None,
            fenced: false,
            reentrant: false,
        }
    }
}

impl LockOptions {
    /// What only a lease can have, if any of it is wanted.
    pub(crate) fn of_leases(&self) -> Option<&'static str> {
        match self {
            LockOptions { ttl: Some(_), .. } => Some("locks with a time to live (ttl)"),
            LockOptions { auto_renew: false, .. } => {
                Some("locks that end by themselves (auto_renew)")
            }
            LockOptions { owner: Some(_), .. } => Some("named owners (owner)"),
            LockOptions { data: Some(_), .. } => {
                Some("locks that say something about themselves (data)")
            }
            LockOptions { once_per: Some(_), .. } => {
                Some("locks that are done for a period (once_per)")
            }
            _ => None,
        }
    }

    /// Refuses what cannot be.
    pub(crate) fn check(&self) -> Result<()> {
        self.ttl.map_or(Ok(()), check_ttl)?;
        self.owner.as_deref().map_or(Ok(()), check_owner)?;
        self.data.as_deref().map_or(Ok(()), check_data)?;
        self.retry_every.map_or(Ok(()), check_retry_every)?;
        if self.once_per.is_some_and(|period| period.is_zero() || period > LONGEST) {
            return Err(Error::config(format!(
                "once_per is {:?}; it must be more than zero and at most a year",
                self.once_per.unwrap_or_default()
            )));
        }
        if self.min_hold > LONGEST {
            return Err(Error::config(format!(
                "min_hold is {:?}; it must be at most a year",
                self.min_hold
            )));
        }
        Ok(())
    }
}

pub(crate) fn check_ttl(ttl: Duration) -> Result<()> {
    if (SHORTEST..=LONGEST).contains(&ttl) || ttl == Duration::MAX {
        return Ok(());
    }
    Err(Error::config(format!(
        "the ttl of a lease is {ttl:?}; it must be between 100 ms and a year, or Duration::MAX for a \
         lease that ends with its release only"
    )))
}

pub(crate) fn check_retry_every(pause: Duration) -> Result<()> {
    if (RETRY_TIME_MIN..=LONGEST).contains(&pause) {
        return Ok(());
    }
    Err(Error::config(format!("retry_every is {pause:?}; it must be between 1 ms and a year")))
}

pub(crate) fn check_owner(owner: &str) -> Result<()> {
    if !owner.is_empty() && owner.len() <= LONGEST_OWNER && !owner.contains('\0') {
        return Ok(());
    }
    Err(Error::config(format!(
        "the owner of leases has {} bytes; it must have 1 to {LONGEST_OWNER}, none of them zero",
        owner.len()
    )))
}

fn check_data(data: &str) -> Result<()> {
    if !data.is_empty() && data.len() <= DATA_LEN_MAX && !data.contains('\0') {
        return Ok(());
    }
    Err(Error::config(format!(
        "the data of a lock have {} bytes; they must have 1 to {DATA_LEN_MAX}, none of them zero: what is \
         longer belongs into a table of yours, under the lock's key",
        data.len()
    )))
}
