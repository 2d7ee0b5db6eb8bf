//! PostgreSQL: advisory locks, of the session and of the transaction.
//!
//! <https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADVISORY-LOCKS>
//!
//! Everything is sent as text in the simple protocol: so one message can have several statements,
//! and where no transaction is open, `now()` is the time of the very message and all of it is one
//! transaction, whose `SET LOCAL` ends with it. Every function, type and operator is named with its
//! schema: the search path is the caller's.

use super::dialect::{Answer, Meaning, called, milliseconds};
use super::driver::{Refused, Row};
use super::plan::Wanted;
use crate::backend::postgres_error;
use crate::claim::Claim;
use crate::error::Error;
use crate::mode::Mode;
use crate::native::{Naming, NativeKey};
use crate::wait::Wait;

pub(super) const NAMING: Naming = Naming::Id;
pub(super) const LABEL: &str = "postgres";
pub(super) const MODES: &[Mode] = &[Mode::Exclusive, Mode::Shared];
pub(super) const OTHER_MODES: &str = "it has exclusive and shared ones";
/// Of a transaction that has failed the answer is 25P02.
pub(super) const LOOK: &str =
    "SELECT 'dlock',pg_catalog.now() OPERATOR(pg_catalog.<>) pg_catalog.statement_timestamp()";
pub(super) const TELLS_INSIDE: bool = true;

/// Refuses servers whose locks exclude nobody, before any is taken.
const VET: &str = "WHEN pg_catalog.pg_is_in_recovery() THEN 'standby' \
    WHEN pg_catalog.version() OPERATOR(pg_catalog.~) 'Cockroach' THEN 'cockroach'";
const INSIDE: &str = "pg_catalog.now() OPERATOR(pg_catalog.<>) pg_catalog.statement_timestamp()";

pub(super) fn take(wanted: &Wanted, wait: Wait, again: bool) -> String {
    let claim = &wanted.claim;
    let mut text = String::new();
    if wait != Wait::NoWait {
        text.push_str("SELECT pg_catalog.set_config('statement_timeout','0',true) WHERE NOT ");
        text.push_str(INSIDE);
        text.push(';');
    }
    text.push_str("SELECT 'dlock',CASE ");
    text.push_str(VET);
    if !again {
        text.push_str(&format!(" WHEN {} THEN 'mine'", is_ours(&claim.key, None)));
    }
    text.push_str(&format!(" WHEN {} THEN 'yes'", call("pg_try_advisory_lock", claim)));
    match wait {
        Wait::NoWait => text.push_str(" ELSE 'busy' END"),
        wait => {
            // A client that is gone is noticed: else it would stay in the line.
            // https://www.postgresql.org/docs/current/runtime-config-connection.html
            text.push_str(&format!(
                " WHEN {INSIDE} THEN 'inside' WHEN CASE WHEN \
                 pg_catalog.version() OPERATOR(pg_catalog.~) 'linux' \
                 AND pg_catalog.current_setting('client_connection_check_interval',true) IS NOT NULL \
                 THEN {} IS NULL ELSE false END THEN '' WHEN {} IS NULL THEN '' WHEN \
                 {}::pg_catalog.text IS NULL THEN '' ELSE 'yes' END",
                set("client_connection_check_interval", "'1s'"),
                set("lock_timeout", &format!("'{}'", milliseconds(wait).unwrap_or(0))),
                call("pg_advisory_lock", claim)
            ));
        }
    }
    text.push_str(&format!(",pg_catalog.pg_backend_pid(),{INSIDE}"));
    text
}

pub(super) fn take_inside(wanted: &Wanted, wait: Wait) -> Option<String> {
    Some(waiting("pg_advisory_lock", std::slice::from_ref(wanted), wait))
}

pub(super) fn take_within(wanted: &[Wanted], wait: Wait) -> Option<String> {
    Some(match (wanted, wait) {
        ([one], Wait::NoWait) => format!(
            "SAVEPOINT dlock;SELECT 'dlock',CASE {VET} WHEN {} THEN 'yes' ELSE 'busy' END,\
             pg_catalog.pg_backend_pid(),true;RELEASE SAVEPOINT dlock",
            call("pg_try_advisory_xact_lock", &one.claim)
        ),
        // Of several, those before the one that is refused are given back by the savepoint.
        _ => waiting("pg_advisory_xact_lock", wanted, wait),
    })
}

