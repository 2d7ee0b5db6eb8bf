//! What the server's error numbers and return codes mean: said once, here.
//!
//! <https://learn.microsoft.com/sql/relational-databases/errors-events/database-engine-events-and-errors>

use std::sync::Arc;

use tiberius::error::Error as DriverError;

use crate::backend::handshake;
use crate::error::{Error, Source};

/// A statement was chosen to end a deadlock.
pub(super) const DEADLOCK: u32 = 1205;
/// A row or table lock was not to be had in `LOCK_TIMEOUT`.
const LOCK_TIMEOUT: u32 = 1222;
/// A write under snapshot isolation met another one.
const SNAPSHOT_CONFLICT: u32 = 3960;
/// No such table.
pub(super) const NO_TABLE: u32 = 208;
/// There is one of that name already.
pub(super) const TABLE_EXISTS: u32 = 2714;
/// A key is there already: another session has just inserted it.
const DUPLICATE_KEY: [u32; 2] = [2601, 2627];
/// No right to execute, to read or to write; to a column; to create a table; to see the server's
/// state; to end a session.
const NO_RIGHT: [u32; 8] = [229, 230, 262, 297, 300, 371, 2760, 6102];
/// Wrong user or password, from a domain that is not trusted, disabled, locked, expired.
const NO_LOGIN: [u32; 8] = [18_452, 18_456, 18_461, 18_468, 18_470, 18_486, 18_487, 18_488];
/// Connections: of the server; sessions and workers of an Azure database or pool.
const FULL: [u32; 5] = [17_300, 17_809, 10_928, 10_929, 10_936];

const MAKE_ROOM: &str = "raise the server's limit (\"user connections\", or the service tier on Azure), \
    make the application's pools smaller, or lower LockerBuilder::max_sessions";

/// What `sp_getapplock` and `sp_releaseapplock` return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    /// 0 or 1: done at once, or after others had let go.
    Done,
    /// -1: the wait is over.
    Timeout,
    /// -2: somebody has cancelled the request.
    Cancelled,
    /// -3: the wait was a deadlock.
    Deadlock,
    /// -999: an argument is wrong; of an unlock: it is not held.
    Invalid,
}

impl Code {
    /// `None` for a code that means nothing.
    pub(super) fn of(code: i32) -> Option<Self> {
        match code {
            0 | 1 => Some(Code::Done),
            -1 => Some(Code::Timeout),
            -2 => Some(Code::Cancelled),
            -3 => Some(Code::Deadlock),
            -999 => Some(Code::Invalid),
            _ => None,
        }
    }
}

/// The server's number of an error, if it is the server's.
pub(crate) fn number(error: &DriverError) -> Option<u32> {
    error.code()
}

/// Returns `true` if others were in the way, and the same may be asked again.
pub(super) fn is_busy(number: u32) -> bool {
    matches!(number, DEADLOCK | LOCK_TIMEOUT | SNAPSHOT_CONFLICT) || DUPLICATE_KEY.contains(&number)
}

/// Returns `true` if the server has refused for lack of a right.
pub(super) fn is_right(number: u32) -> bool {
    NO_RIGHT.contains(&number)
}

/// Returns `true` if an error is about the procedures of locks: `sp_getapplock` is a face of
/// `xp_userlock`.
pub(super) fn names_procedures(said: &str) -> bool {
    said.contains("applock") || said.contains("userlock")
}

/// What an error of the driver's means on this server.
pub(crate) fn error_kind(label: &str, error: DriverError) -> Error {
    match error {
        DriverError::Server(said) => {
            let about = (said.code(), said.class(), said.message());
            of_number(label, about, Arc::new(Said::of(&said)))
        }
        DriverError::Tls(said) => handshake::said(label, &said),
        DriverError::Io { kind: std::io::ErrorKind::InvalidData, message }
            if message.contains("certificate") =>
        {
            handshake::said(label, &message)
        }
        error => Error::unavailable(label, error),
    }
}

/// The same for the server's number alone; none: the connection has failed.
pub(crate) fn of_code(label: &str, number: Option<u32>, source: Source) -> Error {
    match number {
        Some(number) => of_number(label, (number, 0, &source.to_string()), source.clone()),
        None => Error::away(label, source),
    }
}

