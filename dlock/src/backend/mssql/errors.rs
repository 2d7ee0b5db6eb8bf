//! What the server's error numbers and return codes mean: said once, here.
//!
//! <https://learn.microsoft.com/sql/relational-databases/errors-events/database-engine-events-and-errors>

use std::sync::Arc;

use tiberius::error::Error as DriverError;

use super::server::READ_ONLY;
use crate::backend::errors::{Busy, ErrorKind, Remedies, one_line};
use crate::backend::handshake;
use crate::error::{Error, Source};

const REMEDIES: Remedies = Remedies {
    login: "check the login and its password, and that it may log in",
    room: "raise the server's limit (\"user connections\", or the service tier on Azure), make the application's \
           pools smaller, or lower LockerBuilder::max_sessions",
};

/// What an error of this number means.
pub(super) fn kind(number: u32) -> ErrorKind {
    match number {
        1205 => ErrorKind::Deadlock,
        // A row or table lock was not to be had in `LOCK_TIMEOUT`; a write under snapshot isolation met another one;
        // another session has just inserted the key.
        1222 | 3960 | 2601 | 2627 => ErrorKind::Busy,
        208 => ErrorKind::NoTable,
        2714 => ErrorKind::TableExists,
        // To execute, to read or to write; to a column; to create a table; to see the server's state; to end a
        // session.
        229 | 230 | 262 | 297 | 300 | 371 | 2760 | 6102 => ErrorKind::NoRight,
        // Wrong user or password, from a domain that is not trusted, disabled, locked, expired.
        18_452 | 18_456 | 18_461 | 18_468 | 18_470 | 18_486..=18_488 => ErrorKind::NoLogin,
        // Connections: of the server; sessions and workers of an Azure database or pool.
        17_300 | 17_809 | 10_928 | 10_929 | 10_936 => ErrorKind::Full,
        3906 | 978 => ErrorKind::ReadOnly,
        // The session was killed; the server is shutting down.
        596 | 6005 | 6006 => ErrorKind::Ended,
        // Starting, moving, throttled; the database is not ready, or is not to be had on this replica.
        615
        | 617
        | 922
        | 945
        | 976
        | 983
        | 4221
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
        | 49_918..=49_920 => ErrorKind::Away,
        _ => ErrorKind::Other,
    }
}

/// The same of an error of the driver: without a number of the server's, the connection is gone.
pub(super) fn kind_of(error: &DriverError) -> ErrorKind {
    error.code().map_or(ErrorKind::Ended, kind)
}

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

/// Returns `true` if an error is about the procedures of locks: `sp_getapplock` is a face of
/// `xp_userlock`.
pub(super) fn names_procedures(said: &str) -> bool {
    said.contains("applock") || said.contains("userlock")
}

/// What an error of the driver's means on this server.
pub(crate) fn error_of(label: &str, error: DriverError) -> Error {
    match error {
        DriverError::Server(said) => {
            let about = (said.code(), said.class(), said.message());
            let (number, message) = (said.code(), one_line(said.message()));
            of_number(label, about, Arc::new(Said { number, message }))
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
    match (number, kind(number)) {
        // Not there, or not for this login.
        (4060 | 916 | 40_532, _) => permission(
            "check the database's name; if it is right, CREATE USER for this login there",
            source,
        ),
        (40_615 | 40_914, _) => {
            permission("let this address through the server's firewall rules", source)
        }
        (229, _) if names_procedures(said) => permission(
            "GRANT EXECUTE ON sys.sp_getapplock and sys.sp_releaseapplock TO this user (in master; \
             usually public has it)",
            source,
        ),
        (_, ErrorKind::ReadOnly) => READ_ONLY.error(label),
        (_, kind) if kind.is_busy() => Busy::error(label, source),
        // The connection ends with these.
        (_, ErrorKind::Other) if class >= 20 => Error::away(label, source),
        (_, kind) => kind.error(label, &REMEDIES, source),
    }
}

/// What the server said, on one line.
#[derive(Debug, thiserror::Error)]
#[error("error {number}: {message}")]
struct Said {
    number: u32,
    message: Box<str>,
}

#[derive(Debug, thiserror::Error)]
#[error("the server has ended the connection")]
pub(super) struct Ended;

#[cfg(test)]
mod tests {
    use super::*;

    fn error(number: u32, class: u8, said: &str) -> Error {
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
            let text = error(number, 14, said).to_string();
            assert!(text.contains(part) && !text.contains('\n'), "{number}: {text}");
        }
    }

    #[test]
    fn what_passes_is_retryable_and_a_deadlock_leaves_the_session() {
        for number in [1205, 1222, 3960, 2627] {
            let error = error(number, 13, "");
            assert!(error.is_retryable() && Busy::is(&error), "{error:?}");
        }
        for (number, class) in [(596, 21), (40_613, 17), (6005, 14), (50_000, 20)] {
            let error = error(number, class, "");
            assert!(error.is_retryable() && !Busy::is(&error), "{error:?}");
        }
        assert!(matches!(error(8115, 16, ""), Error::Backend { .. }));
    }
}
