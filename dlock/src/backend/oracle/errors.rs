//! What Oracle's error numbers and the return codes of `DBMS_LOCK` mean: said once, here.
//!
//! <https://docs.oracle.com/en/error-help/db/>,
//! <https://docs.oracle.com/en/database/oracle/oracle-database/19/arpls/DBMS_LOCK.html>

use std::sync::Arc;

use oracledb::{Error as DriverError, ErrorKind};

use crate::backend::handshake;
use crate::error::{Error, Source};

/// A block does not compile: what it names is not there, or not for this user.
const NOT_COMPILED: usize = 6550;
/// No such table or view, or not for this user.
pub(super) const NO_TABLE: usize = 942;
/// There is one of that name already.
pub(super) const TABLE_EXISTS: usize = 955;
/// No right; to read or write a table; to create one in this tablespace.
const NO_RIGHT: [usize; 4] = [1031, 41_900, 1950, 1536];
/// Wrong user or password; the account is locked, or its password has expired; no right to log in.
const NO_LOGIN: [usize; 7] = [1005, 1017, 1045, 28_000, 28_001, 28_002, 28_003];
/// Sessions of the user, the profile, the server or the listener.
const FULL: [usize; 6] = [18, 20, 2391, 12_516, 12_519, 12_520];
/// The session is over, or the instance is, or is not there yet; the database has moved.
const ENDED: [usize; 26] = [
    28, 600, 1012, 1033, 1034, 1089, 1090, 1092, 2396, 2399, 3113, 3114, 3135, 7445, 12_153,
    12_514, 12_528, 12_537, 12_541, 12_547, 12_570, 12_571, 12_757, 25_408, 41_412, 12_521,
];
/// Others were in the way: a duplicate, a row that is locked, a deadlock, a snapshot that is too old,
/// a write that cannot be put in order with another one.
const BUSY: [usize; 6] = [1, 54, 60, 1555, 8177, 30_006];

const MAKE_ROOM: &str = "raise the server's parameters sessions and processes, or SESSIONS_PER_USER of \
    this user's profile, make the application's pools smaller, or lower LockerBuilder::max_sessions";
pub(super) const GRANT: &str =
    "run as SYS: GRANT EXECUTE ON SYS.DBMS_LOCK TO this user (SYSTEM may not grant it)";

/// What `REQUEST`, `CONVERT` and `RELEASE` return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// 0.
    Done,
    /// 1: the wait is over.
    Timeout,
    /// 2: the wait was a deadlock.
    Deadlock,
    /// 3: an argument is wrong.
    Wrong,
    /// 4: of a request, the session owns the lock already; of anything else, it does not own it.
    Owner,
    /// 5: the handle is none.
    Handle,
}

impl Code {
    /// `None` for a code that means nothing.
    pub(crate) fn of(code: i64) -> Option<Self> {
        Some(match code {
            0 => Code::Done,
            1 => Code::Timeout,
            2 => Code::Deadlock,
            3 => Code::Wrong,
            4 => Code::Owner,
            5 => Code::Handle,
            _ => return None,
        })
    }
}

/// The server's number of an error, if it is the server's: of a block that does not compile, the one
/// that says why.
pub(crate) fn number(error: &DriverError) -> Option<usize> {
    let ErrorKind::DbError(said) = error.kind() else { return None };
    Some(match said.code() {
        NOT_COMPILED => inner_number(said.message()).unwrap_or(NOT_COMPILED),
        code => code,
    })
}

/// The number of an error that stands in the words of another one.
fn inner_number(said: &str) -> Option<usize> {
    let numbers = said.split("ORA-").skip(1).filter_map(|rest| rest.get(..5)?.parse().ok());
    numbers.into_iter().find(|number| *number != NOT_COMPILED)
}

/// Returns `true` if others were in the way, and the same may be asked again.
pub(super) fn is_busy(number: usize) -> bool {
    BUSY.contains(&number)
}

/// Returns `true` if the server has refused for lack of a right. What may not be seen is not there.
pub(super) fn is_right(number: usize) -> bool {
    NO_RIGHT.contains(&number) || number == NO_TABLE
}

/// Returns `true` if the session has ended.
pub(crate) fn is_end(number: usize) -> bool {
    ENDED.contains(&number)
}

/// Returns `true` if nobody knows what the connection is after this error.
pub(super) fn is_fatal(error: &DriverError) -> bool {
    number(error).is_none_or(is_end)
}

/// What an error of the driver's means on this server.
pub(super) fn error_kind(label: &str, error: DriverError) -> Error {
    let source: Source = Arc::new(Said::of(&error));
    match error.kind() {
        ErrorKind::DbError(_) => of_number(label, number(&error), source),
        ErrorKind::TlsOperation
        | ErrorKind::PemFileOperation
        | ErrorKind::WalletUnreadable(_)
        | ErrorKind::WalletPrivateKeyInvalid(_)
        | ErrorKind::WalletPasswordMissingOrInvalid(..) => {
            handshake::said(label, &source.to_string())
        }
        ErrorKind::InvalidServiceName(..) | ErrorKind::InvalidSid(..) => Error::config(format!(
            "{label}: the listener knows no such service, or the database is not open: check the \
             service in the url (lsnrctl services shows those there are)"
        )),
        ErrorKind::NoCredentials => Error::config(
            "the oracle:// url needs a user and a password: oracle://user:password@host/service",
        ),
        ErrorKind::ListenerRefusedConnection(.., number) => of_number(label, Some(*number), source),
        _ => Error::away(label, source),
    }
}

