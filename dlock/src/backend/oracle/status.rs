//! Who holds and who waits, as far as the server lets it be seen.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Oracle;
use super::errors::is_right;
use super::session::Session;
use super::session_sql::{end, mode_of, number_of};
use super::table::{self, Row};
use crate::backend::{BatchItem, LockView, Op, SessionTag, SessionView, SessionViews, counted};
use crate::error::{Error, Result};
use crate::spec::lock_id::LockId;
use crate::spec::native::{NativeKey, USER_LOCK_ID_MAX};
use crate::status::Finding;

/// User locks of all instances, the sessions and the names. `ctime`: for how many seconds it has been
/// held in this mode, or waited for.
/// <https://docs.oracle.com/en/database/oracle/oracle-database/19/refrn/V-LOCK.html>
const LOCKS: &str = "gv$lock l \
    LEFT JOIN gv$session s ON s.inst_id = l.inst_id AND s.sid = l.sid \
    LEFT JOIN sys.dbms_lock_allocated a ON a.lockid = l.id1 \
    WHERE l.type = 'UL'";
const COLUMNS: &str = "SELECT TO_CHAR(l.inst_id), TO_CHAR(l.sid), TO_CHAR(l.id1), a.name, \
    TO_CHAR(l.lmode), TO_CHAR(l.request), TO_CHAR(l.ctime), s.program, s.username, s.machine FROM ";
/// No such session; it is marked to be ended; it is this one.
const NO_SESSION: usize = 30;
const IS_ENDING: usize = 31;
const IS_THIS: usize = 27;

fn of_key(key: &NativeKey) -> String {
    match key {
        NativeKey::Id(id) => format!(" AND l.id1 = {id}"),
        other => format!(" AND a.name = '{}'", other.to_string().replace('\'', "''")),
    }
}

/// Where a statement finds the holders of a key.
pub(crate) fn holders_of(key: &NativeKey) -> String {
    format!("{LOCKS}{} AND l.lmode > 0", of_key(key))
}

/// To be run by hand: a row for each holder.
pub(super) fn explain(key: &NativeKey) -> String {
    format!(
        "SELECT l.inst_id, l.sid, s.serial#, l.lmode, s.username, s.machine, s.program FROM {}",
        holders_of(key)
    )
}

impl SessionViews for Oracle {
    /// Without the right to see the server's locks there is nothing to be seen: to try a lock so as
    /// to know whether it is held would be in others' way.
    async fn status(&self, session: &mut Session, of: Option<&NativeKey>) -> Result<Vec<LockView>> {
        let of_key = of.map(of_key).unwrap_or_default();
        let sql = format!("{COLUMNS}{LOCKS}{of_key}");
        let rows = self.if_allowed(session, sql).await?;
        Ok(seen(&rows.unwrap_or_default(), of))
    }

    /// Which of the server's sessions have these numbers now.
    ///
    /// Those who may not see them see no locks either: that is no answer to whether one is held.
    async fn tags(&self, session: &mut Session, ids: &[i64]) -> Result<Vec<SessionTag>> {
        let sql = "SELECT TO_CHAR(inst_id), TO_CHAR(sid), TO_CHAR(serial#) FROM gv$session";
        let rows = table::rows(&session.connection, self.patience(), sql.into()).await;
        let rows = rows.map_err(|error| match is_right(error.kind()) {
            true => Error::permission(&self.label, self.right_to_end(), error.into_source()),
            false => error.into_error(&self.label),
        })?;
        let tag = |row: &Row| {
            let id = number_of(integer(row, 1)?, integer(row, 0)?);
            Some(SessionTag { id, birth: integer(row, 2)? })
        };
        Ok(rows.iter().filter_map(tag).filter(|tag| ids.contains(&tag.id)).collect())
    }

    fn right_to_end(&self) -> &'static str {
        "GRANT ALTER SYSTEM, SELECT_CATALOG_ROLE TO this user"
    }

    async fn check(&self, session: &mut Session) -> Result<Vec<Finding>> {
        self.findings(session).await
    }
}

impl Oracle {
    /// The rows of a query; `None` when this user has no right to it.
    pub(super) async fn if_allowed(
        &self,
        session: &Session,
        sql: String,
    ) -> Result<Option<Vec<Row>>> {
        match table::rows(&session.connection, self.patience(), sql).await {
            Ok(rows) => Ok(Some(rows)),
            Err(error) if is_right(error.kind()) => Ok(None),
            Err(error) => Err(error.into_error(&self.label)),
        }
    }

