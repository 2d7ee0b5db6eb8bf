//! What is said to the server. Each answer ends with the server's process id.
//!
//! All names are qualified, and `search_path` is set to `pg_catalog`: those who can make functions in
//! a schema of the application's must not make our locks.

use sqlx::Arguments as _;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;

use crate::backend::{BatchItem, Op};
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;
use crate::spec::native::NativeKey;

/// Asked before `search_path` is set, so it has no operators.
pub(super) const OPEN: &str = "SELECT pg_catalog.version(), pg_catalog.pg_is_in_recovery(), \
    pg_catalog.current_setting('server_version_num'), pg_catalog.current_schema(), \
    pg_catalog.pg_backend_pid()";
/// And when the session began, and how many connections are left for clients. To those who may not signal a
/// session, the first is not shown: NULL.
pub(super) const SET: &str = "SELECT pg_catalog.set_config(n, v, false), \
    (SELECT (EXTRACT(EPOCH FROM a.backend_start) OPERATOR(pg_catalog.*) 1000000)::pg_catalog.int8 \
    FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) a), \
    pg_catalog.current_setting('max_connections')::pg_catalog.int8 OPERATOR(pg_catalog.-) \
    pg_catalog.current_setting('superuser_reserved_connections')::pg_catalog.int8 OPERATOR(pg_catalog.-) \
    COALESCE(pg_catalog.current_setting('reserved_connections', true), '0')::pg_catalog.int8 \
    OPERATOR(pg_catalog.-) (SELECT pg_catalog.sum(pg_catalog.pg_stat_get_db_numbackends(d.oid)) \
    FROM pg_catalog.pg_database d)::pg_catalog.int8, pg_catalog.pg_backend_pid() \
    FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[])) t(n, v)";
/// Whether a commit waits for standbys, which may be away.
/// <https://www.postgresql.org/docs/current/runtime-config-replication.html#GUC-SYNCHRONOUS-STANDBY-NAMES>
pub(super) const WRITES_WAIT: &str = "SELECT pg_catalog.current_setting('synchronous_standby_names') OPERATOR(pg_catalog.<>) '', \
     pg_catalog.pg_backend_pid()";
pub(super) const PING: &str = "SELECT true, pg_catalog.pg_backend_pid()";
/// See [`part`]. A pair comes as one number: its halves.
macro_rules! does {
    ($k:literal, $o:literal) => {
        concat!(
            "CASE ",
            $o,
            " WHEN 0 THEN pg_catalog.pg_try_advisory_lock(",
            $k,
            ") WHEN 1 THEN pg_catalog.pg_advisory_unlock(",
            $k,
            ") WHEN 2 THEN pg_catalog.pg_try_advisory_lock_shared(",
            $k,
            ") WHEN 3 THEN pg_catalog.pg_advisory_unlock_shared(",
            $k,
            ") WHEN 4 THEN pg_catalog.pg_try_advisory_lock(",
            halves!($k),
            ") WHEN 5 THEN pg_catalog.pg_advisory_unlock(",
            halves!($k),
            ") WHEN 6 THEN pg_catalog.pg_try_advisory_lock_shared(",
            halves!($k),
            ") WHEN 7 THEN pg_catalog.pg_advisory_unlock_shared(",
            halves!($k),
            ") ELSE true END"
        )
    };
}
macro_rules! halves {
    ($k:literal) => {
        concat!("(", $k, " >> 32)::pg_catalog.int4, (", $k, " << 32 >> 32)::pg_catalog.int4")
    };
}
pub(super) use halves;
/// A statement that does these, see [`part`]. What is most of all that is sent has statements of its
/// own: to set up all of [`BATCH`] takes a server longer than to do it.
pub(super) fn batch(parts: &[(i64, i16)]) -> Query<'static, sqlx::Postgres, PgArguments> {
    let alone = |code| match code {
        0 => Some("SELECT pg_catalog.pg_try_advisory_lock($1), pg_catalog.pg_backend_pid()"),
        1 => Some("SELECT pg_catalog.pg_advisory_unlock($1), pg_catalog.pg_backend_pid()"),
        2 => Some("SELECT pg_catalog.pg_try_advisory_lock_shared($1), pg_catalog.pg_backend_pid()"),
        3 => Some("SELECT pg_catalog.pg_advisory_unlock_shared($1), pg_catalog.pg_backend_pid()"),
        _ => None,
    };
    match *parts {
        [(key, code)] => match alone(code) {
            Some(alone) => with_keys(alone, 1).bind(key),
            None => with_keys(ONE, 2).bind(key).bind(code),
        },
        [(key, 1), (other, 0)] => with_keys(UNLOCK_AND_TRY, 2).bind(key).bind(other),
        [(key, 0), (other, 1)] => with_keys(TRY_AND_UNLOCK, 2).bind(key).bind(other),
        _ => {
            let (keys, codes): (Vec<i64>, Vec<i16>) = parts.iter().copied().unzip();
            sqlx::query(BATCH).bind(keys).bind(codes)
        }
    }
}

