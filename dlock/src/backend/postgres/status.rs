//! Who holds a lock and who waits for it, from `pg_locks`.

use std::time::Duration;

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::Postgres;
use super::session::Session;
use super::session_sql::{TAGS, key, place};
use crate::backend::{LockView, SessionTag, SessionView, SessionViews};
use crate::error::Result;
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;
use crate::spec::native::NativeKey;
use crate::status::Finding;
use crate::status::holder::foreign;

/// Locks are per database. A prepared transaction holds locks without a session. Since when
/// somebody holds a lock, the server does not know. To whom an address is not shown, a port is not
/// shown either; that of a local socket is -1.
const STATUS: &str = "SELECT l.k, l.objsubid, l.mode = 'ExclusiveLock', l.granted, l.pid, \
    NULLIF(a.application_name, ''), a.usename::pg_catalog.text, \
    CASE WHEN a.client_port = -1 THEN 'local' ELSE pg_catalog.host(a.client_addr) END, \
    EXTRACT(EPOCH FROM pg_catalog.clock_timestamp() - l.waitstart)::pg_catalog.float8, \
    pg_catalog.pg_backend_pid() \
    FROM (SELECT *, classid::pg_catalog.int8 << 32 | objid::pg_catalog.int8 AS k FROM pg_catalog.pg_locks) l \
    LEFT JOIN pg_catalog.pg_stat_activity a USING (pid) \
    WHERE l.locktype = 'advisory' AND l.database = \
    (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()) \
    AND ($1::pg_catalog.int8 IS NULL OR l.k = $1 AND l.objsubid = $2::pg_catalog.int2) \
    ORDER BY l.k, l.objsubid, l.granted DESC, l.mode, l.waitstart, l.pid";

impl SessionViews for Postgres {
    async fn status(&self, session: &mut Session, of: Option<&NativeKey>) -> Result<Vec<LockView>> {
        let (number, space) = of.map(place).unzip();
        let asked = sqlx::query(STATUS).bind(number).bind(space);
        let rows = session.fetch_all(asked).await;
        let rows = rows.map_err(|error| self.error(error))?;
        if !rows.is_empty() {
            self.same_session(session, &rows)?;
        }
        let mut all: Vec<LockView> = Vec::new();
        for row in &rows {
            let (lock_id, granted, party) = read(row).map_err(|error| self.error(error))?;
            if all.last().is_none_or(|last| last.lock_id.key != lock_id.key) {
                all.push(LockView::new(lock_id));
            }
            let Some(seen) = all.last_mut() else { continue };
            let line = if granted { &mut seen.holders } else { &mut seen.waiters };
            // A session can hold a key in both modes.
            if party.id.is_none() || line.iter().all(|other| other.id != party.id) {
                line.push(party);
            }
        }
        Ok(all)
    }

    async fn tags(&self, session: &mut Session, ids: &[i64]) -> Result<Vec<SessionTag>> {
        let row = self.answer(session, sqlx::query(TAGS).bind(ids)).await?;
        let read = || Ok((row.try_get(0)?, row.try_get(1)?));
        let (ids, births): (Vec<i64>, Vec<i64>) = read().map_err(|error| self.error(error))?;
        Ok(ids.into_iter().zip(births).map(|(id, birth)| SessionTag { id, birth }).collect())
    }

    /// <https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-SIGNAL>
    fn right_to_end(&self) -> &'static str {
        "GRANT pg_signal_backend, pg_read_all_stats TO this role, or connect as the role that holds \
         the lock (a superuser's sessions only a superuser can end)"
    }

    async fn check(&self, session: &mut Session) -> Result<Vec<Finding>> {
        self.findings(session).await
    }
}

fn read(row: &PgRow) -> sqlx::Result<(LockId, bool, SessionView)> {
    let mode = if row.try_get(2)? { Mode::Exclusive } else { Mode::Shared };
    let lock_id = LockId { key: key(row.try_get(0)?, row.try_get(1)?), mode };
    let pid: Option<i32> = row.try_get(4)?;
    let [application, user, address]: [Option<String>; 3] =
        [row.try_get(5)?, row.try_get(6)?, row.try_get(7)?];
    let who: Vec<String> = [
        Some(pid.map_or("a prepared transaction".to_owned(), |pid| format!("pid {pid}"))),
        application.map(|name| format!("application \"{}\"", foreign(&name))),
        user.map(|name| format!("user {}", foreign(&name))),
        address.as_deref().map(foreign),
    ]
    .into_iter()
    .flatten()
    .collect();
    let held_for: Option<f64> = row.try_get(8)?;
    let held_for = held_for.and_then(|time| Duration::try_from_secs_f64(time).ok());
    let party = SessionView::new(pid.map(i64::from), who.join(", "), held_for);
    Ok((lock_id, row.try_get(3)?, party))
}

/// A statement for people: one row for each holder, none when the key is free.
pub(super) fn explain(of: &NativeKey) -> String {
    let (number, space) = place(of);
    // As `pg_locks` shows them: without a sign.
    let (classid, objid) = (number.cast_unsigned() >> 32, number.cast_unsigned() & 0xffff_ffff);
    format!(
        "SELECT l.pid, a.usename, a.application_name, a.client_addr, l.mode, a.state, a.query_start \
         FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a USING (pid) \
         WHERE l.locktype = 'advisory' AND l.granted AND l.classid = '{classid}' \
         AND l.objid = '{objid}' AND l.objsubid = {space} AND l.database = \
         (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())"
    )
}
