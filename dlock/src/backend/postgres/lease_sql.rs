//! The statements, with the table's name in them.
//!
//! A row that somebody has locked is not waited for by a take: the one who works on it has it, or is
//! about to. Rows are looked up and written in the order of their names.

use std::fmt::Write as _;
use std::time::Duration;

use crate::backend::lease::{Lease, Owner, Table, name, prune};
pub(crate) use crate::backend::postgres::BEGIN;
use crate::backend::postgres::FIRST_FENCE;
use crate::spec::native::NativeKey;

/// See the [module](self).
pub(crate) struct LeaseSql {
    /// The table, in quotes.
    pub(crate) table: String,
    columns: &'static Columns,
    /// What a new row has.
    values: String,
}

/// What is different between our table and that of django-database-locks. `t` is the row, `w` what
/// is wanted, `f` a row that is free and what is wanted of it.
struct Columns {
    owner: &'static str,
    is_held: &'static str,
    is_free: &'static str,
    is_ours: &'static str,
    fence: &'static str,
    since: &'static str,
    insert: &'static str,
    values: &'static str,
    take: &'static str,
    release: &'static str,
    for_ever: &'static str,
}

const OURS: Columns = Columns {
    owner: "owner",
    is_held: "t.expires_at > clock_timestamp()",
    is_free: "t.expires_at <= clock_timestamp()",
    is_ours: "t.owner = w.o AND (w.f IS NULL OR t.fence = w.f)",
    fence: "t.fence",
    since: "t.acquired_at",
    insert: "name, owner, fence, acquired_at",
    values: "w.n, w.o, {first}, clock_timestamp()",
    take: "owner = f.o, fence = t.fence + 1, acquired_at = clock_timestamp()",
    release: "owner = '', expires_at = CASE w.s WHEN 0 THEN '-infinity' ELSE {end} END",
    for_ever: "infinity",
};

/// An owner whose time is NULL has given its lock back. Python has no time without end.
const DJANGO: Columns = Columns {
    owner: "locked_by",
    is_held: "t.expires_at >= clock_timestamp()",
    is_free: "(t.expires_at IS NULL OR t.expires_at < clock_timestamp())",
    is_ours: "t.locked_by = w.o AND t.expires_at IS NOT NULL",
    fence: "NULL::int8",
    since: "NULL::timestamptz",
    insert: "name, locked_by",
    values: "w.n, w.o",
    take: "locked_by = f.o",
    release: "locked_by = CASE w.s WHEN 0 THEN t.locked_by ELSE '' END, \
        expires_at = CASE w.s WHEN 0 THEN NULL ELSE {end} END",
    for_ever: "9999-12-31 00:00:00+00",
};

impl LeaseSql {
    /// The table's name must be complete.
    pub(crate) fn new(table: &Table) -> Self {
        let columns = if table.django { &DJANGO } else { &OURS };
        let values = columns.values.replace("{first}", FIRST_FENCE);
        LeaseSql { table: table.quoted('"'), columns, values }
    }

    /// Gives back: a row with the place in the list for each that was ours. Then takes: for each a
    /// row with its place, whether it was granted, its fence, and else for how many seconds it is
    /// held.
    pub(crate) fn apply(&self, releases: &[Lease], takes: &[Lease]) -> String {
        let mut text = String::with_capacity(4096);
        text.push_str(BEGIN);
        if !releases.is_empty() {
            self.release(releases, &mut text);
            text.push_str(";\n");
        }
        if !takes.is_empty() {
            self.take(takes, &mut text);
        }
        text
    }

    /// Compiles what will be asked, without doing it.
    pub(crate) fn probe(&self, takes: &[Lease]) -> String {
        let mut text = format!("{BEGIN}EXPLAIN ");
        self.take(takes, &mut text);
        text
    }

    /// Makes the table.
    pub(crate) fn create(ddl: &str) -> String {
        format!("{BEGIN}{ddl}")
    }