    /// Has the server end another session, if it may. Returns `false` where it may not, or where
    /// that session has gone.
    pub(super) async fn order(&self, session: &mut Session, op: &BatchItem) -> Result<bool> {
        // A wait ends with its connection.
        let Op::End(tag) = op.what else { return Ok(false) };
        let sql = end(tag);
        let done = session.connection.ask(self.patience(), move |driver| driver.execute(&sql, &[]));
        match done.await.map(drop) {
            Ok(()) => Ok(true),
            Err(error) => match error.number() {
                Some(IS_ENDING) => Ok(true),
                Some(NO_SESSION | IS_THIS) => Ok(false),
                _ if is_right(error.kind()) => Ok(false),
                _ => Err(error.into_error(&self.label)),
            },
        }
    }
}

/// Of rows of [`COLUMNS`].
fn seen(rows: &[Row], of: Option<&NativeKey>) -> Vec<LockView> {
    let mut all: BTreeMap<i64, LockView> = BTreeMap::new();
    for row in rows {
        let Some(lock) = integer(row, 2) else { continue };
        let named = || match text(row, 3) {
            Some(name) => Some(NativeKey::Name(name.to_owned())),
            None => (lock <= USER_LOCK_ID_MAX).then_some(NativeKey::Id(lock)),
        };
        let Some(key) = of.cloned().or_else(named) else { continue };
        let empty = || LockView::new(LockId::exclusive(key));
        let seen = all.entry(lock).or_insert_with(empty);
        // One that converts it does both.
        if let Some(mode) = integer(row, 4).and_then(mode_of) {
            seen.lock_id.mode = mode;
            seen.holders.push(party(row));
        } else if integer(row, 5).and_then(mode_of).is_some() {
            seen.waiters.push(party(row));
        }
    }
    all.into_values().collect()
}

fn party(row: &Row) -> SessionView {
    let id = integer(row, 1).zip(integer(row, 0)).map(|(sid, instance)| number_of(sid, instance));
    let time = counted(integer(row, 6), Duration::from_secs);
    let who = [7, 8, 9].map(|column| text(row, column));
    SessionView::of_program((id, integer(row, 1)), who, time)
}

fn text(row: &Row, column: usize) -> Option<&str> {
    row.get(column)?.as_deref().filter(|text| !text.is_empty())
}

fn integer(row: &Row, column: usize) -> Option<i64> {
    text(row, column)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::mode::Mode;

    #[test]
    fn look_up_by_hand_is_for_this_key() {
        let sql = explain(&NativeKey::Name("it's".into()));
        assert!(sql.contains("a.name = 'it''s' AND l.lmode > 0"), "{sql}");
        assert!(explain(&NativeKey::Id(7)).contains("l.id1 = 7 "));
    }

    #[test]
    fn holders_and_waiters_are_told_apart() {
        let row = |sid: &str, lock: &str, name: Option<&str>, held: &str, wanted: &str| -> Row {
            let fixed = ["1", sid, lock].map(|text| Some(text.to_owned()));
            let rest =
                [held, wanted, "3", "app", "SCOTT", "host"].map(|text| Some(text.to_owned()));
            fixed.into_iter().chain([name.map(str::to_owned)]).chain(rest).collect()
        };
        let rows = [
            row("12", "1073741824", Some("k"), "4", "0"),
            row("13", "1073741824", Some("k"), "0", "6"),
            row("14", "7", None, "6", "0"),
            row("15", "1073741999", None, "6", "0"),
        ];
        let all = seen(&rows, None);
        let [by_number, by_name] = &*all else { unreachable!("{all:?}") };
        assert_eq!(by_number.lock_id, LockId::exclusive(NativeKey::Id(7)));
        assert_eq!(by_name.lock_id.mode, Mode::Shared);
        assert_eq!((by_name.holders.len(), by_name.waiters.len()), (1, 1));
        assert_eq!(by_name.holders[0].holder.who, "app, SCOTT@host, session 12");
        assert_eq!(by_name.holders[0].holder.held_for, Some(Duration::from_secs(3)));
    }
}