fn of_number(label: &str, (number, class, said): (u32, u8, &str), source: Source) -> Error {
    let permission = |remedy: &str, source| Error::permission(label, remedy, source);
    match number {
        _ if NO_LOGIN.contains(&number) => {
            permission("check the login and its password, and that it may log in", source)
        }
        // Not there, or not for this login.
        4060 | 916 | 40_532 => permission(
            "check the database's name; if it is right, CREATE USER for this login there",
            source,
        ),
        40_615 | 40_914 => {
            permission("let this address through the server's firewall rules", source)
        }
        229 if names_procedures(said) => permission(
            "GRANT EXECUTE ON sys.sp_getapplock and sys.sp_releaseapplock TO this user (in master; \
             usually public has it)",
            source,
        ),
        _ if is_right(number) => {
            permission("grant the right that this error's source names", source)
        }
        _ if FULL.contains(&number) => Error::full(label, MAKE_ROOM, source),
        3906 | 978 => read_only(label),
        _ if is_busy(number) => Error::unavailable(label, Busy(source)),
        // Shutting down, starting, moving, throttled; the session was killed; the database is not
        // ready, or is not to be had on this replica.
        596
        | 615
        | 617
        | 922
        | 945
        | 976
        | 983
        | 4221
        | 6005
        | 6006
        | 9001
        | 17_142
        | 18_401
        | 40_143
        | 40_197
        | 40_501
        | 40_540
        | 40_613
        | 42_108
        | 42_109
        | 49_918..=49_920 => Error::away(label, source),
        // The connection ends with these.
        _ if class >= 20 => Error::away(label, source),
        _ => Error::backend(label, source),
    }
}

/// A secondary, or a database that has been set so.
pub(super) fn read_only(label: &str) -> Error {
    Error::Unsupported {
        backend: label.into(),
        what: "locks that exclude the primary's (the database is read-only here: a secondary replica, \
               or set so)"
            .into(),
        instead: "connect to the primary, without ApplicationIntent=ReadOnly".into(),
    }
}

/// Returns `true` if the session is as it was, and others were in the way.
pub(super) fn was_busy(error: &Error) -> bool {
    matches!(error, Error::Unavailable { source, .. } if source.is::<Busy>())
}

/// Others were in the way: the session is as it was, and the same can be asked again.
#[derive(Debug, thiserror::Error)]
#[error("others were in the way")]
struct Busy(#[source] Source);

/// What the server said, on one line.
#[derive(Debug, thiserror::Error)]
#[error("error {number}: {message}")]
struct Said {
    number: u32,
    message: Box<str>,
}

impl Said {
    fn of(error: &tiberius::error::TokenError) -> Self {
        let message = error.message().chars().map(|c| if c.is_control() { ' ' } else { c });
        Said { number: error.code(), message: message.collect() }
    }
}

/// An answer that means nothing: the session is not to be trusted.
pub(super) fn unexpected(label: &str, answer: &str) -> Error {
    Error::unavailable(label, UnexpectedReply(answer.into()))
}

#[derive(Debug, thiserror::Error)]
#[error("the server gave an answer that means nothing: {0}")]
pub(super) struct UnexpectedReply(pub(super) Box<str>);

#[derive(Debug, thiserror::Error)]
#[error(
    "statements of one connection reach different sessions of the server: is there a proxy between?"
)]
pub(super) struct AnotherSession;

#[derive(Debug, thiserror::Error)]
#[error("the server has ended the connection")]
pub(super) struct Ended;

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(number: u32, class: u8, said: &str) -> Error {
        let source = Said { number, message: said.into() };
        of_number("mssql (db:1433/app)", (number, class, said), Arc::new(source))
    }

    #[test]
    fn return_codes_are_kept_apart_and_others_are_none() {
        let codes = [0, 1, -1, -2, -3, -999].map(Code::of);
        let known =
            [Code::Done, Code::Done, Code::Timeout, Code::Cancelled, Code::Deadlock, Code::Invalid];
        assert_eq!(codes, known.map(Some));
        for unknown in [2, -4, -998, i32::MIN, i32::MAX] {
            assert_eq!(Code::of(unknown), None);
        }
    }

    #[test]
    fn errors_say_what_to_do() {
        for (number, said, part) in [
            (18_456, "Login failed for user 'app'.", "password"),
            (4060, "Cannot open database \"x\"", "CREATE USER"),
            (229, "The EXECUTE permission was denied on the object 'xp_userlock'", "EXECUTE"),
            (40_615, "Client with IP address is not allowed", "firewall"),
            (10_928, "The session limit for the database is 30", "max_sessions"),
            (3906, "Failed to update database \"x\" because it is read-only.", "primary"),
        ] {
            let text = kind(number, 14, said).to_string();
            assert!(text.contains(part) && !text.contains('\n'), "{number}: {text}");
        }
    }

    #[test]
    fn what_passes_is_retryable_and_a_deadlock_leaves_the_session() {
        for number in [DEADLOCK, LOCK_TIMEOUT, SNAPSHOT_CONFLICT, 2627] {
            let error = kind(number, 13, "");
            assert!(error.is_retryable() && was_busy(&error), "{error:?}");
        }
        for (number, class) in [(596, 21), (40_613, 17), (6005, 14), (50_000, 20)] {
            let error = kind(number, class, "");
            assert!(error.is_retryable() && !was_busy(&error), "{error:?}");
        }
        assert!(matches!(kind(8115, 16, ""), Error::Backend { .. }));
    }
}