/// The driver's errors are no [`std::error::Error`], so `?` takes them nowhere else. They are what such
/// an error means to dlock.
impl From<DriverError> for Error {
    fn from(error: DriverError) -> Self {
        error_kind("oracle", error)
    }
}

/// The same for the server's number alone; none: the connection has failed.
pub(crate) fn of_number(label: &str, number: Option<usize>, source: Source) -> Error {
    let Some(number) = number else { return Error::away(label, source) };
    let permission = |remedy: &str, source| Error::permission(label, remedy, source);
    match number {
        _ if NO_LOGIN.contains(&number) => permission(
            "check the user and its password, that the account is open and that it has CREATE SESSION",
            source,
        ),
        NOT_COMPILED if source.to_string().contains("ALLOCATE_UNIQUE_AUTONOMOUS") => {
            Error::Unsupported {
                backend: label.into(),
                what: "locks by name (it is older than 12.1)".into(),
                instead: "use Oracle 12.1 or newer, or put lease+ before the url".into(),
            }
        }
        NOT_COMPILED if source.to_string().contains("DBMS_LOCK") => permission(GRANT, source),
        _ if NO_RIGHT.contains(&number) => {
            permission("grant the right that this error's source names", source)
        }
        _ if FULL.contains(&number) => Error::full(label, MAKE_ROOM, source),
        16_000 | 16_003 => standby(label),
        _ if is_busy(number) => Error::unavailable(label, Busy(source)),
        _ if is_end(number) => Error::away(label, source),
        _ => Error::backend(label, source),
    }
}

/// A standby, or a database that has been opened so.
pub(super) fn standby(label: &str) -> Error {
    Error::Unsupported {
        backend: label.into(),
        what: "locks that exclude the primary's (the database is read-only here: a standby, or opened \
               so)"
            .into(),
        instead: "connect to the primary, by a service that runs only there".into(),
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

/// What the server, or the driver, said, on one line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Said(Box<str>);

impl Said {
    pub(crate) fn of(error: &DriverError) -> Self {
        let said = error.to_string();
        Said(said.chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
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
#[error("statements of one connection reach different sessions: is there a pooler between?")]
pub(super) struct AnotherSession;

#[derive(Debug, thiserror::Error)]
#[error("the connection has ended")]
pub(super) struct Ended;

#[derive(Debug, thiserror::Error)]
#[error("{0} connections of this locker hang without an answer")]
pub(super) struct Stuck(pub(super) usize);

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(number: usize, said: &str) -> Error {
        of_number("oracle (db:1521/app)", Some(number), Arc::new(Said(said.into())))
    }

    #[test]
    fn return_codes_are_kept_apart_and_others_are_none() {
        use Code::{Deadlock, Done, Handle, Owner, Timeout, Wrong};
        let known = [Done, Timeout, Deadlock, Wrong, Owner, Handle];
        assert_eq!([0, 1, 2, 3, 4, 5].map(Code::of), known.map(Some));
        for unknown in [-1, 6, i64::MIN, i64::MAX] {
            assert_eq!(Code::of(unknown), None);
        }
    }

    #[test]
    fn errors_say_what_to_do() {
        for (number, said, part) in [
            (1017, "ORA-01017: invalid username/password; logon denied", "password"),
            (
                6550,
                "ORA-06550: line 1, column 7: PLS-00201: identifier 'SYS.DBMS_LOCK' must be declared",
                "as SYS: GRANT EXECUTE ON SYS.DBMS_LOCK",
            ),
            (18, "ORA-00018: maximum number of sessions exceeded", "max_sessions"),
            (16_000, "ORA-16000: database open for read-only access", "primary"),
        ] {
            let text = kind(number, said).to_string();
            assert!(text.contains(part) && !text.contains('\n'), "{number}: {text}");
        }
    }

    #[test]
    fn what_passes_is_retryable_and_a_deadlock_leaves_the_session() {
        for number in BUSY {
            let error = kind(number, "");
            assert!(error.is_retryable() && was_busy(&error), "{error:?}");
        }
        for number in ENDED {
            let error = kind(number, "");
            assert!(error.is_retryable() && !was_busy(&error), "{error:?}");
        }
        assert!(matches!(kind(1722, ""), Error::Backend { .. }));
    }

    #[test]
    fn a_block_that_does_not_compile_says_why() {
        let said = "ORA-06550: line 9, column 9:\nPL/SQL: ORA-00942: table or view does not exist";
        assert_eq!(inner_number(said), Some(NO_TABLE));
        assert_eq!(inner_number("ORA-06550: line 1, column 7:\nPLS-00201: identifier"), None);
    }
}
