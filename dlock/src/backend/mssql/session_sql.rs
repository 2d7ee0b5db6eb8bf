//! The statements of session locks.
//!
//! They go out as `sp_executesql` with the names as parameters, so that the server keeps one plan for
//! each shape and not one for each key. Return codes come back as columns of one row: a reply without
//! one is a missing row or a NULL, and never a grant.
//!
//! <https://learn.microsoft.com/sql/relational-databases/system-stored-procedures/sp-getapplock-transact-sql>

use std::fmt::Write as _;

use crate::backend::{BatchItem, Op, SessionTag};
use crate::spec::mode::Mode;

/// Which session an answer comes from: the last two columns of every row.
pub(super) const PROOF: &str = "@@SPID,CONTEXT_INFO()";

/// A sign of life.
pub(super) const PING: &str = "SELECT @@SPID,CONTEXT_INFO()";

/// How the server calls a mode.
pub(crate) fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Shared => "Shared",
        Mode::Update => "Update",
        _ => "Exclusive",
    }
}

/// A string that means the same whatever the session's settings are.
pub(super) fn quoted(text: &str) -> String {
    format!("N'{}'", text.replace('\'', "''"))
}

/// Tries and unlocks, in their order. The names are the parameters. An unlock of what is not held
/// would be an error of its own (1223), so the session looks first.
pub(super) fn batch<'a>(ops: impl Iterator<Item = &'a Op> + Clone) -> String {
    let mut sql = String::with_capacity(256);
    declare(&mut sql, ops.clone().count());
    for (n, what) in (1..).zip(ops) {
        // Writing to a String cannot fail.
        let _ = match what {
            Op::Try(id) | Op::TryFenced(id) => write!(
                sql,
                "EXEC @r{n}=sp_getapplock @Resource=@P{n},@LockMode='{}',@LockOwner='Session',\
                 @LockTimeout=0;",
                mode(id.mode)
            ),
            Op::Unlock(_) => write!(
                sql,
                "IF APPLOCK_MODE('public',@P{n},'Session')='NoLock' SET @r{n}=-999 \
                 ELSE EXEC @r{n}=sp_releaseapplock @Resource=@P{n},@LockOwner='Session';"
            ),
            Op::Fence(_) => write!(sql, "{}", held_into(n)),
            // Orders go out on their own.
            Op::Cancel(_) | Op::End(_) => Ok(()),
        };
    }
    sql.push_str(SELECT);
    sql
}

/// How the row of codes begins.
pub(super) const SELECT: &str = "SELECT ";

/// The columns of a batch of `count`: its codes, and the proof.
pub(super) fn columns(sql: &mut String, count: usize) {
    for n in 1..=count {
        // Writing to a String cannot fail.
        let _ = write!(sql, "@r{n},");
    }
    sql.push_str(PROOF);
}

fn declare(sql: &mut String, count: usize) {
    for n in 1..=count {
        // Writing to a String cannot fail.
        let _ = write!(sql, "{}@r{n} int", if n == 1 { "DECLARE " } else { "," });
    }
    sql.push(';');
}

fn held_into(n: usize) -> String {
    format!(
        "SET @r{n}=CASE WHEN APPLOCK_MODE('public',@P{n},'Session')='NoLock' THEN -999 ELSE 0 END;"
    )
}

/// Which of these names the session holds: 0, or -999.
pub(super) fn held(count: usize) -> String {
    let mut sql = String::new();
    declare(&mut sql, count);
    (1..=count).for_each(|n| sql.push_str(&held_into(n)));
    sql.push_str(SELECT);
    columns(&mut sql, count);
    sql
}

/// Waits for a name, `@P1`, at most `@P2` milliseconds.
pub(super) fn wait(wanted: Mode) -> String {
    format!(
        "DECLARE @r1 int;EXEC @r1=sp_getapplock @Resource=@P1,@LockMode='{}',\
         @LockOwner='Session',@LockTimeout=@P2;SELECT @r1,{PROOF}",
        mode(wanted)
    )
}

/// Has a name that is held, `@P1`, in a stronger mode, waiting at most `@P2` milliseconds. The server
/// holds the union of both modes until the last release, and counts: so the first one goes back at
/// once. What is held in the end is the third column.
pub(super) fn convert(wanted: Mode) -> String {
    format!(
        "DECLARE @r1 int,@r2 int;EXEC @r1=sp_getapplock @Resource=@P1,@LockMode='{}',\
         @LockOwner='Session',@LockTimeout=@P2;\
         IF @r1>=0 EXEC @r2=sp_releaseapplock @Resource=@P1,@LockOwner='Session';\
         SELECT @r1,@r2,APPLOCK_MODE('public',@P1,'Session'),{PROOF}",
        mode(wanted)
    )
}

/// Ends another session, if it is the one that had this number then: the answer is 1. Numbers are given
/// out again.
pub(super) fn end(SessionTag { id, birth }: SessionTag) -> String {
    format!(
        "IF EXISTS(SELECT 1 FROM sys.dm_exec_sessions WHERE session_id={id} AND {BIRTH}={birth}) \
         BEGIN KILL {id};SELECT 1 END ELSE SELECT 0"
    )
}

/// Number and birth of each of these sessions that is there.
pub(super) fn tags(ids: &[i64]) -> String {
    let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
    format!(
        "SELECT CAST(session_id AS int),{BIRTH} FROM sys.dm_exec_sessions WHERE session_id IN ({})",
        ids.join(",")
    )
}

/// When a session began.
pub(super) const BIRTH: &str = "DATEDIFF_BIG(millisecond,'2000-01-01',login_time)";

/// The order about another session, if this is one.
pub(super) fn order(op: &BatchItem) -> Option<String> {
    match op.what {
        Op::End(tag) => Some(end(tag)),
        // A wait ends with its connection.
        Op::Cancel(_) | Op::Try(_) | Op::TryFenced(_) | Op::Fence(_) | Op::Unlock(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::lock_id::LockId;
    use crate::spec::native::NativeKey;

    #[test]
    fn a_batch_is_one_statement_of_one_shape() {
        let id = |mode| LockId { key: NativeKey::Name("it's".into()), mode };
        let ops = [Op::Try(id(Mode::Update)), Op::Unlock(id(Mode::Exclusive))];
        let mut sql = batch(ops.iter());
        columns(&mut sql, ops.len());
        assert_eq!(
            sql,
            "DECLARE @r1 int,@r2 int;\
             EXEC @r1=sp_getapplock @Resource=@P1,@LockMode='Update',@LockOwner='Session',\
             @LockTimeout=0;\
             IF APPLOCK_MODE('public',@P2,'Session')='NoLock' SET @r2=-999 \
             ELSE EXEC @r2=sp_releaseapplock @Resource=@P2,@LockOwner='Session';\
             SELECT @r1,@r2,@@SPID,CONTEXT_INFO()"
        );
    }
}
