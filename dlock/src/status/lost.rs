//! Why and when a held lock was lost.

use std::fmt::{self, Display};
use std::time::Duration;

use crate::spec::key::Key;

/// Why and when a held lock was lost.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LostInfo {
    /// What had been locked.
    pub key: Key,
    /// How it was lost.
    pub reason: LostReason,
    /// How long it had been held.
    pub held_for: Duration,
}

impl LostInfo {
    /// A loss for tests of code that is told of one. `held_for`: for how long the lock had been held.
    pub fn new(key: impl Into<Key>, reason: LostReason, held_for: Duration) -> Self {
        LostInfo { key: key.into(), reason, held_for }
    }
}

/// Why a lock was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LostReason {
    /// The database's session that held it has ended.
    SessionEnded,
    /// The database has not confirmed it in time, so it may have been given to another.
    Unconfirmed,
    /// The database says that it is not, or no longer, ours.
    NotHeld,
    /// It was a lease that is not renewed, and it was not released before its end.
    Expired,
    /// A later holder has been there: its fencing token was seen before this one's.
    Overtaken,
    /// The locker was closed, or the runtime it was to run on is gone.
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
