//! Who holds and who waits, as far as the server lets it be seen.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use sqlx::mysql::MySqlRow;

use super::family::Family;
use super::session_sql;
use super::session_sql::name;
use super::{MySql, Session, integer, text};
use crate::backend::{LockView, SessionLocks as _, SessionView, SessionViews, counted};
use crate::error::Result;
use crate::spec::lock_id::LockId;
use crate::spec::native::NativeKey;
use crate::status::Finding;
use crate::status::holder::foreign;

/// MySQL's own view, and the variable that says whose session it is.
/// <https://dev.mysql.com/doc/refman/8.4/en/performance-schema-metadata-locks-table.html>
pub(super) const LOCKS: &str = "SELECT t.PROCESSLIST_ID,t.PROCESSLIST_USER,t.PROCESSLIST_HOST,\
    t.PROCESSLIST_TIME,v.VARIABLE_VALUE,m.OBJECT_NAME,m.LOCK_STATUS,t.PROCESSLIST_DB \
    FROM performance_schema.metadata_locks m \
    LEFT JOIN performance_schema.threads t ON t.THREAD_ID=m.OWNER_THREAD_ID \
    LEFT JOIN performance_schema.user_variables_by_thread v \
    ON v.THREAD_ID=m.OWNER_THREAD_ID AND v.VARIABLE_NAME='dlock' \
    WHERE m.OBJECT_TYPE='USER LEVEL LOCK'";
/// MariaDB's, of a plugin, without waiters.
/// <https://mariadb.com/kb/en/metadata-lock-info-plugin/>
pub(super) const HOLDERS: &str = "SELECT THREAD_ID,TABLE_SCHEMA \
    FROM information_schema.METADATA_LOCK_INFO WHERE LOCK_TYPE='User lock'";
/// All that may be seen: without the right PROCESS, those of the same user.
const PROCESSES: &str =
    "SELECT ID,USER,HOST,TIME,NULL,STATE,INFO,DB FROM information_schema.PROCESSLIST";

/// A session as the server shows it.
#[derive(Debug, Default)]
struct Shown {
    id: Option<i64>,
    user: Option<String>,
    host: Option<String>,
    /// How long it has done what it does now.
    time: Option<Duration>,
    application: Option<String>,
    /// Where it is, if not in our database.
    elsewhere: Option<String>,
}

impl Shown {
    /// Of a row, as a locker of this database sees it.
    fn of(row: &MySqlRow, database: &str) -> Self {
        Shown {
            id: integer(row, 0),
            user: text(row, 1).as_deref().map(foreign),
            host: text(row, 2).as_deref().map(foreign),
            time: counted(integer(row, 3), Duration::from_secs),
            application: text(row, 4).as_deref().map(foreign),
            elsewhere: text(row, 7).filter(|other| !other.is_empty() && other != database),
        }
    }

    /// For how long it has had the lock, the server does not say.
    fn holder(&self) -> SessionView {
        let id = self.id.map_or_else(|| "?".into(), |id| id.to_string());
        let user = self.user.as_deref().unwrap_or("somebody");
        let host = self.host.as_deref().unwrap_or("?");
        let whose = match &self.application {
            Some(application) => format!("{application}, {user}@{host}"),
            None if self.user.is_some() => format!("{user}@{host}"),
            None => "somebody".into(),
        };
        let elsewhere = self.elsewhere.as_ref().map_or(String::new(), |database| {
            format!(
                " in database {database:?}: named locks are those of the whole server, and a namespace \
                 keeps databases apart"
            )
        });
        let who = format!("{whose}, connection {id}{elsewhere}");
        SessionView::new(self.id, who, None)
    }

    fn waiter(&self) -> SessionView {
        SessionView::new(self.id, self.holder().holder.who, self.time)
    }
}

impl SessionViews for MySql {
    async fn status(&self, session: &mut Session, of: Option<&NativeKey>) -> Result<Vec<LockView>> {
        let options = self.from.options();
        let database = options.get_database().unwrap_or_default();
        if session.server.family == Family::MySql && session.server.has_views {
            // MySQL shows names in lower case.
            let filter = of.map(|key| format!(" AND m.OBJECT_NAME=LOWER({})", name(key)));
            let sql =
                format!("{LOCKS}{} ORDER BY t.PROCESSLIST_TIME DESC", filter.unwrap_or_default());
            let rows = self.if_allowed(session, sql).await?;
            let seen = rows.map(|rows| seen(&rows, of, database)).unwrap_or_default();
            if seen.iter().any(|seen| !seen.holders.is_empty()) {
                return Ok(seen);
            }
        }
        self.look_at_processes(session, of, database).await
    }

