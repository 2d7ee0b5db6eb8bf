//! Oracle: user locks of the session, and those that end with the transaction (`release_on_commit`).
//!
//! <https://docs.oracle.com/en/database/oracle/oracle-database/19/arpls/DBMS_LOCK.html>
//!
//! Each text is a part of a PL/SQL block, which [`block`] makes whole: rows are lines of its one
//! answer. Nothing of it commits, for names are allocated by a transaction of their own. The server
//! does not count how often a session has a lock: the [ledger](crate::connection::ledger) does.

use super::errors::{Code, STANDBY, kind, of_number};
use super::session_sql::{self, mode};
use super::status::holders_of;
use crate::backend::errors::{ErrorKind, NotExclusive};
use crate::connection::dialect::{Dialect, Take, milliseconds};
use crate::connection::row::{DriverError, Row};
use crate::connection::session::Session;
use crate::connection::wanted::Wanted;
use crate::error::Error;
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;
use crate::spec::native::{Naming, NativeKey};
use crate::spec::wait::Wait;

/// Which session answers.
const SESSION: &str = "SYS_CONTEXT('USERENV','SID') || CHR(9) || DBMS_SESSION.UNIQUE_SESSION_ID";
const NO_TRANSACTION: &str = "DBMS_TRANSACTION.LOCAL_TRANSACTION_ID IS NULL";
/// The server compares the names of locks, and may do so without regard to case where the session
/// compares like that. A standby's locks exclude nobody elsewhere.
const REFUSED: &str = "dlock_word := 'a'; \
    IF dlock_word = UPPER(dlock_word) THEN dlock_word := 'nls'; \
    ELSIF SYS_CONTEXT('USERENV','DATABASE_ROLE') <> 'PRIMARY' THEN dlock_word := 'replica'; ";
const IGNORES_CASE: NotExclusive = NotExclusive {
    what: "locks by name where the session compares without regard to case",
    instead: "ALTER SESSION SET NLS_COMP=BINARY NLS_SORT=BINARY first, or lock Key::native",
};
/// The longest that one request waits (`MAXWAIT`).
const SECONDS_MAX: u64 = 32_767;

/// What is told to a caller's connection.
pub enum OracleDialect {}

impl Dialect for OracleDialect {
    const NAMING: Naming = Naming::UserLock;
    const LABEL: &'static str = "oracle";
    const MODES: &'static [Mode] = session_sql::MODES;
    const OTHER_MODES: &'static str = "it has all but update ones; exclusive and shared sub-exclusive \
    ones are next to that";
    const COUNTS: bool = false;

    fn look() -> String {
        row(&format!("'dlock' || CHR(9) || CASE WHEN {NO_TRANSACTION} THEN 'f' ELSE 't' END"))
    }

    fn take(take: &Take<'_>) -> String {
        let lock_id = &take.wanted.lock_id;
        format!(
            "{REFUSED}ELSE {}dlock_word := {WORD}; END IF; {}",
            request(lock_id, take.wait, false),
            told()
        )
    }

    /// Those before the one that is refused are given back. Each waits as long as one would.
    fn take_within(wanted: &[Wanted], wait: Wait) -> Option<String> {
        let mut text = format!("{REFUSED}ELSE dlock_word := 'yes'; END IF; ");
        for one in wanted {
            text.push_str(&format!(
                "IF dlock_word = 'yes' THEN {}dlock_word := {WORD}; \
                 IF dlock_code = 0 THEN dlock_count := dlock_count + 1; END IF; END IF; ",
                request(&one.lock_id, wait, true)
            ));
        }
        for (index, one) in wanted.iter().enumerate() {
            text.push_str(&format!(
                "IF dlock_word <> 'yes' AND dlock_count > {index} THEN {}END IF; ",
                release(&one.lock_id)
            ));
        }
        text.push_str(&told());
        Some(text)
    }

    /// There is no lock of a wait that has ended, and nothing was set.
    fn resolve_within(_: &[Wanted]) -> String {
        row("'settled'")
    }

