//! Who holds and who waits, as far as the server lets it be seen.

use std::collections::BTreeMap;
use std::time::Duration;

use tiberius::{Query, Row};

use super::Mssql;
use super::errors::kind_of;
use super::results::{self, integer, text};
use super::session::{Session, name};
use super::session_sql::quoted;
use super::{session_sql as sql, table};
use crate::backend::errors::ErrorKind;
use crate::backend::{LockView, SessionTag, SessionView, SessionViews, counted};
use crate::error::Result;
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;
use crate::spec::native::NativeKey;
use crate::status::Finding;

/// Application locks of this database. The name is in `resource_description`: the number of the
/// principal (0 is `public`), the first 32 characters of the name, and a hash of all of it.
/// <https://learn.microsoft.com/sql/relational-databases/system-dynamic-management-views/sys-dm-tran-locks-transact-sql>
const LOCKS: &str = "sys.dm_tran_locks l \
    LEFT JOIN sys.dm_exec_sessions s ON s.session_id=l.request_session_id \
    LEFT JOIN sys.dm_exec_requests r ON r.session_id=l.request_session_id \
    WHERE l.resource_type='APPLICATION' AND l.resource_database_id=DB_ID()";
const COLUMNS: &str = "SELECT CAST(l.request_session_id AS int),l.request_mode,l.request_status,\
    l.resource_description,s.host_name,s.program_name,s.login_name,CAST(r.wait_time AS int) FROM ";
/// Only those of this name: `@P1`, as it is described.
const OF_NAME: &str = " AND LEFT(l.resource_description,DATALENGTH(@P1)/2) \
    COLLATE Latin1_General_100_BIN2=@P1 COLLATE Latin1_General_100_BIN2";
/// Whether anybody holds it, for those who may not see who.
const IS_HELD: &str = "SELECT APPLOCK_TEST('public',@P1,'Exclusive','Session')";
/// How many characters of a name the server shows.
const SHOWN_MAX: usize = 32;
/// What stands for the rest.
const CUT: char = '…';
const BLIND: &str = "somebody (who, needs VIEW SERVER STATE)";

/// How the description of a lock of this name begins.
fn described(name: &str) -> String {
    let shown: String = name.chars().take(SHOWN_MAX).collect();
    let end = if shown.len() == name.len() { "]:(" } else { "" };
    format!("0:[{shown}{end}")
}

/// The name in a description, with a mark at its end if the server shows only its beginning.
fn named(description: &str) -> Option<String> {
    let (_, rest) = description.split_once(":[")?;
    let (name, _) = rest.rsplit_once("]:(")?;
    let whole = name.chars().count() < SHOWN_MAX;
    Some(if whole { name.to_owned() } else { format!("{name}{CUT}") })
}

/// Returns `true` if this is what is shown of a longer name.
fn is_cut(name: &str, shown: &str) -> bool {
    let begins = |shown: &str| shown.chars().count() == SHOWN_MAX && name.starts_with(shown);
    shown.strip_suffix(CUT).is_some_and(begins)
}

/// Where a statement finds the holders of a name, without parameters.
pub(super) fn holders_of(name: &str) -> String {
    let of_name = OF_NAME.replace("@P1", &quoted(&described(name)));
    format!("{LOCKS}{of_name} AND l.request_status='GRANT'")
}

/// To be run by hand: a row for each holder.
pub(super) fn explain(name: &str) -> String {
    format!(
        "SELECT l.request_session_id, l.request_mode, s.host_name, s.program_name, s.login_name FROM {}",
        holders_of(name)
    )
}

impl SessionViews for Mssql {
    async fn status(&self, session: &mut Session, of: Option<&NativeKey>) -> Result<Vec<LockView>> {
        let mut query = Query::new(match of {
            Some(_) => format!("{COLUMNS}{LOCKS}{OF_NAME}"),
            None => format!("{COLUMNS}{LOCKS}"),
        });
        if let Some(key) = of {
            query.bind(described(&name(key)));
        }
        let rows = async { results::first(query.query(&mut session.connection).await?).await };
        match rows.await {
            Ok(rows) => Ok(seen(&rows, of)),
            Err(error) if kind_of(&error) == ErrorKind::NoRight => {
                self.look_blindly(session, of).await
            }
            Err(error) => Err(self.error(error)),
        }
    }

    fn is_shown_cut(&self, key: &NativeKey, shown: &NativeKey) -> bool {
        matches!(shown, NativeKey::Name(shown) if is_cut(&name(key), shown))
    }

