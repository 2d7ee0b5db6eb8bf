//! What can go wrong, and what to do about it.

use std::error::Error as StdError;
use std::fmt::{self, Display, Formatter};
use std::sync::Arc;
use std::time::Duration;

use crate::holder::{By, Holder, Install, Names, Seconds, Stage, Within};
use crate::key::Key;
use crate::lost::LostReason;

/// The error of everything in this crate.
///
/// Its text is one line: what happened, to which key, where, and what to do. The cause, where there
/// is one, is the [source](StdError::source). No password is ever part of it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The wait is over and somebody else still has the lock.
    #[error("lock \"{key}\" {}: {stage}{}; {}, or look for what holds it",
            Within(*.waited), By(holder), if waited.is_zero() { "try later" } else { "wait longer" })]
    Timeout {
        /// What was to be locked.
        key: Key,
        /// How long the caller has waited for the holder; zero for a single try.
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
    #[error(
        "lock \"{key}\" is already held by the caller: this code runs under it; \
             take it once, further out"
    )]
    Reentrant {
        /// What was to be locked again.
        key: Key,
    },
    /// The server has found that this wait and others wait for each other, and has ended this one.
    #[error(
        "lock \"{key}\" was refused: waiting for it here is a deadlock, says the server; take \
             locks in one order everywhere, or all at once, and try again"
    )]
    Deadlock {
        /// What was to be locked.
        key: Key,
    },
    /// The database has no lock that this key could be, or its key scheme names none.
    #[error("lock \"{key}\" cannot be named on this database: {why}")]
    Key {
        /// What was to be locked.
        key: Key,
        /// Why not, and what to do.
        why: Box<str>,
    },
    /// There is no locker of that name.
    #[error(
        "no locker \"{name}\" is installed ({}); call {} first",
        Names(installed),
        Install(name)
    )]
    NotInstalled {
        /// The name that was asked for.
        name: Box<str>,
        /// The names there are.
        installed: Vec<String>,
    },
    /// There is another locker of that name.
    #[error(
        "a locker \"{name}\" is already installed; \
             use it with registry::get, or remove it first with registry::remove"
    )]
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
    #[error("{backend} {}", Unreached(source))]
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
        matches!(
            self,
            Error::Timeout { .. }
                | Error::Lost { .. }
                | Error::Deadlock { .. }
                | Error::Unavailable { .. }
        )
    }

    pub(crate) fn unavailable(
        backend: &str,
        source: impl StdError + Send + Sync + 'static,
    ) -> Self {
        Error::Unavailable { backend: backend.into(), source: Arc::new(source) }
    }

    /// There is no connection left.
    pub(crate) fn full(backend: Box<str>, remedy: &'static str, source: Source) -> Self {
        Error::Unavailable { backend, source: Arc::new(Full { remedy, source }) }
    }

    /// Whether the server has no connection left.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, Error::Unavailable { source, .. } if source.is::<Full>())
    }

    pub(crate) fn key(key: &Key, why: impl Into<Box<str>>) -> Self {
        Error::Key { key: key.clone(), why: why.into() }
    }

    pub(crate) fn config(message: impl Into<Box<str>>) -> Self {
        Error::Config { message: message.into() }
    }
}

/// What was seen of a server that has no connection left for us.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
struct Full {
    remedy: &'static str,
    source: Source,
}

/// Why a server cannot be used, and what to do.
struct Unreached<'a>(&'a Source);

impl Display for Unreached<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0.downcast_ref::<Full>() {
            Some(full) => write!(f, "has no connection left for this locker; {}", full.remedy),
            None => f.write_str(
                "cannot be reached or does not answer; check the address and that it is up",
            ),
        }
    }
}

/// For functions that return [`std::io::Error`].
impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        use std::io::ErrorKind;
        let kind = match &error {
            Error::Timeout { .. } => ErrorKind::TimedOut,
            Error::Lost { .. } => ErrorKind::ConnectionAborted,
            Error::Reentrant { .. } | Error::Deadlock { .. } => ErrorKind::Deadlock,
            Error::Unsupported { .. } => ErrorKind::Unsupported,
            Error::Permission { .. } => ErrorKind::PermissionDenied,
            Error::Config { .. } | Error::Key { .. } => ErrorKind::InvalidInput,
            Error::Unavailable { .. } => ErrorKind::NotConnected,
            _ => ErrorKind::Other,
        };
        std::io::Error::new(kind, error)
    }
}

/// What sqlx wraps: its own text repeats that of its source.
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) fn cause(error: sqlx::Error) -> Source {
    match error {
        sqlx::Error::Io(error) => Arc::new(error),
        sqlx::Error::Database(error) => Arc::from(error.into_error()),
        error => Arc::new(error),
    }
}

/// For functions that return [`sqlx::Error`]: an I/O error with this one inside.
#[cfg(any(feature = "mysql", feature = "postgres", feature = "sqlite"))]
impl From<Error> for sqlx::Error {
    fn from(error: Error) -> Self {
        sqlx::Error::Io(error.into())
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