    /// <https://dev.mysql.com/doc/refman/8.4/en/kill.html>
    fn right_to_end(&self) -> &'static str {
        "GRANT CONNECTION_ADMIN ON *.* TO this user (on MariaDB: CONNECTION ADMIN), or connect as the \
         user that holds the lock"
    }

    async fn check(&self, session: &mut Session) -> Result<Vec<Finding>> {
        self.findings(session).await
    }
}

impl MySql {
    /// What is left without a view of locks: the holder of a name that is known, and who waits with
    /// a statement like ours.
    async fn look_at_processes(
        &self,
        session: &mut Session,
        of: Option<&NativeKey>,
        database: &str,
    ) -> Result<Vec<LockView>> {
        let rows = self.rows(&mut session.connection, PROCESSES.into()).await?;
        let mut sessions: HashMap<i64, Shown> = HashMap::new();
        let mut waiters: Vec<(NativeKey, i64)> = Vec::new();
        for row in &rows {
            let mut shown = Shown::of(row, database);
            let Some(id) = shown.id else { continue };
            if text(row, 5).as_deref() == Some("User lock")
                && let Some((name, who)) = text(row, 6).as_deref().and_then(session_sql::read_wait)
            {
                shown.application = who.as_deref().map(foreign);
                waiters.push((NativeKey::Name(name), id));
            }
            sessions.insert(id, shown);
        }
        let mut holders: BTreeMap<NativeKey, Option<i64>> = BTreeMap::new();
        let keys: Vec<NativeKey> =
            if let Some(key) = of {
                waiters.retain(|(waited, _)| waited == key);
                vec![key.clone()]
            } else {
                let rows = match session.server.family {
                    Family::MariaDb => self.if_allowed(session, HOLDERS.into()).await?,
                    Family::MySql => None,
                };
                holders.extend(rows.iter().flatten().filter_map(|row| {
                    Some((NativeKey::Name(text(row, 1)?), Some(integer(row, 0)?)))
                }));
                let names = waiters.iter().map(|(key, _)| key);
                names.filter(|key| !holders.contains_key(key)).cloned().collect()
            };
        if !keys.is_empty() {
            let rows = self.rows(&mut session.connection, session_sql::holders(&keys)).await?;
            let ids = rows.first().and_then(|row| text(row, 0)).unwrap_or_default();
            holders.extend(keys.into_iter().zip(ids.split(',').map(|id| id.parse().ok())));
        }
        let seen = holders.into_iter().map(|(key, holder)| {
            let holder = holder.map(|id| {
                let unseen = Shown { id: Some(id), ..Shown::default() };
                sessions.get(&id).unwrap_or(&unseen).holder()
            });
            let waiting = waiters.iter().filter(|(waited, _)| *waited == key);
            let mut waiters: Vec<SessionView> =
                waiting.filter_map(|(_, id)| sessions.get(id)).map(Shown::waiter).collect();
            waiters.sort_by_key(|party| std::cmp::Reverse(party.holder.held_for));
            let lock_id = LockId::exclusive(key);
            LockView { lock_id, holders: holder.into_iter().collect(), waiters }
        });
        Ok(seen.filter(|seen| !seen.holders.is_empty() || !seen.waiters.is_empty()).collect())
    }

    /// The rows of a statement; `None` when this server has no such thing, or this user no right to
    /// it.
    pub(super) async fn if_allowed(
        &self,
        session: &mut Session,
        sql: String,
    ) -> Result<Option<Vec<MySqlRow>>> {
        match self.rows(&mut session.connection, sql).await {
            Ok(rows) => Ok(Some(rows)),
            Err(error) if self.survives(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Of the rows of [`LOCKS`].
fn seen(rows: &[MySqlRow], of: Option<&NativeKey>, database: &str) -> Vec<LockView> {
    let mut all: BTreeMap<NativeKey, LockView> = BTreeMap::new();
    for row in rows {
        // The server may show the name in another way than it was given.
        let named = || text(row, 5).map(NativeKey::Name);
        let Some(key) = of.cloned().or_else(named) else { continue };
        let empty = || LockView::new(LockId::exclusive(key.clone()));
        let seen = all.entry(key.clone()).or_insert_with(empty);
        match text(row, 6).as_deref() {
            Some("GRANTED") => seen.holders.push(Shown::of(row, database).holder()),
            Some("PENDING") => seen.waiters.push(Shown::of(row, database).waiter()),
            _ => {}
        }
    }
    all.into_values().collect()
}
