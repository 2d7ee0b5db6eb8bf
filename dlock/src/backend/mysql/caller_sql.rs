//! MySQL and MariaDB: named locks of the session.
//!
//! <https://dev.mysql.com/doc/refman/8.4/en/locking-functions.html>,
//! <https://mariadb.com/kb/en/get_lock/>
//!
//! One text for both, for nobody has said which of them it is: what stands in `/*M! */` only MariaDB
//! reads (<https://mariadb.com/kb/en/comment-syntax/>), what stands in `/*+ */` is MySQL's.

use std::sync::atomic::{AtomicU64, Ordering};

use once_cell::sync::Lazy;

use super::errors::{kind, of_number};
use super::server::{CLUSTERED, LEASE, READ_ONLY};
use super::session_sql::name;
use crate::backend::errors::{ErrorKind, NotExclusive};
use crate::connection::dialect::{Dialect, Take, milliseconds};
use crate::connection::row::{DriverError, Row, called};
use crate::connection::session::Session;
use crate::connection::wanted::Wanted;
use crate::error::Error;
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;
use crate::spec::native::Naming;
use crate::spec::wait::Wait;

/// Refuses servers whose locks exclude nobody elsewhere, before any is taken.
const VET: &str = "/*M! WHEN @@wsrep_on AND @@wsrep_provider NOT IN ('','none') THEN 'cluster'*/ \
    WHEN CAST(@@global.read_only AS CHAR) NOT IN ('0','OFF','NO') THEN 'replica' \
    WHEN VERSION() RLIKE 'TiDB|Vitess' THEN 'another'";
const ANOTHER: NotExclusive =
    NotExclusive { what: "locks like MySQL's (it is TiDB or Vitess)", instead: LEASE };
/// The session, as an answer has it: bytes, so that `character_set_results` leaves them alone.
const SESSION: &str = "CAST(CONVERT(CONNECTION_ID() USING ascii) AS BINARY),\
    CAST(CONVERT(@dlock_session USING ascii) AS BINARY)";

/// What is told to a caller's connection.
pub enum MySqlDialect {}

impl Dialect for MySqlDialect {
    const NAMING: Naming = Naming::ShortName;
    const LABEL: &'static str = "mysql";
    const MODES: &'static [Mode] = &[Mode::Exclusive];
    const OTHER_MODES: &'static str = "its locks are exclusive; write to the rows you lock, or read \
    them with SELECT … FOR SHARE";

    fn look() -> String {
        let open = word("IF(FALSE/*M! OR @@in_transaction*/,'t','f')");
        format!("{};SELECT _binary'dlock',{open}", mark_outside())
    }

    fn take(take: &Take<'_>) -> String {
        let name = name(&take.wanted.lock_id.key);
        let mine = format!("WHEN IS_USED_LOCK({name})=CONNECTION_ID() THEN");
        let get = |time: &str| format!("IFNULL(GET_LOCK({name},{time}),'null')");
        let (before, hint, time) = limits(take.wait);
        // What has a limit of time never counts a lock up: after its end nobody could tell whether it
        // has. So that comes first, in a statement without.
        let (first, mine) = match (take.again, take.wait) {
            (false, _) => (String::new(), format!("{mine} 'mine'")),
            (true, Wait::NoWait) => (String::new(), String::new()),
            (true, _) => (
                format!(
                    "SELECT _binary'first',{},{SESSION};",
                    word(&format!("CASE {VET} {mine} {} ELSE 'not yet' END", get("0")))
                ),
                format!("{mine} '1'"),
            ),
        };
        format!(
            "SET {};{first}{before}SELECT {hint}_binary'dlock',{},{SESSION}",
            mark(),
            word(&format!("CASE {VET} {mine} ELSE {} END", get(&time)))
        )
    }

    fn resolve_within(_: &[Wanted]) -> String {
        String::new()
    }

    fn around_releases() -> (String, String) {
        (format!("SET {};", mark()), format!("SELECT _binary'settled',{SESSION}"))
    }

    fn release_if_held(lock_id: &LockId, but: Option<&Session>) -> String {
        let name = name(&lock_id.key);
        let but = but.map(|session| format!("NOT {} AND ", is_session(session)));
        format!(
            "SELECT _binary'given',{}",
            word(&format!(
                "IF({}IS_USED_LOCK({name})=CONNECTION_ID(),IF(RELEASE_LOCK({name})=1,'t','f'),NULL)",
                but.unwrap_or_default()
            ))
        )
    }

