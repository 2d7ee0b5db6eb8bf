//! The statements.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::iter::repeat_n;

use crate::backend::{BatchItem, Op, SessionTag, lease};
use crate::spec::key::Key;
use crate::spec::lock_id::LockId;
use crate::spec::native::NativeKey;
use crate::text::{hex, unhexed};

/// A proxy may answer `SELECT CONNECTION_ID()` alone, with an id of its own.
pub(super) const LOOK_AT_ID: &str = "SELECT 1,CONNECTION_ID()";

/// A sign of life.
pub(super) fn ping(proof: &str) -> String {
    format!("SELECT 1,{proof}")
}
pub(super) const UNLOCK_ALL: &str = "SELECT RELEASE_ALL_LOCKS()";

/// In answers of a character each, and so in the statements for them.
pub(super) const NULL: char = '-';

/// What the server knows a key by.
fn bare_name(key: &NativeKey) -> Cow<'_, str> {
    match key {
        NativeKey::Name(name) => name.into(),
        // Not what this backend is asked for.
        other => Key::of_native(other).short_name("").into(),
    }
}

/// The same, as it stands in a statement.
pub(crate) fn name(key: &NativeKey) -> String {
    literal(&bare_name(key))
}

/// A string that means the same in every `sql_mode` and in every character set that a connection
/// can have.
pub(crate) fn literal(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-.:/,=@+~".contains(&b);
    if text.bytes().all(plain) {
        return ["'", text, "'"].concat();
    }
    let mut literal = String::from("_utf8mb4 x'");
    text.bytes().for_each(|byte| hex(byte, &mut literal));
    literal.push('\'');
    literal
}

/// One column: an answer of a character for each of these expressions, in their order (arguments of
/// `CONCAT` are evaluated from left to right), a slash, and the proof that session and server are
/// what they were. Each further column would cost server and client more than a lock does.
fn flags<T>(
    proof: &str,
    each: impl IntoIterator<Item = T>,
    expression: impl Fn(&mut String, T),
) -> String {
    let mut sql = String::with_capacity(256);
    sql.push_str("SELECT CONCAT(");
    for one in each {
        sql.push_str("IFNULL(");
        expression(&mut sql, one);
        // Writing to a String cannot fail.
        let _ = write!(sql, ",'{NULL}'),");
    }
    // With a name: else the server makes one of the whole expression. Writing to a String cannot fail.
    let _ = write!(sql, "'/',{proof}) a");
    sql
}

/// Tries and unlocks. A session that has a lock would get it once more, and names that we tell
/// apart may be one to a server that ignores case: such a one is asked first.
pub(super) fn batch(proof: &str, ops: &[BatchItem], ignores_case: bool) -> String {
    batch_of(proof, ops, ignores_case, |lock_id| name(&lock_id.key).into())
}

/// The same to be prepared: with a mark for each of the [names].
pub(super) fn form(proof: &str, ops: &[BatchItem], ignores_case: bool) -> String {
    batch_of(proof, ops, ignores_case, |_| "?".into())
}

/// The names in a batch, in their order, as often as they are in it.
pub(super) fn names(ops: &[BatchItem], ignores_case: bool) -> impl Iterator<Item = Cow<'_, str>> {
    ops.iter().flat_map(move |op| match &op.what {
        Op::Try(lock_id) | Op::TryFenced(lock_id) => {
            repeat_n(bare_name(&lock_id.key), if ignores_case { 2 } else { 1 })
        }
        Op::Fence(lock_id) | Op::Unlock(lock_id) => repeat_n(bare_name(&lock_id.key), 1),
        Op::Cancel(_) | Op::End(_) => repeat_n("".into(), 0),
    })
}

fn batch_of(
    proof: &str,
    ops: &[BatchItem],
    ignores_case: bool,
    name: impl Fn(&LockId) -> Cow<'static, str>,
) -> String {
    flags(proof, ops, |sql, op| {
        // Writing to a String cannot fail.
        let _ = match &op.what {
            Op::Try(lock_id) | Op::TryFenced(lock_id) if ignores_case => {
                let name = name(lock_id);
                write!(sql, "IF({},0,GET_LOCK({name},0))", is_ours(&name))
            }
            Op::Try(lock_id) | Op::TryFenced(lock_id) => {
                write!(sql, "GET_LOCK({},0)", name(lock_id))
            }
            Op::Fence(lock_id) => write!(sql, "{}", is_ours(&name(lock_id))),
            Op::Unlock(lock_id) => write!(sql, "RELEASE_LOCK({})", name(lock_id)),
            // Orders go out on their own.
            Op::Cancel(_) | Op::End(_) => write!(sql, "NULL"),
        };
    })
}

