//! The errors of this crate, each with its remedy.

mod unreached;

use std::error::Error as StdError;
use std::fmt::{self, Display, Formatter};
use std::sync::Arc;
use std::time::Duration;

use self::unreached::{Full, TooManyKeys, Unreached};
use crate::spec::key::Key;
use crate::status::holder::{By, Holder, Install, Names, Seconds, Stage, Within};
use crate::status::lost::{LostInfo, LostReason};
use crate::text::Text;

/// The error of every function in this crate.
///
/// Its text is one line: what happened, to which key, where, and what to do. The cause, if there is
/// one, is its [source](StdError::source). An error never contains a password.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The wait is over, and another holder still has the lock.
    #[error("lock \"{key}\" {}: {stage}{}; {}, or look for what holds it",
            Within(*.waited), By(holder), if waited.is_zero() { "try later" } else { "wait longer" })]
    Timeout {
        /// The key that was to be locked.
        key: Key,
        /// How long the caller waited for the holder. Zero for a single try.
        waited: Duration,
        /// What the caller was waiting for.
        stage: Stage,
        /// The holder of the lock, if known.
        holder: Option<Box<Holder>>,
    },
    /// The lock was held and then lost: another process may hold it.
    #[error("lock \"{key}\" was lost after {}: {reason}; \
             what ran under it may have overlapped with another holder: look at that before you try \
             again", Seconds(*.held_for))]
    Lost {
        /// The key that was locked.
        key: Key,
        /// Why the lock was lost.
        reason: LostReason,
        /// How long the lock was held.
        held_for: Duration,
    },
    /// The caller already runs under this lock, and would wait for itself.
    #[error(
        "lock \"{key}\" is already held by the caller: this code runs under it; \
             take it once, further out"
    )]
    Reentrant {
        /// The key that was to be locked again.
        key: Key,
    },
    /// The server has detected a deadlock between this wait and others, and has ended this wait.
    #[error(
        "lock \"{key}\" was refused: waiting for it here is a deadlock, says the server; take \
             locks in one order everywhere, or all at once, and try again"
    )]
    Deadlock {
        /// The key that was to be locked.
        key: Key,
    },
    /// The database cannot have a lock for this key, or the key scheme names none.
    #[error("lock \"{key}\" cannot be named on this database: {why}")]
    InvalidKey {
        /// The key that was to be locked.
        key: Key,
        /// The reason, and the remedy.
        why: Box<str>,
    },
    /// No locker of this name is installed.
    #[error(
        "no locker \"{name}\" is installed ({}); call {} first",
        Names(installed),
        Install(name)
    )]
    NotInstalled {
        /// The name that was requested.
        name: Box<str>,
        /// The names that are installed.
        installed: Vec<String>,
    },
    /// Another locker of this name is already installed.
    #[error(
        "a locker \"{name}\" is already installed; \
             use it with registry::get, or remove it first with registry::remove"
    )]
    AlreadyInstalled {
        /// The name that is taken.
        name: Box<str>,
    },
    /// The database does not support this.
    #[error("{backend} has no {what}; {instead}")]
    Unsupported {
        /// The database.
        backend: Box<str>,
        /// The feature that the database lacks.
        what: Box<str>,
        /// The alternative.
        instead: Box<str>,
    },
    /// The database's user lacks a right.
    ///
    /// If the lease table is missing, `{:#}` shows the statements that create it, each on lines of
    /// its own.
    #[error(fmt = permission)]
    Permission {
        /// The key that was to be locked, if the error is about a lock.
        key: Option<Box<Key>>,
        /// The database and its address.
        backend: Box<str>,
        /// The right to grant.
        remedy: Text,
        /// The statements to run as a user with the right to do so, if a `GRANT` is not enough.
        ddl: Option<Text>,
        /// The database's error.
        source: Source,
    },
    /// The set-up is wrong: a URL, an option, or the place of a call.
    #[error("{message}")]
    Config {
        /// The mistake, and the remedy.
        message: Box<str>,
    },
    /// The database cannot be reached, or does not answer.
    #[error("{}{backend} {}", ForKey(key), Unreached(source))]
    Unavailable {
        /// The key that was to be locked, if the error is about a lock.
        key: Option<Box<Key>>,
        /// The database and its address.
        backend: Box<str>,
        /// The cause, as the client saw it.
        source: Source,
    },
    /// The database answered with an error.
    #[error(
        "{}{backend} answered with an error; mend what it says (it is this error's source), for \
             to try again alone does not help",
        ForKey(key)
    )]
    Backend {
        /// The key that was to be locked, if the error is about a lock.
        key: Option<Box<Key>>,
        /// The database and its address.
        backend: Box<str>,
        /// The database's error.
        source: Source,
    },
    /// The locker was closed, or belongs to the process that this one was forked from.
    #[error("the locker is closed, or was made before this process was forked; connect again")]
    Closed,
}

/// The cause of an error.
pub type Source = Arc<dyn StdError + Send + Sync>;

