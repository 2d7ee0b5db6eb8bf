//! PostgreSQL: advisory locks, of the session and of the transaction.
//!
//! <https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADVISORY-LOCKS>
//!
//! Everything is sent as text in the simple protocol: so one message can have several statements,
//! and where no transaction is open, `now()` is the time of the very message and all of it is one
//! transaction, whose `SET LOCAL` ends with it. Every function, type and operator is named with its
//! schema: the search path is the caller's.

mod parts;

use self::parts::{BORN, call, is_ours, is_session, set, who};
use super::errors::{kind, of_code};
use super::server::{COCKROACH, STANDBY};
use crate::backend::errors::{ErrorKind, NotExclusive};
use crate::connection::dialect::{At, Dialect, Take, milliseconds, release_each};
use crate::connection::row::DriverError;
use crate::connection::session::Session;
use crate::connection::wanted::Wanted;
use crate::error::Error;
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;
use crate::spec::native::Naming;
use crate::spec::wait::Wait;

/// Refuses servers whose locks exclude nobody, before any is taken.
const VET: &str = "WHEN pg_catalog.pg_is_in_recovery() THEN 'standby' \
    WHEN pg_catalog.version() OPERATOR(pg_catalog.~) 'Cockroach' THEN 'cockroach'";
const INSIDE: &str = "pg_catalog.now() OPERATOR(pg_catalog.<>) pg_catalog.statement_timestamp()";
/// What a wait of ours has its own limits for. The first statement of a message, for what it sets
/// is true from the second one on.
const UNLIMITED: &str = "pg_catalog.set_config('statement_timeout','0',true)";
/// Ends a session that takes longer for a transaction, on PostgreSQL 17 and newer.
/// <https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-TRANSACTION-TIMEOUT>
const ENDLESS: &str = "CASE WHEN pg_catalog.current_setting('transaction_timeout',true) IS NOT NULL \
    THEN pg_catalog.set_config('transaction_timeout','0',true) END";
/// A client that is gone is noticed, so that it does not stay in the queue with all that it holds.
/// <https://www.postgresql.org/docs/current/runtime-config-connection.html>
const WATCHED: &str = "CASE WHEN pg_catalog.version() OPERATOR(pg_catalog.~) 'linux' AND \
    pg_catalog.current_setting('client_connection_check_interval',true) OPERATOR(pg_catalog.=) '0' \
    THEN pg_catalog.set_config('client_connection_check_interval','500ms',true) END";
const BACK: &str = "ROLLBACK TO SAVEPOINT dlock;RELEASE SAVEPOINT dlock";

/// What is told to a caller's connection.
pub enum PostgresDialect {}

impl Dialect for PostgresDialect {
    const NAMING: Naming = Naming::Id;
    const LABEL: &'static str = "postgres";
    const MODES: &'static [Mode] = &[Mode::Exclusive, Mode::Shared];
    const OTHER_MODES: &'static str = "it has exclusive and shared ones";
    const TELLS_INSIDE: bool = true;
    const REFUSES_AFTER_ERRORS: bool = true;

    /// Of a transaction that has failed the answer is 25P02.
    fn look() -> String {
        format!("SELECT 'dlock',{INSIDE}")
    }

    fn take(take: &Take<'_>) -> String {
        let lock_id = &take.wanted.lock_id;
        let mut text = String::new();
        match (take.inside, take.wait) {
            // What is set here, and an error, end with the savepoint; locks of the session do not.
            (true, Wait::NoWait) => text.push_str(&format!("SAVEPOINT dlock;SELECT {UNLIMITED};")),
            (true, _) => text.push_str(&format!("SAVEPOINT dlock;SELECT {UNLIMITED},{WATCHED};")),
            (false, Wait::NoWait) => {}
            (false, _) => text
                .push_str(&format!("SELECT {UNLIMITED},{ENDLESS},{WATCHED} WHERE NOT {INSIDE};")),
        }
        text.push_str(&format!("SELECT 'dlock',CASE {VET}"));
        if let Some(session) = take.mine {
            text.push_str(&format!(" WHEN {} THEN 'mine'", is_session(session)));
        }
        text.push_str(&format!(" WHEN {} THEN 'yes'", call("pg_try_advisory_lock", lock_id)));
        if take.wait == Wait::NoWait {
            text.push_str(" ELSE 'busy' END");
        } else {
            if !take.inside {
                text.push_str(&format!(" WHEN {INSIDE} THEN 'inside'"));
            }
            text.push_str(&format!(
                " WHEN {} IS NULL THEN '' WHEN {}::pg_catalog.text IS NULL THEN '' ELSE 'yes' END",
                set(
                    "lock_timeout",
                    &format!("'{}'", milliseconds(take.wait).unwrap_or(0).max(least(take.wait)))
                ),
                call("pg_advisory_lock", lock_id)
            ));
        }
        text.push_str(&format!(",pg_catalog.pg_backend_pid(),{BORN},{INSIDE}"));
        if take.inside {
            text.push(';');
            text.push_str(BACK);
        }
        text
    }