/// Under a savepoint, so that an error costs the transaction nothing; the caller's time limits are
/// put away and back. All keys together have the time that one would have.
fn waiting(function: &str, wanted: &[Wanted], wait: Wait) -> String {
    let setting = |name: &str| format!("pg_catalog.current_setting('{name}')");
    let was = |n: u8| format!("pg_catalog.split_part({},'/',{n})", setting("dlock.was"));
    let mut text = format!(
        "SAVEPOINT dlock;SELECT {},{};SELECT 'dlock',CASE {VET}",
        set(
            "dlock.was",
            &format!(
                "pg_catalog.concat({},'/',{})",
                setting("lock_timeout"),
                setting("statement_timeout")
            )
        ),
        set("statement_timeout", "'0'"),
    );
    for (index, one) in wanted.iter().enumerate() {
        let limit = match (milliseconds(wait), index) {
            (None, _) => "'0'".to_owned(),
            (Some(millis), 0) => format!("'{}'", millis.max(1)),
            (Some(millis), _) => format!(
                "GREATEST(1,{millis} OPERATOR(pg_catalog.-) (EXTRACT(EPOCH FROM \
                 pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) pg_catalog.statement_timestamp()) \
                 OPERATOR(pg_catalog.*) 1000)::bigint)::pg_catalog.text"
            ),
        };
        text.push_str(&format!(
            " WHEN {} IS NULL THEN '' WHEN {}::pg_catalog.text IS NULL THEN ''",
            set("lock_timeout", &limit),
            call(function, &one.claim)
        ));
    }
    text.push_str(&format!(
        " ELSE 'yes' END,pg_catalog.pg_backend_pid(),true;SELECT {},{};RELEASE SAVEPOINT dlock",
        set("lock_timeout", &was(1)),
        set("statement_timeout", &was(2)),
    ));
    text
}

/// The grant and the end of the wait may have met: then the lock is ours all the same.
pub(super) fn settle(wanted: Option<&Wanted>, inside: bool) -> String {
    let before = if inside { "ROLLBACK TO SAVEPOINT dlock;RELEASE SAVEPOINT dlock;" } else { "" };
    let Some(wanted) = wanted else { return format!("{before}SELECT") };
    format!("{before}{};{}", give_if_held(wanted), holder(&wanted.claim.key))
}

pub(super) fn give_if_held(Wanted { claim, .. }: &Wanted) -> String {
    let ours = is_ours(&claim.key, Some(claim.mode));
    format!("SELECT CASE WHEN {ours} THEN {} END", call("pg_advisory_unlock", claim))
}

pub(super) fn settle_within(wanted: &[Wanted]) -> String {
    // Which of several was refused, nobody says.
    let who = match wanted {
        [one] => holder(&one.claim.key),
        _ => String::new(),
    };
    format!("ROLLBACK TO SAVEPOINT dlock;RELEASE SAVEPOINT dlock;{who}")
}

pub(super) fn give(held: &[Wanted]) -> String {
    let each: Vec<String> =
        held.iter().rev().map(|one| call("pg_advisory_unlock", &one.claim)).collect();
    format!("SELECT 'dlock',pg_catalog.concat({}),pg_catalog.pg_backend_pid()", each.join(","))
}

pub(super) fn answer(rows: &[Row]) -> Answer {
    const ELSEWHERE: &str = "keep the locks in another database, or use the lease+postgres:// url";
    match called(rows, "dlock") {
        Some([Some(word), Some(pid), Some(inside)]) => match (&**word, pid.parse()) {
            ("yes", Ok(session)) => Answer::Yes { session, inside: inside == "t" },
            ("mine", _) => Answer::Mine,
            ("busy", _) => Answer::Busy,
            ("inside", _) => Answer::Inside,
            ("standby", _) => Answer::Useless {
                what: "locks that exclude the primary's (it is a standby)",
                instead: "connect to the primary",
            },
            ("cockroach", _) => Answer::Useless {
                what: "working advisory locks (CockroachDB grants each to everybody)",
                instead: ELSEWHERE,
            },
            (word, _) => Answer::Strange(word.to_owned()),
        },
        other => Answer::Strange(format!("{other:?}")),
    }
}