    fn around_releases() -> (String, String) {
        (String::new(), row(&format!("'settled' || CHR(9) || {SESSION}")))
    }

    fn release_if_held(lock_id: &LockId, but: Option<&Session>) -> String {
        let but =
            but.map_or_else(String::new, |session| format!("IF NOT {} THEN ", is_session(session)));
        let end = if but.is_empty() { "" } else { "END IF; " };
        format!(
            "dlock_code := NULL; {but}{}{end}{}",
            release(lock_id),
            row("'given' || CHR(9) || CASE dlock_code WHEN 0 THEN 't' END")
        )
    }

    /// Where the right is missing, nobody says.
    fn holder(lock_id: &LockId, _: bool) -> String {
        let query = format!(
            "SELECT s.program || ', ' || s.username || '@' || s.machine || ', session ' || l.sid FROM {} \
             AND ROWNUM = 1",
            holders_of(&lock_id.key)
        );
        format!(
            "BEGIN EXECUTE IMMEDIATE {} INTO dlock_word; {}; EXCEPTION WHEN OTHERS THEN NULL; END",
            quoted(&query),
            row("'holder' || CHR(9) || dlock_word")
        )
    }

    fn release_held(held: &[Wanted], session: &Session, open: bool) -> String {
        let open = match open {
            true => String::new(),
            false => format!("ELSIF NOT ({NO_TRANSACTION}) THEN dlock_word := 'open'; "),
        };
        let mut text = format!(
            "dlock_word := ''; IF NOT {} THEN dlock_word := ''; {open}ELSE ",
            is_session(session)
        );
        for one in held.iter().rev() {
            // Others on the session have it too.
            if !one.stays {
                text.push_str(&release(&one.lock_id));
            } else {
                text.push_str("dlock_code := 0; ");
            }
            text.push_str(
                "dlock_word := dlock_word || CASE dlock_code WHEN 0 THEN 't' ELSE 'f' END; ",
            );
        }
        format!("{text}END IF; {}", told())
    }

    fn not_exclusive(word: &str) -> Option<NotExclusive> {
        match word {
            "replica" => Some(STANDBY),
            "nls" => Some(IGNORES_CASE),
            _ => None,
        }
    }

    fn explained(word: &str) -> String {
        let code = word.strip_prefix("code ").and_then(|code| Code::of(code.parse().ok()?));
        code.map_or_else(|| word.to_owned(), |code| format!("{code:?}"))
    }

    fn error_kind(code: &str) -> ErrorKind {
        code.parse().map_or(ErrorKind::Other, kind)
    }

    fn error(refused: DriverError) -> Error {
        let number = refused.code.as_deref().and_then(|code| code.parse().ok());
        of_number(Self::LABEL, number, refused.source)
    }
}

/// The whole of a block, with its one answer.
pub(crate) fn block(text: &str) -> String {
    format!(
        "DECLARE dlock_rows VARCHAR2(32767); dlock_word VARCHAR2(4000); dlock_handle VARCHAR2(128); \
         dlock_code INTEGER; dlock_count INTEGER := 0; \
         BEGIN {text}; :dlock := dlock_rows; END;"
    )
}

/// The rows of an answer.
pub(crate) fn rows(answer: Option<&str>) -> Vec<Row> {
    let row = |line: &str| line.split('\t').map(|column| Some(column.to_owned())).collect();
    answer.unwrap_or_default().lines().map(row).collect()
}

/// Adds a row with these columns.
fn row(columns: &str) -> String {
    format!("dlock_rows := dlock_rows || {columns} || CHR(10)")
}

fn told() -> String {
    row(&format!("'dlock' || CHR(9) || dlock_word || CHR(9) || {SESSION}"))
}

/// What a return code says.
const WORD: &str = "CASE dlock_code WHEN 0 THEN 'yes' WHEN 1 THEN 'busy' WHEN 2 THEN 'deadlock' \
    WHEN 4 THEN 'mine' ELSE 'code ' || dlock_code END";

