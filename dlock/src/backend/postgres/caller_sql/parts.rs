//! Parts of statements: functions of a lock, what the server shows of one, which session this is.

use crate::backend::postgres::session_sql::place;
use crate::connection::session::Session;
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;
use crate::spec::native::NativeKey;

/// No two sessions have the same. When the session itself began, only a look at all of them tells,
/// which takes a millisecond where there may be many.
pub(super) const BORN: &str = "pg_catalog.concat_ws('/',\
    EXTRACT(EPOCH FROM pg_catalog.pg_postmaster_start_time()),\
    pg_catalog.inet_client_addr(),pg_catalog.inet_client_port())";
pub(super) fn set(name: &str, value: &str) -> String {
    format!("pg_catalog.set_config('{name}',{value},true)")
}

/// A function of a lock, in the lock's mode.
pub(super) fn call(function: &str, lock_id: &LockId) -> String {
    let shared = if lock_id.mode == Mode::Shared { "_shared" } else { "" };
    match &lock_id.key {
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
pub(super) fn is_of(key: &NativeKey) -> String {
    let (number, space) = place(key);
    // As the view shows them: without a sign.
    let (classid, objid) = (number.cast_unsigned() >> 32, number.cast_unsigned() & 0xffff_ffff);
    format!(
        "l.locktype OPERATOR(pg_catalog.=) 'advisory' AND l.granted \
         AND l.classid OPERATOR(pg_catalog.=) '{classid}' AND l.objid OPERATOR(pg_catalog.=) '{objid}' \
         AND l.objsubid OPERATOR(pg_catalog.=) '{space}'"
    )
}

/// Whether this session has it in this mode. All locks of the server are looked at for that.
pub(super) fn is_ours(lock_id: &LockId) -> String {
    let mode = match lock_id.mode {
        Mode::Exclusive => "ExclusiveLock",
        _ => "ShareLock",
    };
    format!(
        "EXISTS(SELECT FROM pg_catalog.pg_locks l WHERE {} \
         AND l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() \
         AND l.mode OPERATOR(pg_catalog.=) '{mode}')",
        is_of(&lock_id.key)
    )
}

pub(super) fn is_session(session: &Session) -> String {
    format!(
        "(pg_catalog.pg_backend_pid() OPERATOR(pg_catalog.=) '{}' \
         AND {BORN} OPERATOR(pg_catalog.=) '{}')",
        session.id, session.born
    )
}

pub(super) fn who(key: &NativeKey) -> String {
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
