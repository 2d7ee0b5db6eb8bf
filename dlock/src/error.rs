//! What can go wrong, and what to do about it.

use std::error::Error as StdError;
use std::fmt::{self, Display};
use std::sync::Arc;
use std::time::Duration;

use crate::Key;

/// The error of everything in this crate.
///
/// Its text is one line: what happened, to which key, where, and what to do. The cause, where there
/// is one, is the [source](StdError::source). No password is ever part of it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The wait is over and somebody else still has the lock.
    #[error("lock \"{key}\" was not free within {}: {stage}{}; \
             wait longer, or look for what holds it", Seconds(*.waited), By(holder))]
    Timeout {
        /// What was to be locked.
        key: Key,
        /// How long the caller has waited.
        waited: Duration,
        /// What it was waiting for.
        stage: Stage,
        /// Who holds the lock, where that is known.
        holder: Option<Box<Holder>>,
    },
    /// The lock was held and is held no more: another process may have it.
    #[error("lock \"{key}\" was lost after {}: {reason}; \
             what ran under it may have overlapped with another holder", Seconds(*.held_for))]
    Lost {
        /// What had been locked.
        key: Key,
        /// How it was lost.
        reason: LostReason,
        /// How long it had been held.
        held_for: Duration,
    },
    /// The caller runs under this very lock: waiting for it would be waiting for itself.
    #[error("lock \"{key}\" is already held by the caller: this code runs under it; \
             take it once, further out")]
    Reentrant {
        /// What was to be locked again.
        key: Key,
    },
    /// There is no locker of that name.
    #[error("no locker \"{name}\" is installed ({}); call dlock::init(url) first, \
             or dlock::registry::install", Names(installed))]
    NotInstalled {
        /// The name that was asked for.
        name: Box<str>,
        /// The names there are.
        installed: Vec<String>,
    },
    /// There is another locker of that name.
    #[error("a locker \"{name}\" is already installed; \
             use it with registry::get, or remove it first with registry::remove")]
    AlreadyInstalled {
        /// The name that is taken.
        name: Box<str>,
    },
    /// The database cannot do this.
    #[error("{backend} has no {what}; {instead}")]
    Unsupported {
        /// The database.
        backend: Box<str>,
        /// What it lacks.
        what: Box<str>,
        /// What to do instead.
        instead: Box<str>,
    },
    /// The database's user lacks a right.
    #[error("{backend} refuses for lack of a right: {grant}")]
    Permission {
        /// The database and its address.
        backend: Box<str>,
        /// What to grant.
        grant: Box<str>,
        /// What the database said.
        source: Source,
    },
    /// The set-up is wrong: a URL, an option, a place to call from.
    #[error("{message}")]
    Config {
        /// What is wrong and what to do.
        message: Box<str>,
    },
    /// The database cannot be reached, or does not answer.
    #[error("{backend} cannot be reached or does not answer; check the address and that it is up")]
    Unavailable {
        /// The database and its address.
        backend: Box<str>,
        /// What was seen of it.
        source: Source,
    },
    /// The database answered with an error.
    #[error("{backend} answered with an error")]
    Backend {
        /// The database and its address.
        backend: Box<str>,
        /// What it said.
        source: Source,
    },
    /// The locker has been closed, or belongs to the process that this one was forked from.
    #[error("the locker is closed, or was made before this process was forked; connect again")]
    Closed,
}

/// A cause.
pub type Source = Arc<dyn StdError + Send + Sync>;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Whether somebody else had the lock for the whole wait.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Error::Timeout { .. })
    }

    /// Whether a lock that was held has been lost.
    pub fn is_lost(&self) -> bool {
        matches!(self, Error::Lost { .. })
    }

    /// Whether the same call may succeed later without a change to the program or its set-up.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Error::Timeout { .. } | Error::Lost { .. } | Error::Unavailable { .. })
    }

    pub(crate) fn config(message: impl Into<Box<str>>) -> Self {
        Error::Config { message: message.into() }
    }
}

/// What a wait that ran out was waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// This process holds the lock, and other tasks of it were first.
    Process,
    /// Another process, or another locker, holds the lock.
    Database,
}

impl Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Process => "held by this process",
            Stage::Database => "held by another session of the database",
        })
    }
}

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// What is known of it.
    pub who: String,
    /// For how long it has held the lock, where that is known.
    pub since: Option<Duration>,
}

/// That a lock was lost, and how.
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

impl From<LostInfo> for Error {
    fn from(info: LostInfo) -> Self {
        Error::Lost { key: info.key, reason: info.reason, held_for: info.held_for }
    }
}

/// How a lock was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LostReason {
    /// The database's session that held it has ended.
    SessionEnded,
    /// The database has not confirmed it in time, so it may have been given to another.
    Unconfirmed,
    /// The database says that it is not, or no longer, ours.
    NotHeld,
    /// The locker was closed, or the runtime it was to run on is gone.
    Closed,
}

impl Display for LostReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LostReason::SessionEnded => "the database ended the session that held it",
            LostReason::Unconfirmed => "the database has not confirmed it in time",
            LostReason::NotHeld => "the database says that it is not held",
            LostReason::Closed => "the locker was closed",
        })
    }
}

/// For functions that return [`std::io::Error`].
impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        use std::io::ErrorKind;
        let kind = match &error {
            Error::Timeout { .. } => ErrorKind::TimedOut,
            Error::Lost { .. } => ErrorKind::ConnectionAborted,
            Error::Reentrant { .. } => ErrorKind::Deadlock,
            Error::Unsupported { .. } => ErrorKind::Unsupported,
            Error::Permission { .. } => ErrorKind::PermissionDenied,
            Error::Config { .. } => ErrorKind::InvalidInput,
            Error::Unavailable { .. } => ErrorKind::NotConnected,
            _ => ErrorKind::Other,
        };
        std::io::Error::new(kind, error)
    }
}

/// For functions that return [`sqlx::Error`]: an I/O error with this one inside.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
impl From<Error> for sqlx::Error {
    fn from(error: Error) -> Self {
        sqlx::Error::Io(error.into())
    }
}

/// A duration for people.
struct Seconds(Duration);

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        match seconds {
            s if s < 1.0 => write!(f, "{:.0} ms", s * 1000.0),
            s if s < 60.0 => write!(f, "{s:.1} s"),
            s => write!(f, "{s:.0} s"),
        }
    }
}

struct By<'a>(&'a Option<Box<Holder>>);

impl Display for By<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(holder) = self.0 else { return Ok(()) };
        write!(f, " ({}", holder.who)?;
        if let Some(since) = holder.since {
            write!(f, ", for {}", Seconds(since))?;
        }
        f.write_str(")")
    }
}

struct Names<'a>(&'a [String]);

impl Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("there is none"),
            names => write!(f, "there are: {}", names.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_small_enough_to_be_returned_everywhere() {
        assert!(size_of::<Error>() <= 64, "{}", size_of::<Error>());
    }
}