    fn holder(lock_id: &LockId, _: bool) -> String {
        format!(
            "/*M! SET STATEMENT max_statement_time=1 FOR */SELECT /*+ MAX_EXECUTION_TIME(1000) */ \
             _binary'holder',CAST(CONVERT(CONCAT(USER,'@',HOST,', connection ',ID) USING utf8mb4) AS BINARY) \
             FROM information_schema.PROCESSLIST WHERE ID=IS_USED_LOCK({})",
            name(&lock_id.key)
        )
    }

    fn release_held(held: &[Wanted], session: &Session, open: bool) -> String {
        let each: Vec<String> = held
            .iter()
            .rev()
            .map(|one| format!("IF(RELEASE_LOCK({})=1,'t','f')", name(&one.lock_id.key)))
            .collect();
        let (before, open) = match open {
            true => (format!("SET {}", mark()), ""),
            false => (mark_outside(), "/*M! WHEN @@in_transaction THEN 'open'*/ "),
        };
        let given = format!(
            "CASE WHEN NOT {} THEN '' {open}ELSE CONCAT({}) END",
            is_session(session),
            each.join(",")
        );
        format!("{before};SELECT _binary'dlock',{},{SESSION}", word(&given))
    }

    /// The answer of a wait comes behind that of a try, which may have had the lock already.
    fn row_of_answer(rows: &[Row]) -> Option<&[Option<String>]> {
        let is_last = |word: &str| word == "not yet" || word == "1";
        let first = called(rows, "first")
            .filter(|first| !matches!(first, [Some(word), ..] if is_last(word)));
        first.or_else(|| called(rows, "dlock"))
    }

    fn not_exclusive(word: &str) -> Option<NotExclusive> {
        match word {
            "cluster" => Some(CLUSTERED),
            "replica" => Some(READ_ONLY),
            "another" => Some(ANOTHER),
            _ => None,
        }
    }

    fn error_kind(code: &str) -> ErrorKind {
        code.parse().map_or(ErrorKind::Other, kind)
    }

    fn error(refused: DriverError) -> Error {
        let number = refused.code.as_deref().and_then(|code| code.parse().ok());
        of_number(Self::LABEL, number, refused.source)
    }
}

/// A session that has no birth mark gets one. It keeps it as long as its locks, whatever becomes of
/// transactions: only what frees all locks takes away such variables.
fn mark() -> String {
    static PROCESS: Lazy<u128> = Lazy::new(|| fastrand::u128(..));
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("@dlock_session=COALESCE(@dlock_session,'{:x}-{next:x}')", *PROCESS)
}

/// The same, and an error where a transaction is open: on MySQL there is no other way to know, since
/// what the next transaction is to be like cannot be said inside of one. It is what it would be
/// anyhow. <https://dev.mysql.com/doc/refman/8.4/en/set-transaction.html>
fn mark_outside() -> String {
    format!("SET /*!50720 @@transaction_read_only=@@session.transaction_read_only,*/ {}", mark())
}

/// A word of an answer.
fn word(expression: &str) -> String {
    format!("CAST(CONVERT({expression} USING ascii) AS BINARY)")
}

/// The server's own limit of statements is put out of force, and the time is exact: MySQL's
/// `GET_LOCK` counts in whole seconds, and is ended in time by a hint
/// (<https://dev.mysql.com/doc/refman/8.4/en/optimizer-hints.html#optimizer-hints-execution-time>).
fn limits(wait: Wait) -> (&'static str, String, String) {
    const UNLIMITED: &str = "/*M! SET STATEMENT max_statement_time=0 FOR */";
    let hint = |millis: u64| format!("/*+ MAX_EXECUTION_TIME({millis}) */");
    match milliseconds(wait) {
        Some(0) => ("", String::new(), "0".into()),
        Some(millis) => {
            // One more than MySQL needs, so that there it is always the hint that ends it.
            let seconds = millis.div_ceil(1000) + 1;
            let less = seconds * 1000 - millis;
            let less = format!("/*M! -{}.{:03}*/", less / 1000, less % 1000);
            (UNLIMITED, hint(millis), format!("{seconds}{less}"))
        }
        // A year: "for ever" is NULL at once on MariaDB. Then it is asked again.
        None => (UNLIMITED, hint(u32::MAX.into()), "31536000".into()),
    }
}

fn is_session(session: &Session) -> String {
    format!("(CONNECTION_ID()={} AND @dlock_session<=>'{}')", session.id, session.born)
}