/// A statement that has room for so many keys, each with its length before it.
fn with_keys(sql: &'static str, keys: usize) -> Query<'static, sqlx::Postgres, PgArguments> {
    let mut arguments = PgArguments::default();
    arguments.reserve(keys, keys * (size_of::<i32>() + size_of::<i64>()));
    sqlx::query_with(sql, arguments)
}

const UNLOCK_AND_TRY: &str = "SELECT pg_catalog.pg_advisory_unlock($1), \
    pg_catalog.pg_try_advisory_lock($2), pg_catalog.pg_backend_pid()";
const TRY_AND_UNLOCK: &str = "SELECT pg_catalog.pg_try_advisory_lock($1), \
    pg_catalog.pg_advisory_unlock($2), pg_catalog.pg_backend_pid()";
const ONE: &str = concat!(
    "SELECT ",
    does!("$1::pg_catalog.int8", "$2::pg_catalog.int2"),
    ", pg_catalog.pg_backend_pid()"
);
/// One row: to make one of each answer costs server and client more than the locks do.
const BATCH: &str = concat!(
    "SELECT pg_catalog.array_agg(",
    does!("k", "o"),
    "), pg_catalog.pg_backend_pid() \
    FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.int8[]), pg_catalog.unnest($2::pg_catalog.int2[])) t(k, o)"
);
/// The token of a row that is new: microseconds of the server's clock since 2020. A row that has been
/// deleted had fewer grants than microseconds.
pub(crate) const FIRST_FENCE: &str =
    "((EXTRACT(EPOCH FROM pg_catalog.clock_timestamp()) - 1577836800) * 1000000)::pg_catalog.int8";

/// A batch in which the third list has, for each part, the name of the counter that a token is to
/// be drawn from, if it is done. The locks are taken first, all of them: their list is sorted. A row
/// that is somebody's lease stays it.
pub(super) fn fenced(table: &str) -> String {
    format!(
        "WITH o AS MATERIALIZED (SELECT t.i, t.n COLLATE pg_catalog.\"C\" AS n, {} AS yes \
         FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.int8[]), \
         pg_catalog.unnest($2::pg_catalog.int2[]), pg_catalog.unnest($3::pg_catalog.text[])) \
         WITH ORDINALITY t(k, o, n, i)), \
         f AS (INSERT INTO {table} AS l (name, owner, fence, acquired_at, expires_at) \
         SELECT o.n, '', {FIRST_FENCE}, pg_catalog.clock_timestamp(), '-infinity' FROM o \
         WHERE o.n IS NOT NULL AND o.yes ORDER BY o.n \
         ON CONFLICT (name) DO UPDATE SET fence = l.fence + 1 RETURNING l.name, l.fence) \
         SELECT o.yes, f.fence, pg_catalog.pg_backend_pid() FROM o LEFT JOIN f ON f.name = o.n \
         ORDER BY o.i",
        does!("k", "o")
    )
}

pub(super) const UNLOCK_ALL: &str = "SELECT pg_catalog.pg_advisory_unlock_all()";
/// A 64-bit key is shown as its two halves, with objsubid 1, a pair as itself, with objsubid 2:
/// <https://www.postgresql.org/docs/current/view-pg-locks.html>. What a session holds is all of one
/// database.
pub(super) const HELD: &str = "SELECT pg_catalog.array_agg(EXISTS (SELECT FROM pg_catalog.pg_locks l \
    WHERE l.locktype = 'advisory' AND l.granted AND l.pid = pg_catalog.pg_backend_pid() \
    AND (l.classid::pg_catalog.int8 << 32 | l.objid::pg_catalog.int8) = k \
    AND l.objsubid = CASE WHEN o < 4 THEN 1 ELSE 2 END \
    AND l.mode = CASE WHEN o IN (0, 4) THEN 'ExclusiveLock' ELSE 'ShareLock' END)), \
    pg_catalog.pg_backend_pid() \
    FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.int8[]), pg_catalog.unnest($2::pg_catalog.int2[])) t(k, o)";

/// What a part of a batch is about, and what is to be done with it.
pub(super) fn part(what: &Op) -> (i64, i16) {
    match what {
        Op::Try(lock_id) | Op::TryFenced(lock_id) => lock(lock_id),
        Op::Fence(lock_id) => (place(&lock_id.key).0, NOTHING),
        Op::Unlock(lock_id) => unlock(lock_id),
        // Orders have a statement of their own.
        Op::Cancel(_) | Op::End(_) => (0, NOTHING),
    }
}

/// The code of what needs nothing done to a lock.
const NOTHING: i16 = 8;

/// Orders to other sessions: each is done only if the session of that number is still the one that
/// began then, and so is ours. Process ids are used again.
pub(super) fn orders(orders: &[BatchItem]) -> Query<'static, sqlx::Postgres, PgArguments> {
    let tag = |op: &BatchItem| match op.what {
        Op::Cancel(tag) => Some((tag.id, (tag.birth, false))),
        Op::End(tag) => Some((tag.id, (tag.birth, true))),
        Op::Try(_) | Op::TryFenced(_) | Op::Fence(_) | Op::Unlock(_) => None,
    };
    type Orders = (Vec<i64>, (Vec<i64>, Vec<bool>));
    let (ids, (births, ends)): Orders = orders.iter().filter_map(tag).unzip();
    sqlx::query(ORDERS).bind(ids).bind(births).bind(ends)
}