    fn release(&self, leases: &[Lease], text: &mut String) {
        let (table, Columns { is_ours, release, .. }) = (&self.table, self.columns);
        let release = release.replace("{end}", &self.end("w"));
        text.push_str("WITH w(i, n, o, f, s) AS (");
        values(leases, text);
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            ") UPDATE {table} t SET {release} FROM w WHERE t.name = w.n AND {is_ours} RETURNING w.i"
        );
    }

    /// Compare and set: the row is looked at, its latest version, and written under one lock.
    fn take(&self, leases: &[Lease], text: &mut String) {
        let (table, columns) = (&self.table, self.columns);
        let Columns { owner, is_held, is_free, fence, insert, take, .. } = columns;
        let first = &self.values;
        let (end, again) = (self.end("w"), self.end("f"));
        text.push_str("WITH w(i, n, o, f, s) AS (");
        values(leases, text);
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "), free AS (SELECT t.name, w.i, w.o, w.s FROM w JOIN {table} t ON t.name = w.n \
             WHERE {is_free} OR t.{owner} = w.o ORDER BY t.name FOR NO KEY UPDATE OF t SKIP LOCKED), \
             again AS (UPDATE {table} t SET {take}, \
             expires_at = greatest(t.expires_at, {again}) FROM free f \
             WHERE t.name = f.name RETURNING f.i, {fence} AS fence), \
             first AS (INSERT INTO {table} AS t ({insert}, expires_at) SELECT {first}, {end} FROM w \
             WHERE NOT EXISTS (SELECT FROM {table} h WHERE h.name = w.n) ORDER BY w.n \
             ON CONFLICT (name) DO NOTHING RETURNING t.name, t.{owner} AS owner, {fence} AS fence) \
             SELECT w.i, again.i IS NOT NULL OR first.name IS NOT NULL, \
             coalesce(again.fence, first.fence), \
             (SELECT CASE WHEN isfinite(t.expires_at) AND {is_held} \
             THEN EXTRACT(EPOCH FROM t.expires_at - clock_timestamp())::float8 END \
             FROM {table} t WHERE t.name = w.n) \
             FROM w LEFT JOIN again ON again.i = w.i LEFT JOIN first \
             ON first.name = w.n AND first.owner = w.o"
        );
    }

    /// A row with the place in the list for each that had not run out. What has is not brought
    /// back: somebody may have looked already.
    pub(crate) fn renew(&self, leases: &[Lease]) -> String {
        let (table, end) = (&self.table, self.end("w"));
        let Columns { is_ours, is_held, .. } = self.columns;
        let mut text = format!("{BEGIN}WITH w(i, n, o, f, s) AS (");
        values(leases, &mut text);
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            ") UPDATE {table} t SET expires_at = greatest(t.expires_at, {end}) FROM w \
             WHERE t.name = w.n AND {is_ours} AND {is_held} RETURNING w.i"
        );
        text
    }

    /// A row with the fence, if it had not run out.
    pub(crate) fn own(&self, lease: &Lease, to: &Owner) -> String {
        let (table, end, to) = (&self.table, self.end("w"), quoted(to.as_str()));
        let Columns { owner, is_ours, is_held, fence, .. } = self.columns;
        let mut text = format!("{BEGIN}WITH w(i, n, o, f, s) AS (");
        values(std::slice::from_ref(lease), &mut text);
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            ") UPDATE {table} t SET {owner} = {to}, expires_at = {end} FROM w \
             WHERE t.name = w.n AND {is_ours} AND {is_held} RETURNING {fence}"
        );
        text
    }

    /// A row if it has not run out.
    pub(crate) fn check(&self, lease: &Lease) -> String {
        let (table, Columns { is_ours, is_held, .. }) = (&self.table, self.columns);
        let mut text = format!("{BEGIN}WITH w(i, n, o, f, s) AS (");
        values(std::slice::from_ref(lease), &mut text);
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            ") SELECT 1 FROM {table} t JOIN w ON t.name = w.n WHERE {is_ours} AND {is_held} \
             AND NOT pg_is_in_recovery()"
        );
        text
    }

    /// Removes rows that nobody has had for this long; their names come back.
    pub(crate) fn prune(&self, older_than: Duration, from: &str) -> String {
        let (table, micros, from) = (&self.table, prune::micros(older_than), quoted(from));
        let age = format!("clock_timestamp() - {micros} * interval '1 microsecond'");
        let is_old = format!(
            "t.name >= {from} AND t.expires_at <= {age} AND t.acquired_at <= {age} \
             AND t.fence < {FIRST_FENCE} - {micros}"
        );
        format!(
            "{BEGIN}SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off;\n\
             WITH old AS (SELECT t.name FROM {table} t WHERE {is_old} ORDER BY t.name \
             LIMIT {} FOR UPDATE SKIP LOCKED) \
             DELETE FROM {table} t USING old WHERE t.name = old.name RETURNING t.name::text",
            prune::ROWS_MAX
        )
    }

    /// A row for each holder: name, owner, fence, seconds since the grant.
    pub(crate) fn status(&self, of: Option<&NativeKey>) -> String {
        let (table, Columns { owner, fence, since, is_held, .. }) = (&self.table, self.columns);
        let this =
            of.map_or_else(String::new, |key| format!(" AND t.name = {}", quoted(&name(key))));
        format!(
            "{BEGIN}SELECT t.name::text, t.{owner}, {fence}, \
             EXTRACT(EPOCH FROM clock_timestamp() - {since})::float8 \
             FROM {table} t WHERE {is_held}{this} ORDER BY t.name"
        )
    }

    /// A statement that finds the holder of a key.
    pub(crate) fn explain(&self, name: &str) -> String {
        let (table, name) = (&self.table, quoted(name));
        let is_held = self.columns.is_held.replace("t.", "");
        format!("SELECT * FROM {table} WHERE name = {name} AND {is_held}")
    }

    /// When what is wanted by that row ends.
    fn end(&self, wanted: &str) -> String {
        let for_ever = self.columns.for_ever;
        format!(
            "coalesce(clock_timestamp() + {wanted}.s * interval '1 microsecond', \
             '{for_ever}'::timestamptz)"
        )
    }
}

