//! Dialect: what a database is told, and what its answers mean.

use std::time::Duration;

use super::driver::{DriverError, Row};
use super::plan::Wanted;
use super::session::Session;
use crate::backend::errors::{self, ErrorKind, NotExclusive};
use crate::error::{Error, Result};
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;
use crate::spec::native::Naming;
use crate::spec::wait::Wait;

/// A database with locks of its own that belong to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    #[cfg(feature = "postgres")]
    Postgres,
    #[cfg(feature = "mysql")]
    MySql,
    #[cfg(feature = "mssql")]
    Mssql,
    #[cfg(feature = "oracle")]
    Oracle,
}

/// What is asked for, and what is known of the session that is asked.
pub(crate) struct Take<'a> {
    pub(crate) wanted: &'a Wanted,
    pub(crate) wait: Wait,
    /// The session may have it already.
    #[cfg_attr(
        not(any(feature = "mssql", feature = "mysql")),
        expect(dead_code, reason = "of MySQL and SQL Server only")
    )]
    pub(crate) again: bool,
    /// A session that has it already, which this may be.
    #[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "of PostgreSQL only"))]
    pub(crate) mine: Option<&'a Session>,
    /// A transaction is open.
    #[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "of PostgreSQL only"))]
    pub(crate) inside: bool,
}

/// Where a statement of ours runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// Nobody knows of a transaction.
    Outside,
    Inside,
    /// In one that has failed since our savepoint.
    Failed,
}

impl At {
    pub(crate) fn of(inside: bool) -> Self {
        if inside { At::Inside } else { At::Outside }
    }
}

/// Whether a lock was granted.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    /// To this session of the server.
    Yes {
        session: Session,
        inside: bool,
    },
    /// This session has it already.
    Mine {
        session: Session,
    },
    Busy {
        session: Session,
    },
    /// There is a transaction, which a wait that ends in time would break: ask in another way.
    #[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "of PostgreSQL only"))]
    Inside,
    /// The wait was a deadlock: nothing was granted.
    #[cfg_attr(
        not(any(feature = "mssql", feature = "oracle")),
        expect(dead_code, reason = "of SQL Server and Oracle only")
    )]
    Deadlock,
    /// There is no transaction to lock in.
    #[cfg_attr(not(feature = "mssql"), expect(dead_code, reason = "of SQL Server only"))]
    Outside,
    /// Locks of this server exclude nobody.
    NotExclusive(NotExclusive),
    /// Neither yes nor no.
    UnexpectedReply(String),
}

/// Sends to the module of the database.
macro_rules! of {
    ($self:ident.$($call:tt)*) => {
        match $self {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => crate::backend::postgres::caller_sql::$($call)*,
            #[cfg(feature = "mysql")]
            Dialect::MySql => crate::backend::mysql::caller_sql::$($call)*,
            #[cfg(feature = "mssql")]
            Dialect::Mssql => crate::backend::mssql::caller::$($call)*,
            #[cfg(feature = "oracle")]
            Dialect::Oracle => crate::backend::oracle::caller_sql::$($call)*,
        }
    };
}

impl Dialect {
    pub(crate) fn naming(self) -> Naming {
        of!(self.NAMING)
    }