/// The result of every function in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Returns `true` if another holder had the lock during the whole wait.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Error::Timeout { .. })
    }

    /// Returns `true` if a held lock was lost.
    pub fn is_lost(&self) -> bool {
        matches!(self, Error::Lost { .. })
    }

    /// Returns `true` if the same call may succeed later without a change to the program or its
    /// set-up.
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
        Error::away(backend, Arc::new(source))
    }

    /// The same for a cause that is shared already.
    pub(crate) fn away(backend: &str, source: Source) -> Self {
        Error::Unavailable { key: None, backend: backend.into(), source }
    }

    /// The server said something that no attempt of ours mends.
    #[cfg(any(test, feature = "_database"))]
    pub(crate) fn backend(backend: &str, source: Source) -> Self {
        Error::Backend { key: None, backend: backend.into(), source }
    }

    pub(crate) fn permission(backend: &str, remedy: impl Into<Text>, source: Source) -> Self {
        let (key, backend, remedy) = (None, backend.into(), remedy.into());
        Error::Permission { key, backend, remedy, ddl: None, source }
    }

    /// There is no connection left.
    pub(crate) fn full(backend: &str, remedy: &'static str, source: Source) -> Self {
        Error::unavailable(backend, Full { remedy, source })
    }

    /// One key more than this locker may have. `setting`: that of the server which goes with it.
    pub(crate) fn too_many_keys(backend: &str, most: usize, setting: Option<&'static str>) -> Self {
        Error::unavailable(backend, TooManyKeys { most, setting })
    }

    /// The same error about this key, unless it names one already.
    pub(crate) fn about(mut self, locked: &Key) -> Self {
        if let Error::Unavailable { key, .. }
        | Error::Backend { key, .. }
        | Error::Permission { key, .. } = &mut self
        {
            key.get_or_insert_with(|| Box::new(locked.clone()));
        }
        self
    }

    /// The same with the statements that mend it.
    #[cfg(any(test, feature = "_server"))]
    pub(crate) fn with_ddl(mut self, statements: String) -> Self {
        if let Error::Permission { ddl, .. } = &mut self {
            *ddl = Some(statements.into());
        }
        self
    }

    /// Whether the server has no connection left.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, Error::Unavailable { source, .. } if source.is::<Full>())
    }

    pub(crate) fn invalid_key(key: &Key, why: impl Into<Box<str>>) -> Self {
        Error::InvalidKey { key: key.clone(), why: why.into() }
    }

    pub(crate) fn config(message: impl Into<Box<str>>) -> Self {
        Error::Config { message: message.into() }
    }
}

/// Shows one line, the same as that of [`Error::Lost`].
impl Display for LostInfo {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Error::from(self.clone()).fmt(f)
    }
}

impl From<LostInfo> for Error {
    fn from(info: LostInfo) -> Self {
        Error::Lost { key: info.key, reason: info.reason, held_for: info.held_for }
    }
}

/// What was to be locked, at the head of a message.
struct ForKey<'a>(&'a Option<Box<Key>>);

impl Display for ForKey<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |key| write!(f, "\"{key}\": "))
    }
}

/// The text of [`Error::Permission`]: one line, and with `{:#}` the statements behind it.
fn permission(
    key: &Option<Box<Key>>,
    backend: &impl Display,
    remedy: &Text,
    ddl: &Option<Text>,
    _: &Source,
    f: &mut Formatter<'_>,
) -> fmt::Result {
    write!(f, "{}{backend} refuses for lack of a right: {remedy}", ForKey(key))?;
    match ddl {
        None => f.write_str("; then try again"),
        Some(ddl) if f.alternate() => write!(f, "; then try again:\n{ddl}"),
        Some(_) => f.write_str(" (they are this error's field ddl, shown by {:#}); then try again"),
    }
}

/// Converts the error for functions that return [`std::io::Error`].
impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        use std::io::ErrorKind;
        let kind = match &error {
            Error::Timeout { .. } => ErrorKind::TimedOut,
            Error::Lost { .. } => ErrorKind::ConnectionAborted,
            Error::Reentrant { .. } | Error::Deadlock { .. } => ErrorKind::Deadlock,
            Error::Unsupported { .. } => ErrorKind::Unsupported,
            Error::Permission { .. } => ErrorKind::PermissionDenied,
            Error::Config { .. } | Error::InvalidKey { .. } => ErrorKind::InvalidInput,
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

/// Converts the error for functions that return [`sqlx::Error`]: an I/O error with this one inside.
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

    /// What a cause says stays with the cause: it may be of many lines.
    fn cause() -> Source {
        Arc::from(Box::from("said\nin lines"))
    }

    #[test]
    fn what_a_server_did_is_one_line_about_the_key_and_the_next_step() {
        let key = Key::from("user:7");
        let refused = || Error::permission("postgres (h/db)", "GRANT USAGE", cause());
        for (error, next) in [
            (Error::away("postgres (h/db)", cause()), "try again later"),
            (Error::full("postgres (h/db)", "raise max_connections", cause()), "try again later"),
            (Error::too_many_keys("postgres (h/db)", 3, Some("max_locks")), "release some"),
            (Error::backend("postgres (h/db)", cause()), "does not help"),
            (refused(), "GRANT USAGE; then try again"),
            (refused().with_ddl("CREATE\nTABLE".to_owned()), "{:#}); then try again"),
        ] {
            let error = error.about(&key).about(&Key::from("another"));
            let text = error.to_string();
            assert!(text.starts_with("\"user:7\": postgres (h/db) "), "{text}");
            assert!(text.contains(next), "{text}");
            assert!(!text.contains('\n'), "{text}");
        }
        assert!(Error::too_many_keys("", 3, None).is_retryable());
        let all = format!("{:#}", refused().with_ddl("CREATE\nTABLE".to_owned()));
        assert!(all.ends_with("then try again:\nCREATE\nTABLE"), "{all}");
        assert!(!Error::away("memory", cause()).to_string().contains('"'));
    }
}