    /// Which of the server's sessions have these numbers now.
    async fn tags(&self, session: &mut Session, ids: &[i64]) -> Result<Vec<SessionTag>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let rows = table::rows(&mut session.connection, sql::tags(ids)).await;
        let rows = rows.map_err(|error| self.error(error))?;
        let tag = |row: &Row| {
            let birth = row.try_get::<i64, _>(1).ok().flatten()?;
            Some(SessionTag { id: integer(row, 0)?.into(), birth })
        };
        Ok(rows.iter().filter_map(tag).collect())
    }

    /// <https://learn.microsoft.com/sql/t-sql/language-elements/kill-transact-sql#permissions>
    fn right_to_end(&self) -> &'static str {
        "GRANT ALTER ANY CONNECTION, VIEW SERVER STATE TO this login (Azure SQL Database: KILL DATABASE \
         CONNECTION and VIEW DATABASE STATE)"
    }

    async fn check(&self, session: &mut Session) -> Result<Vec<Finding>> {
        self.findings(session).await
    }
}

impl Mssql {
    /// What is left without the right to see the server's locks: whether a name that is known is
    /// held.
    async fn look_blindly(
        &self,
        session: &mut Session,
        of: Option<&NativeKey>,
    ) -> Result<Vec<LockView>> {
        let Some(key) = of else { return Ok(Vec::new()) };
        let mut query = Query::new(IS_HELD);
        query.bind(name(key));
        let rows = async { results::first(query.query(&mut session.connection).await?).await };
        let rows = rows.await.map_err(|error| self.error(error))?;
        if rows.first().and_then(|row| integer(row, 0)) != Some(0) {
            return Ok(Vec::new());
        }
        let holders = vec![SessionView::new(None, BLIND, None)];
        Ok(vec![LockView { holders, ..LockView::new(LockId::exclusive(key.clone())) }])
    }
}

/// Of rows of [`COLUMNS`].
fn seen(rows: &[Row], of: Option<&NativeKey>) -> Vec<LockView> {
    // Of a long name the server shows the beginning and a hash, so these tell locks apart.
    let mut all: BTreeMap<&str, LockView> = BTreeMap::new();
    for row in rows {
        let Some(description) = text(row, 3) else { continue };
        let named = || named(description).map(NativeKey::Name);
        let Some(key) = of.cloned().or_else(named) else { continue };
        let empty = || LockView::new(LockId::exclusive(key));
        let seen = all.entry(description).or_insert_with(empty);
        match text(row, 2) {
            Some("GRANT") => {
                seen.lock_id.mode = mode(text(row, 1).unwrap_or_default());
                seen.holders.push(party(row));
            }
            Some("WAIT" | "CONVERT" | "LOW_PRIORITY_WAIT") => seen.waiters.push(party(row)),
            _ => {}
        }
    }
    // Two long names that begin alike: which of the two was meant, nobody knows.
    if of.is_some() && all.len() > 1 {
        return Vec::new();
    }
    all.into_values().collect()
}

/// How the server calls a mode there.
fn mode(shown: &str) -> Mode {
    match shown {
        "S" => Mode::Shared,
        "U" => Mode::Update,
        "IS" => Mode::SubShared,
        "IX" => Mode::SubExclusive,
        "SIX" => Mode::SharedSubExclusive,
        _ => Mode::Exclusive,
    }
}

fn party(row: &Row) -> SessionView {
    let id = integer(row, 0).map(i64::from);
    let waits = counted(integer(row, 7), Duration::from_millis);
    let waits = waits.filter(|_| text(row, 2) != Some("GRANT"));
    SessionView::of_program((id, id), [5, 6, 4].map(|column| text(row, column)), waits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_from_their_descriptions() {
        for (name, begins) in [
            ("user:42", "0:[user:42]:("),
            ("a]:(b", "0:[a]:(b]:("),
            (&"x".repeat(40), &format!("0:[{}", "x".repeat(32))),
        ] {
            assert_eq!(described(name), begins);
        }
        assert_eq!(named("0:[user:42]:(8b1f)").as_deref(), Some("user:42"));
        assert_eq!(named("0:[a]:(b]:(8b1f)").as_deref(), Some("a]:(b"));
        let cut = format!("{}…", "x".repeat(32));
        assert_eq!(named(&format!("0:[{}]:(8b1f)", "x".repeat(32))), Some(cut));
        assert_eq!(named("1:2"), None);
        for (name, shown, is_it) in [("x".repeat(40), 32, true), ("x".repeat(32), 32, true)]
            .into_iter()
            .chain([("x".repeat(31), 31, false), ("x".repeat(40), 31, false)])
        {
            assert_eq!(is_cut(&name, &format!("{}…", "x".repeat(shown))), is_it, "{name} {shown}");
            assert!(!is_cut(&name, &format!("{}y…", "x".repeat(shown - 1))));
        }
    }

    #[test]
    fn look_up_by_hand_is_for_this_name() {
        let sql = explain("it's");
        assert!(sql.contains("N'0:[it''s]:('") && !sql.contains("@P1"), "{sql}");
    }
}