    /// What the database is called, in messages.
    pub(crate) fn label(self) -> &'static str {
        of!(self.LABEL)
    }

    /// Refuses a mode that the database lacks.
    pub(crate) fn check(self, mode: Mode) -> Result<()> {
        if of!(self.MODES).contains(&mode) {
            return Ok(());
        }
        Err(self.unsupported(&format!("{mode} locks"), of!(self.OTHER_MODES)))
    }

    pub(crate) fn unsupported(self, what: &str, instead: &str) -> Error {
        errors::unsupported(self.label(), what, instead)
    }

    /// Takes a lock for the session. Inside a transaction, that goes on whatever comes of it.
    pub(crate) fn take(self, take: &Take<'_>) -> String {
        of!(self.take(take))
    }

    /// Takes locks for the transaction. `None`: the database has no such locks.
    pub(crate) fn take_within(self, wanted: &[Wanted], wait: Wait) -> Option<String> {
        of!(self.take_within(wanted, wait))
    }

    /// Lets go of each as often as it says, as long as the session has it, and puts right the
    /// transaction; says which session that was. That one session, if it is this, lets go of nothing.
    pub(crate) fn resolve(
        self,
        lock_ids: &[(&LockId, usize)],
        but: Option<&Session>,
        at: At,
    ) -> String {
        of!(self.resolve(lock_ids, but, at))
    }

    /// After locks for a transaction that were not had: the transaction is as it was before.
    pub(crate) fn resolve_within(self, wanted: &[Wanted]) -> String {
        of!(self.resolve_within(wanted))
    }

    /// Lets go of it if the session has it, and is not that one.
    pub(crate) fn release_if_held(self, lock_id: &LockId, but: Option<&Session>) -> String {
        of!(self.release_if_held(lock_id, but))
    }

    /// Who has it. To know that must cost little, and no transaction.
    pub(crate) fn holder(self, lock_id: &LockId, inside: bool) -> String {
        of!(self.holder(lock_id, inside))
    }

    /// What puts right the transaction after an error of such a statement.
    pub(crate) fn undo(self, inside: bool) -> Option<&'static str> {
        of!(self.undo(inside))
    }

    /// Lets go of all of these, if it is this session; unless a transaction may be `open`, only if
    /// none is.
    pub(crate) fn release_held(self, held: &[Wanted], session: &Session, open: bool) -> String {
        of!(self.release_held(held, session, open))
    }

    /// Whether a transaction is open; the answer may be an error.
    pub(crate) fn look(self) -> String {
        of!(self.look())
    }

    /// Ends a transaction, if one is open. To stand before other statements.
    pub(crate) fn rollback(self) -> &'static str {
        of!(self.ROLLBACK)
    }

    /// Whether the answer to [`look`](Dialect::look) says so.
    pub(crate) fn is_inside(self, rows: &[Row]) -> bool {
        of!(self.is_inside(rows))
    }

    /// Whether the answer to [`take`](Dialect::take) says as much.
    pub(crate) fn tells_inside(self) -> bool {
        of!(self.TELLS_INSIDE)
    }

    /// Returns `true` if the server counts how often a session has a lock. If not, it keeps a lock
    /// until its only release.
    pub(crate) fn counts(self) -> bool {
        of!(self.COUNTS)
    }

    /// Whether a transaction takes nothing after an error but its end.
    pub(crate) fn refuses_after_errors(self) -> bool {
        of!(self.REFUSES_AFTER_ERRORS)
    }

    pub(crate) fn answer(self, rows: &[Row]) -> Answer {
        of!(self.answer(rows))
    }

    /// Without a word of the server's, the connection is gone and its session with it.
    pub(crate) fn error_kind(self, refused: &DriverError) -> ErrorKind {
        match &refused.code {
            Some(code) => of!(self.error_kind(code)),
            None => ErrorKind::Ended,
        }
    }

    pub(crate) fn error(self, refused: DriverError) -> Error {
        of!(self.error(refused))
    }
}

/// The rows that answer a question by that name, without the name.
pub(crate) fn called<'a>(rows: &'a [Row], name: &str) -> Option<&'a [Option<String>]> {
    rows.iter().find_map(|row| match row.split_first() {
        Some((Some(first), rest)) if first == name => Some(rest),
        _ => None,
    })
}

/// A time for the server, rounded up; none has no end.
pub(crate) fn milliseconds(wait: Wait) -> Option<u64> {
    /// What fits everywhere; who waits longer is asked again.
    const LONGEST: u128 = i32::MAX as u128;
    match wait {
        Wait::Forever => None,
        Wait::NoWait => Some(0),
        Wait::For(time) => {
            let millis = Duration::as_nanos(&time).div_ceil(1_000_000).min(LONGEST);
            u64::try_from(millis).ok()
        }
    }
}