const ORDERS: &str = "SELECT pg_catalog.array_agg(CASE WHEN EXISTS \
    (SELECT FROM pg_catalog.pg_stat_get_activity(i::pg_catalog.int4) a \
    WHERE (EXTRACT(EPOCH FROM a.backend_start) * 1000000)::pg_catalog.int8 = b) \
    THEN CASE WHEN e THEN pg_catalog.pg_terminate_backend(i::pg_catalog.int4) \
    ELSE pg_catalog.pg_cancel_backend(i::pg_catalog.int4) END ELSE false END), \
    pg_catalog.pg_backend_pid() \
    FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.int8[]), \
    pg_catalog.unnest($2::pg_catalog.int8[]), pg_catalog.unnest($3::pg_catalog.bool[])) t(i, b, e)";

/// Which of these process ids there are, and when their sessions began, as far as that may be seen.
pub(super) const TAGS: &str = "SELECT coalesce(pg_catalog.array_agg(a.pid::pg_catalog.int8), '{}'), \
    coalesce(pg_catalog.array_agg((EXTRACT(EPOCH FROM a.backend_start) * 1000000)::pg_catalog.int8), \
    '{}'), pg_catalog.pg_backend_pid() \
    FROM pg_catalog.pg_stat_get_activity(NULL) a \
    WHERE a.pid = ANY($1) AND a.backend_start IS NOT NULL";

/// A lock's key, and the code for taking it: even. One more gives it back.
pub(super) fn lock(lock_id: &LockId) -> (i64, i16) {
    let (key, space) = place(&lock_id.key);
    // There are no other modes than these two.
    let shared = if lock_id.mode == Mode::Exclusive { 0 } else { 2 };
    (key, (space - 1) * 4 + shared)
}

pub(super) fn unlock(lock_id: &LockId) -> (i64, i16) {
    let (key, code) = lock(lock_id);
    (key, code + 1)
}

/// The key as one number, and the space it is in: `objsubid`.
pub(crate) fn place(key: &NativeKey) -> (i64, i16) {
    match key {
        NativeKey::Id(id) => (*id, 1),
        NativeKey::Pair(a, b) => (i64::from(*a) << 32 | i64::from(b.cast_unsigned()), 2),
        // Not made for this backend; the hash of the name is as good an id as any.
        NativeKey::Name(name) => (crate::Key::from(name.as_str()).id(""), 1),
    }
}

/// The other way round.
pub(super) fn key(number: i64, space: i16) -> NativeKey {
    if space == 1 {
        return NativeKey::Id(number);
    }
    let [a, b, c, d, rest @ ..] = number.to_be_bytes();
    NativeKey::Pair(i32::from_be_bytes([a, b, c, d]), i32::from_be_bytes(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_goes_through_one_number() {
        for a in [i32::MIN, -1, 0, 1, i32::MAX] {
            for b in [i32::MIN, -1, 0, 1, i32::MAX] {
                let pair = NativeKey::Pair(a, b);
                let (number, space) = place(&pair);
                assert_eq!(number >> 32, i64::from(a));
                assert_eq!(number << 32 >> 32, i64::from(b));
                assert_eq!(key(number, space), pair);
            }
        }
        assert_eq!(key(-7, 1), NativeKey::Id(-7));
    }
}
