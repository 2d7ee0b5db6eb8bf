//! MySQL and MariaDB: named locks of the session.
//!
//! <https://dev.mysql.com/doc/refman/8.4/en/locking-functions.html>,
//! <https://mariadb.com/kb/en/get_lock/>
//!
//! One text for both, for nobody has said which of them it is: what stands in `/*M! */` only MariaDB
//! reads (<https://mariadb.com/kb/en/comment-syntax/>), what stands in `/*+ */` is MySQL's.

use super::dialect::{Answer, Meaning, called, milliseconds};
use super::driver::{Refused, Row};
use super::plan::Wanted;
use crate::backend::{mysql_error, mysql_name};
use crate::error::Error;
use crate::mode::Mode;
use crate::native::Naming;
use crate::wait::Wait;

pub(super) const NAMING: Naming = Naming::ShortName;
pub(super) const LABEL: &str = "mysql";
pub(super) const MODES: &[Mode] = &[Mode::Exclusive];
pub(super) const OTHER_MODES: &str = "its locks are exclusive; write to the rows you lock, or read \
    them with SELECT … FOR SHARE";
/// Where no transaction is open, a savepoint ends with its own statement, and this is error 1305.
pub(super) const LOOK: &str = "SAVEPOINT dlock;RELEASE SAVEPOINT dlock";
pub(super) const TELLS_INSIDE: bool = false;

/// Refuses servers whose locks exclude nobody elsewhere, before any is taken.
const VET: &str = "/*M! WHEN @@wsrep_on AND @@wsrep_provider NOT IN ('','none') THEN 'cluster'*/ \
    WHEN CAST(@@global.read_only AS CHAR) NOT IN ('0','OFF','NO') THEN 'replica' \
    WHEN VERSION() RLIKE 'TiDB|Vitess' THEN 'another'";

pub(super) fn take(wanted: &Wanted, wait: Wait, again: bool) -> String {
    let name = mysql_name(&wanted.claim.key);
    let mine = format!("WHEN IS_USED_LOCK({name})=CONNECTION_ID() THEN");
    let take = |time: &str| format!("IFNULL(GET_LOCK({name},{time}),'null')");
    let (before, hint, time) = limits(wait);
    // What has a limit of time never counts a lock up: after its end nobody could tell whether it
    // has. So that comes first, in a statement without.
    let (first, mine) = match (again, wait) {
        (false, _) => (String::new(), format!("{mine} 'mine'")),
        (true, Wait::NoWait) => (String::new(), String::new()),
        (true, _) => (
            format!("SELECT 'first',CASE {VET} {mine} {} ELSE 'not yet' END,0;", take("0")),
            format!("{mine} '1'"),
        ),
    };
    format!(
        "{first}{before}SELECT {hint}'dlock',CASE {VET} {mine} ELSE {} END,CONNECTION_ID()",
        take(&time)
    )
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

/// A wait that ends is no matter of the transaction here.
pub(super) fn take_inside(_: &Wanted, _: Wait) -> Option<String> {
    None
}

pub(super) fn take_within(_: &[Wanted], _: Wait) -> Option<String> {
    None
}

pub(super) fn settle(wanted: Option<&Wanted>, _: bool) -> String {
    let Some(wanted) = wanted else { return "SELECT 1".into() };
    format!(
        "{};SELECT 'holder',CONCAT(USER,'@',HOST,', connection ',ID) \
         FROM information_schema.PROCESSLIST WHERE ID=IS_USED_LOCK({})",
        give_if_held(wanted),
        mysql_name(&wanted.claim.key)
    )
}

pub(super) fn give_if_held(wanted: &Wanted) -> String {
    let name = mysql_name(&wanted.claim.key);
    format!("SELECT IF(IS_USED_LOCK({name})=CONNECTION_ID(),RELEASE_LOCK({name}),0)")
}

pub(super) fn settle_within(_: &[Wanted]) -> String {
    String::new()
}

pub(super) fn give(held: &[Wanted]) -> String {
    let each: Vec<String> = held
        .iter()
        .rev()
        .map(|one| format!("IF(RELEASE_LOCK({})=1,'t','f')", mysql_name(&one.claim.key)))
        .collect();
    format!("SELECT 'dlock',CONCAT({}),CONNECTION_ID()", each.join(","))
}

pub(super) fn answer(rows: &[Row]) -> Answer {
    const LEASE: &str = "use its lease table: a Locker of lease+mysql://…";
    let first = called(rows, "first")
        .filter(|first| !matches!(first, [Some(word), _] if word == "not yet" || word == "1"));
    match first.or_else(|| called(rows, "dlock")) {
        Some([Some(word), Some(id)]) => match (&**word, id.parse()) {
            ("1", Ok(session)) => Answer::Yes { session, inside: false },
            ("0", _) => Answer::Busy,
            ("mine", _) => Answer::Mine,
            ("cluster", _) => Answer::Useless {
                what: "locks that exclude the other nodes' (it is a node of a Galera cluster: each \
                       node grants the same lock)",
                instead: LEASE,
            },
            ("replica", _) => Answer::Useless {
                what: "locks that exclude the primary's (it is a replica: it is read-only)",
                instead: "connect to the primary",
            },
            ("another", _) => Answer::Useless {
                what: "locks like MySQL's (it is TiDB or Vitess)",
                instead: LEASE,
            },
            (word, _) => Answer::Strange(word.to_owned()),
        },
        other => Answer::Strange(format!("{other:?}")),
    }
}

pub(super) fn is_inside(_: &[Row]) -> bool {
    true
}

/// <https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html>,
/// <https://mariadb.com/kb/en/mariadb-error-code-reference/>
pub(super) fn meaning(code: &str) -> Meaning {
    match code {
        "3024" | "1969" => Meaning::Busy,
        "3058" | "1213" => Meaning::Deadlock,
        "1305" => Meaning::NoTransaction,
        "1053" | "1927" | "4031" => Meaning::Ended,
        _ => Meaning::Other,
    }
}

pub(super) fn error(refused: Refused) -> Error {
    let number = refused.code.as_deref().and_then(|code| code.parse().ok());
    mysql_error(LABEL, number, refused.source)
}