pub(super) fn is_inside(rows: &[Row]) -> bool {
    matches!(called(rows, "dlock"), Some([Some(inside)]) if inside == "t")
}

/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
pub(super) fn meaning(code: &str) -> Meaning {
    match code {
        "55P03" => Meaning::Busy,
        "40P01" => Meaning::Deadlock,
        "25P01" => Meaning::NoTransaction,
        "25P02" => Meaning::Aborted,
        "57P01" | "57P02" | "57P05" | "25P03" | "25P04" => Meaning::Ended,
        _ => Meaning::Other,
    }
}

pub(super) fn error(refused: Refused) -> Error {
    postgres_error(LABEL, refused.code.as_deref(), refused.source)
}

fn set(name: &str, value: &str) -> String {
    format!("pg_catalog.set_config('{name}',{value},true)")
}

/// A function of a lock, in the claim's mode.
fn call(function: &str, claim: &Claim) -> String {
    let shared = if claim.mode == Mode::Shared { "_shared" } else { "" };
    match &claim.key {
        NativeKey::Pair(a, b) => {
            format!("pg_catalog.{function}{shared}('{a}'::integer,'{b}'::integer)")
        }
        NativeKey::Id(id) => format!("pg_catalog.{function}{shared}('{id}'::bigint)"),
        // Not made for this database; the hash of the name is as good an id as any.
        NativeKey::Name(name) => {
            let id = crate::Key::from(name.as_str()).id("");
            format!("pg_catalog.{function}{shared}('{id}'::bigint)")
        }
    }
}

/// Rows of `pg_locks` that are of this key. <https://www.postgresql.org/docs/current/view-pg-locks.html>
fn is_of(key: &NativeKey) -> String {
    let (number, space) = crate::backend::postgres_place(key);
    // As the view shows them: without a sign.
    let (classid, objid) = (number.cast_unsigned() >> 32, number.cast_unsigned() & 0xffff_ffff);
    format!(
        "l.locktype OPERATOR(pg_catalog.=) 'advisory' AND l.granted \
         AND l.classid OPERATOR(pg_catalog.=) '{classid}' AND l.objid OPERATOR(pg_catalog.=) '{objid}' \
         AND l.objsubid OPERATOR(pg_catalog.=) '{space}'"
    )
}

/// Whether this session has it, in this mode or in any.
fn is_ours(key: &NativeKey, mode: Option<Mode>) -> String {
    let mode = match mode {
        None => "",
        Some(Mode::Exclusive) => " AND l.mode OPERATOR(pg_catalog.=) 'ExclusiveLock'",
        Some(_) => " AND l.mode OPERATOR(pg_catalog.=) 'ShareLock'",
    };
    format!(
        "EXISTS(SELECT FROM pg_catalog.pg_locks l WHERE {} \
         AND l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid(){mode})",
        is_of(key)
    )
}

/// Who is in the way.
fn holder(key: &NativeKey) -> String {
    format!(
        "SELECT 'holder',pg_catalog.concat_ws(', ',pg_catalog.concat('pid ',l.pid),\
         CASE WHEN a.application_name OPERATOR(pg_catalog.<>) '' \
         THEN pg_catalog.concat('application \"',a.application_name,'\"') END,\
         CASE WHEN a.usename IS NOT NULL THEN pg_catalog.concat('user ',a.usename) END,\
         CASE WHEN a.client_port OPERATOR(pg_catalog.=) '-1' THEN 'local' \
         ELSE pg_catalog.host(a.client_addr) END) \
         FROM pg_catalog.pg_locks l \
         LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid OPERATOR(pg_catalog.=) l.pid \
         WHERE {} AND l.database OPERATOR(pg_catalog.=) (SELECT d.oid FROM pg_catalog.pg_database d \
         WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()) \
         AND l.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid() LIMIT 1",
        is_of(key)
    )
}
