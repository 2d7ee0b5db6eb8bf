//! Why and when a held lock was lost.

use std::fmt::{self, Display};
use std::time::Duration;

use crate::spec::key::Key;

/// Why and when a held lock was lost.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LostInfo {
    /// The key that was locked.
    pub key: Key,
    /// Why the lock was lost.
    pub reason: LostReason,
    /// How long the lock was held.
    pub held_for: Duration,
}

impl LostInfo {
    /// Creates a loss, for tests of code that receives one. `held_for` is how long the lock was
    /// held.
    pub fn new(key: impl Into<Key>, reason: LostReason, held_for: Duration) -> Self {
        LostInfo { key: key.into(), reason, held_for }
    }
}

/// Why a lock was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LostReason {
    /// The database session that held the lock has ended.
    SessionEnded,
    /// The database has not confirmed the lock in time, so another holder may have it.
    Unconfirmed,
    /// The database says that this guard does not hold the lock, or no longer holds it.
    NotHeld,
    /// The lock was a lease without renewal, and it was not released before its end.
    Expired,
    /// A write was refused because a higher token was already stored.
    Overtaken,
    /// The locker was closed, or the runtime of its engine has ended.
    Closed,
}

impl Display for LostReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LostReason::SessionEnded => "the database ended the session that held it",
            LostReason::Unconfirmed => "the database has not confirmed it in time",
            LostReason::NotHeld => "the database says that it is not held",
            LostReason::Expired => "it ran out and was not to be renewed",
            LostReason::Overtaken => {
                "a later holder has written already, or what was to be written is not there"
            }
            LostReason::Closed => "the locker was closed",
        })
    }
}