/// `VALUES (place, name, owner, fence, microseconds), …`; the first row says of which types.
fn values(leases: &[Lease], text: &mut String) {
    for (place, lease) in leases.iter().enumerate() {
        text.push_str(if place == 0 { "VALUES (" } else { "), (" });
        let (name, owner) = (quoted(&lease.name()), quoted(lease.owner.as_str()));
        let fence = lease.fence.map_or_else(|| "NULL".into(), |fence| fence.to_string());
        let lasts = micros(lease.lasts).map_or_else(|| "NULL".into(), |micros| micros.to_string());
        // Writing to a String cannot fail.
        let _ = match place {
            0 => write!(text, "0, {name}::text, {owner}::text, {fence}::int8, {lasts}::int8"),
            _ => write!(text, "{place}, {name}, {owner}, {fence}, {lasts}"),
        };
    }
    text.push(')');
}

/// `None`: for ever. Rounded up: a lease must not end before its holder's validity.
fn micros(time: Duration) -> Option<i64> {
    let micros = time.as_nanos().div_ceil(1000);
    (time != Duration::MAX).then(|| i64::try_from(micros).unwrap_or(i64::MAX))
}

/// A literal that means the same whatever `standard_conforming_strings` says.
pub(crate) fn quoted(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_hold_whatever_is_in_them() {
        assert_eq!(quoted("a"), "E'a'");
        assert_eq!(quoted(r"it's \' é"), r"E'it''s \\'' é'");
    }

    #[test]
    fn times_are_rounded_up() {
        assert_eq!(micros(Duration::ZERO), Some(0));
        assert_eq!(micros(Duration::from_nanos(1001)), Some(2));
        assert_eq!(micros(Duration::MAX), None);
    }
}