    fn take_within(wanted: &[Wanted], wait: Wait) -> Option<String> {
        Some(match (wanted, wait) {
            ([one], Wait::NoWait) => format!(
                "SAVEPOINT dlock;SELECT 'dlock',CASE {VET} WHEN {} THEN 'yes' ELSE 'busy' END,\
                 pg_catalog.pg_backend_pid(),{BORN},true;RELEASE SAVEPOINT dlock",
                call("pg_try_advisory_xact_lock", &one.lock_id)
            ),
            // Of several, those before the one that is refused are given back by the savepoint.
            _ => waiting("pg_advisory_xact_lock", wanted, wait),
        })
    }

    fn resolve_within(_: &[Wanted]) -> String {
        BACK.to_owned()
    }

    /// Of the grant and the end of a wait that have met, the lock is ours all the same.
    fn resolve(lock_ids: &[(&LockId, usize)], but: Option<&Session>, at: At) -> String {
        let mut text = String::new();
        match at {
            At::Outside => {}
            At::Inside => text.push_str("SAVEPOINT dlock;"),
            At::Failed => text.push_str("ROLLBACK TO SAVEPOINT dlock;"),
        }
        text.push_str(&format!("SELECT {UNLIMITED}"));
        if at == At::Outside {
            // Of a transaction that nobody has told of, the limits are left alone.
            text.push_str(&format!(" WHERE NOT {INSIDE}"));
        }
        text.push(';');
        text.push_str(&release_each::<Self>(lock_ids, but));
        text.push_str(&format!("SELECT 'settled',pg_catalog.pg_backend_pid(),{BORN}"));
        if at != At::Outside {
            text.push(';');
            text.push_str(BACK);
        }
        text
    }

    fn release_if_held(lock_id: &LockId, but: Option<&Session>) -> String {
        let but = but.map(|session| format!("NOT {} AND ", is_session(session)));
        format!(
            "SELECT 'given',CASE WHEN {}{} THEN {} END",
            but.unwrap_or_default(),
            is_ours(lock_id),
            call("pg_advisory_unlock", lock_id)
        )
    }

    /// Who is in the way, or has been just now.
    fn holder(lock_id: &LockId, inside: bool) -> String {
        // A limit that is running is not changed but ended, and one that is set then begins anew.
        let bounded = format!(
            "SELECT {UNLIMITED};SELECT {};{}",
            set("statement_timeout", "'1s'"),
            who(&lock_id.key)
        );
        match inside {
            true => format!("SAVEPOINT dlock;{bounded};{BACK}"),
            false => bounded,
        }
    }

    fn undo(inside: bool) -> Option<&'static str> {
        inside.then_some(BACK)
    }

    fn release_held(held: &[Wanted], session: &Session, open: bool) -> String {
        let each: Vec<String> =
            held.iter().rev().map(|one| call("pg_advisory_unlock", &one.lock_id)).collect();
        let open = if open { "" } else { " WHEN INSIDE THEN 'open'" }.replace("INSIDE", INSIDE);
        format!(
            "SELECT 'dlock',CASE WHEN NOT {} THEN ''{open} ELSE pg_catalog.concat({}) END,\
             pg_catalog.pg_backend_pid(),{BORN}",
            is_session(session),
            each.join(",")
        )
    }

    fn not_exclusive(word: &str) -> Option<NotExclusive> {
        match word {
            "standby" => Some(STANDBY),
            "cockroach" => Some(COCKROACH),
            _ => None,
        }
    }

    fn error_kind(code: &str) -> ErrorKind {
        kind(code)
    }

    fn error(refused: DriverError) -> Error {
        of_code(Self::LABEL, refused.code.as_deref(), refused.source)
    }
}

/// No time at all would have no end.
fn least(wait: Wait) -> u64 {
    u64::from(milliseconds(wait).is_some())
}

/// Under a savepoint, so that an error costs the transaction nothing; the caller's time limits are
/// put away and back. All keys together have the time that one would have.
fn waiting(function: &str, wanted: &[Wanted], wait: Wait) -> String {
    let setting = |name: &str| format!("pg_catalog.current_setting('{name}',true)");
    let was = |n: u8| format!("pg_catalog.split_part({},'/',{n})", setting("dlock.was"));
    let mut text = format!(
        "SAVEPOINT dlock;SELECT {},{UNLIMITED},{WATCHED};SELECT 'dlock',CASE {VET}",
        set(
            "dlock.was",
            &format!(
                "pg_catalog.concat({},'/',{},'/',{})",
                setting("lock_timeout"),
                setting("statement_timeout"),
                setting("client_connection_check_interval")
            )
        ),
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
            call(function, &one.lock_id)
        ));
    }
    text.push_str(&format!(
        " ELSE 'yes' END,pg_catalog.pg_backend_pid(),{BORN},true;SELECT {},{},\
         CASE WHEN {} OPERATOR(pg_catalog.<>) '' THEN {} END;RELEASE SAVEPOINT dlock",
        set("lock_timeout", &was(1)),
        set("statement_timeout", &was(2)),
        was(3),
        set("client_connection_check_interval", &was(3)),
    ));
    text
}