/// The lock, as an argument, after what finds it.
fn lock(lock_id: &LockId) -> (String, String) {
    match &lock_id.key {
        NativeKey::Id(id) => (String::new(), id.to_string()),
        key => (
            format!(
                "SYS.DBMS_LOCK.ALLOCATE_UNIQUE_AUTONOMOUS({}, dlock_handle); ",
                quoted(&key.to_string())
            ),
            "dlock_handle".to_owned(),
        ),
    }
}

/// The server waits whole seconds; what is left of the time is for tries. Never shorter than asked.
fn request(lock_id: &LockId, wait: Wait, within: bool) -> String {
    let (find, lock) = lock(lock_id);
    let millis = milliseconds(wait).unwrap_or(u64::MAX);
    let seconds = (millis / 1000).min(SECONDS_MAX);
    let mode = mode(lock_id.mode);
    let to_commit = if within { "TRUE" } else { "FALSE" };
    let mut text = format!(
        "{find}dlock_code := SYS.DBMS_LOCK.REQUEST({lock}, {mode}, {seconds}, {to_commit}); "
    );
    let tries = (millis % 1000).div_ceil(10);
    if millis != u64::MAX && tries > 0 {
        text.push_str(&format!(
            "FOR dlock_try IN 1..{tries} LOOP EXIT WHEN dlock_code <> 1; SYS.DBMS_LOCK.SLEEP(0.01); \
             dlock_code := SYS.DBMS_LOCK.REQUEST({lock}, {mode}, 0, {to_commit}); END LOOP; "
        ));
    }
    text
}

fn release(lock_id: &LockId) -> String {
    let (find, lock) = lock(lock_id);
    format!("{find}dlock_code := SYS.DBMS_LOCK.RELEASE({lock}); ")
}

fn is_session(session: &Session) -> String {
    format!("(DBMS_SESSION.UNIQUE_SESSION_ID = '{}')", session.born)
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::connection::dialect::Answer;

    fn wanted(name: &str, stays: bool) -> Wanted {
        let lock_id = LockId::exclusive(NativeKey::Name(name.into()));
        Wanted { key: name.into(), lock_id, stays }
    }

    #[test]
    fn waits_are_never_shorter_than_asked() {
        let lock_id = LockId::exclusive(NativeKey::Id(7));
        let text = request(&lock_id, Wait::For(Duration::from_millis(2_301)), false);
        assert!(text.contains("REQUEST(7, 6, 2, FALSE)") && text.contains("1..31 LOOP"), "{text}");
        let once = request(&lock_id, Wait::NoWait, true);
        assert_eq!(once, "dlock_code := SYS.DBMS_LOCK.REQUEST(7, 6, 0, TRUE); ");
        let forever = request(&lock_id, Wait::Forever, false);
        assert!(forever.contains("32767") && !forever.contains("LOOP"), "{forever}");
    }

    #[test]
    fn what_others_on_the_session_hold_is_not_released() {
        let session = Session { id: 1, born: "00AB".into() };
        let text = OracleDialect::release_held(
            &[wanted("it's", false), wanted("b", true)],
            &session,
            true,
        );
        assert_eq!(text.matches("RELEASE(").count(), 1, "{text}");
        assert!(text.contains("'it''s'"), "{text}");
    }

    #[test]
    fn rows_are_read_from_lines() {
        let answer = rows(Some("given\t\ndlock\tyes\t12\t00AB\n"));
        assert_eq!(answer.len(), 2);
        let session = Session { id: 12, born: "00AB".into() };
        assert_eq!(OracleDialect::answer(&answer), Answer::Yes { session, inside: false });
        assert_eq!(
            OracleDialect::answer(&rows(Some("dlock\tcode 5\t1\tA\n"))),
            Answer::UnexpectedReply("Handle".into())
        );
        assert_eq!(OracleDialect::answer(&rows(None)), Answer::UnexpectedReply("None".into()));
    }
}
