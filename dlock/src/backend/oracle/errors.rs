//! What Oracle's error numbers and the return codes of `DBMS_LOCK` mean: said once, here.
//!
//! <https://docs.oracle.com/en/error-help/db/>,
//! <https://docs.oracle.com/en/database/oracle/oracle-database/19/arpls/DBMS_LOCK.html>

use std::sync::Arc;

use oracledb::{Error as DriverError, ErrorKind as DriverErrorKind};

use crate::backend::errors::{Busy, ErrorKind, NotExclusive, Remedies, one_line, unsupported};
use crate::backend::handshake;
use crate::error::{Error, Source};

/// A block does not compile: what it names is not there, or not for this user.
const NOT_COMPILED: usize = 6550;

const REMEDIES: Remedies = Remedies {
    login: "check the user and its password, that the account is open and that it has CREATE SESSION",
    room: "raise the server's parameters sessions and processes, or SESSIONS_PER_USER of this user's profile, make \
           the application's pools smaller, or lower LockerBuilder::max_sessions",
};
/// A standby, or a database that has been opened so.
pub(super) const STANDBY: NotExclusive = NotExclusive {
    what: "locks that exclude the primary's (the database is read-only here: a standby, or opened so)",
    instead: "connect to the primary, by a service that runs only there",
};
const GRANT: &str =
    "run as SYS: GRANT EXECUTE ON SYS.DBMS_LOCK TO this user (SYSTEM may not grant it)";

/// What an error of this number means.
pub(super) fn kind(number: usize) -> ErrorKind {
    match number {
        60 => ErrorKind::Deadlock,
        // A duplicate; a row that is locked; a snapshot that is too old; a write that cannot be put in order with
        // another one.
        1 | 54 | 30_006 | 1555 | 8177 => ErrorKind::Busy,
        // No such table or view, or not for this user.
        942 => ErrorKind::NoTable,
        955 => ErrorKind::TableExists,
        // To read or write a table; to create one in this tablespace.
        1031 | 41_900 | 1950 | 1536 => ErrorKind::NoRight,
        // Wrong user or password; the account is locked, or its password has expired; no right to log in.
        1005 | 1017 | 1045 | 28_000..=28_003 => ErrorKind::NoLogin,
        // Sessions of the user, the profile, the server or the listener.
        18 | 20 | 2391 | 12_516 | 12_519 | 12_520 => ErrorKind::Full,
        16_000 | 16_003 => ErrorKind::ReadOnly,
        // The session is over, or the instance is, or is not there yet; the database has moved.
        28 | 600 | 1012 | 1033 | 1034 | 1089 | 1090 | 1092 | 2396 | 2399 | 3113 | 3114 | 3135
        | 7445 | 12_153 | 12_514 | 12_521 | 12_528 | 12_537 | 12_541 | 12_547 | 12_570 | 12_571
        | 12_757 | 25_408 | 41_412 => ErrorKind::Ended,
        _ => ErrorKind::Other,
    }
}

/// The same of an error of the driver: without a number of the server's, the connection is gone.
pub(super) fn kind_of(error: &DriverError) -> ErrorKind {
    number(error).map_or(ErrorKind::Ended, kind)
}

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
    let DriverErrorKind::DbError(said) = error.kind() else { return None };
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

/// Returns `true` if the server has refused for lack of a right. What may not be seen is not there.
pub(super) fn is_right(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NoRight | ErrorKind::NoTable)
}

/// Returns `true` if nobody knows what the connection is after this error.
pub(super) fn is_fatal(error: &DriverError) -> bool {
    kind_of(error) == ErrorKind::Ended
}

/// What an error of the driver's means on this server.
pub(super) fn error_of(label: &str, error: DriverError) -> Error {
    let source: Source = Arc::new(Said::of(&error));
    match error.kind() {
        DriverErrorKind::DbError(_) => of_number(label, number(&error), source),
        DriverErrorKind::TlsOperation
        | DriverErrorKind::PemFileOperation
        | DriverErrorKind::WalletUnreadable(_)
        | DriverErrorKind::WalletPrivateKeyInvalid(_)
        | DriverErrorKind::WalletPasswordMissingOrInvalid(..) => {
            handshake::said(label, &source.to_string())
        }
        DriverErrorKind::InvalidServiceName(..) | DriverErrorKind::InvalidSid(..) => {
            Error::config(format!(
                "{label}: the listener knows no such service, or the database is not open: check the \
             service in the url (lsnrctl services shows those there are)"
            ))
        }
        DriverErrorKind::NoCredentials => Error::config(
            "the oracle:// url needs a user and a password: oracle://user:password@host/service",
        ),
        DriverErrorKind::ListenerRefusedConnection(.., number) => {
            of_number(label, Some(*number), source)
        }
        _ => Error::away(label, source),
    }
}

/// The driver's errors are no [`std::error::Error`], so `?` takes them nowhere else. They are what such
/// an error means to dlock.
impl From<DriverError> for Error {
    fn from(error: DriverError) -> Self {
        error_of("oracle", error)
    }
}

/// The same for the server's number alone; none: the connection has failed.
pub(crate) fn of_number(label: &str, number: Option<usize>, source: Source) -> Error {
    let said = || source.to_string();
    match number.map(|number| (number, kind(number))) {
        Some((NOT_COMPILED, _)) if said().contains("ALLOCATE_UNIQUE_AUTONOMOUS") => unsupported(
            label,
            "locks by name (it is older than 12.1)",
            "use Oracle 12.1 or newer, or put lease+ before the url",
        ),
        Some((NOT_COMPILED, _)) if said().contains("DBMS_LOCK") => {
            Error::permission(label, GRANT, source)
        }
        Some((_, ErrorKind::ReadOnly)) => STANDBY.error(label),
        Some((_, kind)) if kind.is_busy() => Busy::error(label, source),
        Some((_, kind)) => kind.error(label, &REMEDIES, source),
        None => Error::away(label, source),
    }
}

/// What the server, or the driver, said, on one line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Said(Box<str>);

impl Said {
    pub(crate) fn of(error: &DriverError) -> Self {
        Said(one_line(&error.to_string()))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the connection has ended")]
pub(super) struct Ended;

#[derive(Debug, thiserror::Error)]
#[error("{0} connections of this locker hang without an answer")]
pub(super) struct Stuck(pub(super) usize);

#[cfg(test)]
mod tests {
    use super::*;

    fn error(number: usize, said: &str) -> Error {
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
            let text = error(number, said).to_string();
            assert!(text.contains(part) && !text.contains('\n'), "{number}: {text}");
        }
    }

    #[test]
    fn what_passes_is_retryable_and_a_deadlock_leaves_the_session() {
        for number in [1, 54, 60, 1555, 8177, 30_006] {
            let error = error(number, "");
            assert!(error.is_retryable() && Busy::is(&error), "{error:?}");
        }
        for number in [28, 600, 1012, 3113, 12_514, 12_521, 41_412] {
            let error = error(number, "");
            assert!(error.is_retryable() && !Busy::is(&error), "{error:?}");
        }
        assert!(matches!(error(1722, ""), Error::Backend { .. }));
    }

    #[test]
    fn a_block_that_does_not_compile_says_why() {
        let said = "ORA-06550: line 9, column 9:\nPL/SQL: ORA-00942: table or view does not exist";
        assert_eq!(inner_number(said), Some(942));
        assert_eq!(inner_number("ORA-06550: line 1, column 7:\nPLS-00201: identifier"), None);
    }
}