fn is_ours(name: &str) -> String {
    format!("IS_USED_LOCK({name})=CONNECTION_ID()")
}

/// The same, and then a token for each that is to have one, if it is ours. A row that is somebody's
/// lease stays it. Rows are written in the order of their names, so that two who write the same ones
/// do not meet in a deadlock, and read before others can write them.
pub(super) fn fenced(proof: &str, table: &str, ops: &[BatchItem], ignores_case: bool) -> String {
    let mut rows: Vec<(String, &LockId)> = ops
        .iter()
        .filter_map(|op| match &op.what {
            Op::TryFenced(lock_id) | Op::Fence(lock_id) => {
                Some((binary(&lease::name(&lock_id.key)), lock_id))
            }
            _ => None,
        })
        .collect();
    rows.sort();
    let mut sql = batch(proof, ops, ignores_case);
    sql.push_str(";START TRANSACTION");
    for (name, lock_id) in &rows {
        // Writing to a String cannot fail.
        let _ = write!(
            sql,
            ";INSERT INTO {table} (name,owner,fence,acquired_at,expires_at) \
             SELECT {name},'',{FIRST_FENCE},UTC_TIMESTAMP(6),'2000-01-01' FROM DUAL WHERE {} \
             ON DUPLICATE KEY UPDATE fence=fence+1",
            is_ours(&self::name(&lock_id.key))
        );
    }
    let names: Vec<&str> = rows.iter().map(|(name, _)| name.as_str()).collect();
    let _ =
        write!(sql, ";SELECT name,fence FROM {table} WHERE name IN ({});COMMIT", names.join(","));
    sql
}

/// The token of a row that is new: microseconds of the server's clock since 2020. A row that has been
/// deleted had fewer grants than microseconds.
pub(crate) const FIRST_FENCE: &str = "TIMESTAMPDIFF(MICROSECOND,'2020-01-01',UTC_TIMESTAMP(6))";

/// Bytes that no character set has a part in.
fn binary(text: &str) -> String {
    let mut literal = String::from("x'");
    text.bytes().for_each(|byte| hex(byte, &mut literal));
    literal.push('\'');
    literal
}

pub(super) fn held(proof: &str, lock_ids: &[LockId]) -> String {
    flags(proof, lock_ids, |sql, lock_id| sql.push_str(&is_ours(&name(&lock_id.key))))
}

pub(super) fn unlock(proof: &str, name: &str) -> String {
    format!("SELECT RELEASE_LOCK({name}),{proof}")
}

/// How a waiting statement begins, but for a hint, by which it is recognized in the list of
/// processes.
const WAITS: [&str; 2] = ["SELECT ", "GET_LOCK("];

/// The comment shows, in the list of processes, who waits.
pub(super) fn wait(
    proof: &str,
    name: &str,
    (hint, seconds): &(String, String),
    who: Option<&str>,
) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.:".contains(c) { c } else { '_' };
    let who: String = who.unwrap_or("dlock").chars().map(plain).collect();
    let [select, get_lock] = WAITS;
    format!("{select}{hint}{get_lock}{name},{seconds}),{proof} /* {who} */")
}

/// What a statement waits for, and who that says of itself.
pub(crate) fn read_wait(sql: &str) -> Option<(String, Option<String>)> {
    let [select, get_lock] = WAITS;
    let sql = sql.strip_prefix(select)?;
    let sql = match sql.strip_prefix("/*+ ") {
        Some(hint) => hint.split_once(" */ ")?.1,
        None => sql,
    };
    let (name, rest) = sql.strip_prefix(get_lock)?.split_once("',")?;
    let name = match name.split_once('\'')? {
        ("", plain) => plain.to_owned(),
        ("_utf8mb4 x", hex) => String::from_utf8(unhexed(hex)?).ok()?,
        _ => return None,
    };
    let who = rest.split_once("/* ").and_then(|(_, who)| who.split_once(" */"));
    Some((name, who.map(|(who, _)| who.to_owned())))
}

