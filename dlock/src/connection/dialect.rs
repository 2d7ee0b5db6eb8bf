//! Dialect: what a database is told, and what its answers mean.

use std::iter::repeat_n;
use std::time::Duration;

use super::row::{DriverError, Row, called};
use super::session::Session;
use super::wanted::Wanted;
use crate::backend::errors::{self, ErrorKind, NotExclusive};
use crate::error::{Error, Result};
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;
use crate::spec::native::Naming;
use crate::spec::wait::Wait;

/// What is asked for, and what is known of the session that is asked.
pub struct Take<'a> {
    pub(crate) wanted: &'a Wanted,
    pub(crate) wait: Wait,
    /// The session may have it already.
    #[cfg_attr(
        not(any(feature = "mssql", feature = "mysql")),
        allow(dead_code, reason = "of MySQL and SQL Server only")
    )]
    pub(crate) again: bool,
    /// A session that has it already, which this may be.
    #[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "of PostgreSQL only"))]
    pub(crate) mine: Option<&'a Session>,
    /// A transaction is open.
    #[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "of PostgreSQL only"))]
    pub(crate) inside: bool,
}

/// Where a statement of ours runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
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
pub enum Answer {
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
    #[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "of PostgreSQL only"))]
    Inside,
    /// The wait was a deadlock: nothing was granted.
    #[cfg_attr(
        not(any(feature = "mssql", feature = "oracle")),
        allow(dead_code, reason = "of SQL Server and Oracle only")
    )]
    Deadlock,
    /// There is no transaction to lock in.
    #[cfg_attr(not(feature = "mssql"), allow(dead_code, reason = "of SQL Server only"))]
    Outside,
    /// Locks of this server exclude nobody.
    NotExclusive(NotExclusive),
    /// Neither yes nor no.
    UnexpectedReply(String),
}

/// A database with locks of its own that belong to a session. A [driver](super::driver::Driver) names the one that it
/// speaks with.
pub trait Dialect: Send + Sync + 'static {
    const NAMING: Naming;
    /// What the database is called, in messages.
    const LABEL: &'static str;
    /// The modes that it has, and what to say of others.
    const MODES: &'static [Mode];
    const OTHER_MODES: &'static str;
    /// Ends a transaction, if one is open. To stand before other statements.
    const ROLLBACK: &'static str = "ROLLBACK;";
    /// Whether the answer to [`take`](Dialect::take) says whether a transaction is open.
    const TELLS_INSIDE: bool = false;
    /// Whether a transaction takes nothing after an error but its end.
    const REFUSES_AFTER_ERRORS: bool = false;
    /// Whether the server counts how often a session has a lock. If not, it keeps a lock until its only
    /// release.
    const COUNTS: bool = true;

    /// Takes a lock for the session. Inside a transaction, that goes on whatever comes of it.
    fn take(take: &Take<'_>) -> String;

    /// Takes locks for the transaction. `None`: the database has no such locks.
    fn take_within(_: &[Wanted], _: Wait) -> Option<String> {
        None
    }

    /// Lets go of each as often as it says, as long as the session has it, and puts right the
    /// transaction; says which session that was. That one session, if it is this, lets go of nothing.
    ///
    /// Without more, a wait that ends, or an error of a lock, is no matter of the transaction.
    fn resolve(lock_ids: &[(&LockId, usize)], but: Option<&Session>, _: At) -> String {
        let (before, after) = Self::around_releases();
        before + &release_each::<Self>(lock_ids, but) + &after
    }

    /// What [`resolve`](Dialect::resolve) says before its releases, and after: which session it was.
    fn around_releases() -> (String, String) {
        (String::new(), String::new())
    }

    /// After locks for a transaction that were not had: the transaction is as it was before.
    fn resolve_within(_: &[Wanted]) -> String {
        String::new()
    }

    /// Lets go of it if the session has it, and is not that one.
    fn release_if_held(lock_id: &LockId, but: Option<&Session>) -> String;

    /// Who has it. To know that must cost little, and no transaction.
    fn holder(lock_id: &LockId, inside: bool) -> String;

    /// What puts right the transaction after an error of such a statement.
    fn undo(_inside: bool) -> Option<&'static str> {
        None
    }

    /// Lets go of all of these, if it is this session; unless a transaction may be `open`, only if
    /// none is.
    fn release_held(held: &[Wanted], session: &Session, open: bool) -> String;

    /// Whether a transaction is open; the answer may be an error.
    fn look() -> String;

    /// Whether the answer to [`look`](Dialect::look) says so.
    fn is_inside(rows: &[Row]) -> bool {
        matches!(called(rows, "dlock"), Some([Some(inside)]) if inside == "t")
    }

    /// What the answer to a [`take`](Dialect::take) says: a word, the session, and whether a transaction is
    /// open where that [is told](Dialect::TELLS_INSIDE).
    fn answer(rows: &[Row]) -> Answer {
        let answer = Self::row_of_answer(rows);
        let Some([Some(word), rest @ ..]) = answer else {
            return Answer::UnexpectedReply(format!("{answer:?}"));
        };
        let inside = matches!(rest, [_, _, Some(inside)] if inside == "t");
        match (&**word, Session::read(rest)) {
            ("yes" | "1", Some(session)) => Answer::Yes { session, inside },
            ("busy" | "0", Some(session)) => Answer::Busy { session },
            ("mine", Some(session)) => Answer::Mine { session },
            ("inside", Some(_)) => Answer::Inside,
            ("deadlock", _) => Answer::Deadlock,
            ("outside", _) => Answer::Outside,
            (word, _) => match Self::not_exclusive(word) {
                Some(server) => Answer::NotExclusive(server),
                None => Answer::UnexpectedReply(Self::explained(word)),
            },
        }
    }

    /// The row that has the answer, without its name.
    fn row_of_answer(rows: &[Row]) -> Option<&[Option<String>]> {
        called(rows, "dlock")
    }

    /// The server whose locks exclude nobody, if it is that what the word says.
    fn not_exclusive(word: &str) -> Option<NotExclusive>;

    /// What a word means that is none of these.
    fn explained(word: &str) -> String {
        word.to_owned()
    }

    /// What an error of the server with this code means.
    fn error_kind(code: &str) -> ErrorKind;

    fn error(refused: DriverError) -> Error;
}

/// Without a word of the server's, the connection is gone and its session with it.
pub(super) fn error_kind<D: Dialect>(refused: &DriverError) -> ErrorKind {
    refused.code.as_deref().map_or(ErrorKind::Ended, D::error_kind)
}

/// Refuses a mode that the database lacks.
pub(super) fn check_mode<D: Dialect>(mode: Mode) -> Result<()> {
    if D::MODES.contains(&mode) {
        return Ok(());
    }
    Err(errors::unsupported(D::LABEL, &format!("{mode} locks"), D::OTHER_MODES))
}

/// Lets go of each as often as it says, see [`Dialect::release_if_held`].
pub(crate) fn release_each<D: Dialect + ?Sized>(
    lock_ids: &[(&LockId, usize)],
    but: Option<&Session>,
) -> String {
    let each = lock_ids.iter().flat_map(|(lock_id, count)| repeat_n(*lock_id, *count));
    each.map(|lock_id| D::release_if_held(lock_id, but) + ";").collect()
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
