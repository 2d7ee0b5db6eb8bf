//! What a server's error means to a lock, for all who ask: the kinds of errors that all databases have, and the
//! errors of ours that are about no single database.

use crate::error::{Error, Source};

/// What an error of a server means, to a session, a lease and a caller's connection alike. Each database has one table
/// of its codes, in its `errors`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "no database has all of them")]
pub enum ErrorKind {
    /// The statement's time is over: that of a wait, or another limit.
    TimedOut,
    /// Somebody has stopped the statement.
    Stopped,
    /// Others were in the way, and nothing is left of the transaction.
    Busy,
    /// The same, and the statement was part of a deadlock.
    Deadlock,
    /// There is no transaction to lock in.
    NoTransaction,
    /// The transaction has failed and takes nothing but its end.
    Aborted,
    /// The transaction has no such savepoint.
    NoSavepoint,
    /// There is a transaction.
    Open,
    /// The session is over, and its locks with it.
    Ended,
    /// The server, or its database, is not to be had now.
    Away,
    /// The server has no connection left.
    Full,
    /// The server does not let this user in.
    NoLogin,
    /// This user lacks a right.
    NoRight,
    /// There is no such database.
    NoDatabase,
    /// There is no such table.
    NoTable,
    /// There is such a table already: somebody else has just made it.
    TableExists,
    /// The server, or its database, takes no writes: it is a replica, or has been set so.
    ReadOnly,
    /// The server could not write, which may pass.
    NotWritten,
    Other,
}

/// What to do about errors that every database has, each in its own way.
pub(crate) struct Remedies {
    /// If the server lets this user not in.
    pub(crate) login: &'static str,
    /// If the server has no connection left.
    pub(crate) room: &'static str,
}

impl ErrorKind {
    /// Returns `true` if others were in the way, and the same may be asked again.
    #[cfg(any(feature = "mssql", feature = "mysql", feature = "oracle"))]
    pub(crate) fn is_busy(self) -> bool {
        matches!(self, ErrorKind::Busy | ErrorKind::Deadlock)
    }

    /// The error of a question that this was the answer to.
    pub(crate) fn error(self, label: &str, remedies: &Remedies, source: Source) -> Error {
        match self {
            ErrorKind::Ended | ErrorKind::Away => Error::away(label, source),
            ErrorKind::Full => Error::full(label, remedies.room, source),
            ErrorKind::NoLogin => Error::permission(label, remedies.login, source),
            ErrorKind::NoRight => {
                Error::permission(label, "grant the right that this error's source names", source)
            }
            ErrorKind::NoDatabase => Error::config(format!(
                "{label} has no such database; make it, or name another one in the url"
            )),
            _ => Error::backend(label, source),
        }
    }
}

/// A server whose locks would not exclude others, and what to use instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotExclusive {
    /// What the server lacks.
    pub(crate) what: &'static str,
    pub(crate) instead: &'static str,
}

impl NotExclusive {
    pub(crate) fn error(self, label: &str) -> Error {
        unsupported(label, self.what, self.instead)
    }
}

/// The error of something that a database does not have.
pub(crate) fn unsupported(label: &str, what: &str, instead: &str) -> Error {
    Error::Unsupported { backend: label.into(), what: what.into(), instead: instead.into() }
}

/// Other sessions were in the way: the session is as it was, and the same can be asked again.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(crate) struct Busy {
    what: &'static str,
    source: Source,
}

impl Busy {
    /// The error of a statement that others were in the way of.
    #[cfg(any(feature = "mssql", feature = "oracle"))]
    pub(crate) fn error(label: &str, source: Source) -> Error {
        Error::unavailable(label, Busy { what: "others were in the way", source })
    }

    /// The error of a fencing token whose row is being written.
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    pub(crate) fn token(label: &str, source: Source) -> Error {
        let what = "somebody else's transaction keeps the row of a fencing token";
        Error::unavailable(label, Busy { what, source })
    }

    /// Returns `true` if this is such an error.
    pub(crate) fn is(error: &Error) -> bool {
        matches!(error, Error::Unavailable { source, .. } if source.is::<Busy>())
    }
}

/// The error of an answer that means nothing: the session is not to be trusted.
pub(crate) fn unexpected(label: &str, answer: &str) -> Error {
    Error::unavailable(label, UnexpectedReply(answer.into()))
}

/// The error of a server that has said neither yes nor no to a lock. The session goes on.
#[cfg(any(feature = "mssql", feature = "oracle"))]
pub(crate) fn neither(label: &str, code: &dyn std::fmt::Debug) -> Error {
    Error::backend(label, unexpected_source(&format!("{code:?} of a lock")))
}

/// The cause of such an error.
#[cfg(any(feature = "mssql", feature = "oracle"))]
pub(crate) fn unexpected_source(answer: &str) -> Source {
    std::sync::Arc::new(UnexpectedReply(answer.into()))
}

#[derive(Debug, thiserror::Error)]
#[error("the server gave an answer that means nothing: {0}")]
struct UnexpectedReply(Box<str>);

/// The error of an answer that another session has given. `of`: what the statements reach, and what may be between.
pub(crate) fn another_session(label: &str, of: &'static str, between: &'static str) -> Error {
    Error::unavailable(label, AnotherSession { of, between })
}

#[derive(Debug, thiserror::Error)]
#[error("statements of one connection reach different {of}: is there a {between} between?")]
struct AnotherSession {
    of: &'static str,
    between: &'static str,
}

/// What a server, or its driver, said, on one line.
#[cfg(any(feature = "mssql", feature = "oracle"))]
pub(crate) fn one_line(said: &str) -> Box<str> {
    said.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