/// Who holds these: ids with commas between.
pub(super) fn holders(keys: &[NativeKey]) -> String {
    let ids: Vec<String> =
        keys.iter().map(|key| format!("IFNULL(IS_USED_LOCK({}),'{NULL}')", name(key))).collect();
    format!("SELECT CONCAT_WS(',',{})", ids.join(","))
}

/// Which server it is, in which second it was started, and a number that it drew at random then (for
/// one that is restarted in that second): everybody may ask for them, and they can stand in a `KILL`,
/// where a subquery cannot.
/// <https://dev.mysql.com/doc/refman/8.4/en/miscellaneous-functions.html#function_uuid-short>
pub(super) const BIRTH: &str = "((UUID_SHORT()>>24)<<16|CONV(SUBSTR(UUID(),20,4),16,10))";

/// To another session: to none, which there is not, if the server is not the one that had it.
pub(super) fn order(op: &BatchItem) -> String {
    let its_own = |SessionTag { id, birth }| format!("IF({BIRTH}={birth},{id},0)");
    match op.what {
        Op::Cancel(tag) => format!("KILL QUERY {}", its_own(tag)),
        Op::End(tag) => format!("KILL CONNECTION {}", its_own(tag)),
        Op::Try(_) | Op::TryFenced(_) | Op::Fence(_) | Op::Unlock(_) => LOOK_AT_ID.into(),
    }
}

/// To be run by hand: a row when somebody holds it.
pub(super) fn explain(name: &str) -> String {
    format!(
        "SELECT IS_USED_LOCK({name}) AS connection_id FROM DUAL \
         WHERE IS_USED_LOCK({name}) IS NOT NULL"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mark_has_its_name() {
        let lock_id = |name: &str| LockId::exclusive(NativeKey::Name(name.into()));
        let item = |what| BatchItem { what, ticket: 0 };
        let ops = [item(Op::Unlock(lock_id("it's"))), item(Op::Try(lock_id("b")))];
        for (ignores_case, expected) in [(false, "it's b"), (true, "it's b b")] {
            let found: Vec<_> = names(&ops, ignores_case).collect();
            assert_eq!(found.join(" "), expected);
            let sql = form("CONNECTION_ID()", &ops, ignores_case);
            let filled = found.iter().fold(sql, |sql, name| sql.replacen('?', &literal(name), 1));
            assert_eq!(filled, batch("CONNECTION_ID()", &ops, ignores_case));
        }
    }

    #[test]
    fn only_plain_text_stands_as_it_is() {
        assert_eq!(literal("user:42~c3"), "'user:42~c3'");
        for (text, hex) in [
            ("it's", "69742773"),
            ("a\\", "615c"),
            ("é", "c3a9"),
            ("\0", "00"),
            ("a b", "612062"),
            ("*/", "2a2f"),
        ] {
            assert_eq!(literal(text), format!("_utf8mb4 x'{hex}'"));
        }
        let limits = ("/*+ MAX_EXECUTION_TIME(9) */ ".to_owned(), "1".to_owned());
        let wait = wait("CONNECTION_ID()", "'k'", &limits, Some("*/ DROP é"));
        assert_eq!(
            wait,
            "SELECT /*+ MAX_EXECUTION_TIME(9) */ GET_LOCK('k',1),CONNECTION_ID() /* ___DROP__ */"
        );
    }

    #[test]
    fn waits_are_recognized() {
        for key in ["user:42", "it's é", ""] {
            for hint in ["", "/*+ MAX_EXECUTION_TIME(9) */ "] {
                let limits = (hint.to_owned(), "30".to_owned());
                let sql = wait("CONNECTION_ID()", &literal(key), &limits, Some("app"));
                assert_eq!(read_wait(&sql), Some((key.to_owned(), Some("app".to_owned()))));
            }
        }
        let other = "SELECT GET_LOCK('k', 10)";
        assert_eq!(read_wait(other), Some(("k".to_owned(), None)));
        for sql in ["SELECT 1", "SELECT GET_LOCK(?,1)", "SELECT GET_LOCK(_utf8mb4 x'f',1)"] {
            assert_eq!(read_wait(sql), None);
        }
    }
}
