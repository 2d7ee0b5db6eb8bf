//! The statements, with the table's name in them.

use std::sync::Arc;

use crate::backend::lease::Table;
use crate::backend::lease::ddl;
use crate::backend::lease::prune::{self, ROWS_MAX};

/// `unixepoch('subsec')` would be NULL before SQLite 3.42, and nothing would ever run out.
pub(super) const NOW: &str = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)";

/// See the [module](self).
pub(super) struct LeaseSql {
    /// The table, in quotes.
    pub(super) name: String,
    pub(super) table: String,
    /// Compiles what will be asked, without doing it.
    pub(super) probe: String,
    /// Name, owner, fence or 0, for how long others cannot have it.
    pub(super) release_one: Arc<str>,
    /// Name, owner, for how long, the fence of a new row.
    pub(super) take_one: Arc<str>,
    pub(super) release: Arc<str>,
    pub(super) take: Arc<str>,
    pub(super) release_and_take: Arc<str>,
    /// What others have, and for how long yet. Reads only.
    pub(super) held: Arc<str>,
    pub(super) renew: Arc<str>,
    pub(super) check: Arc<str>,
    /// Name, owner, fence or 0, the next owner, for how long.
    pub(super) own: Arc<str>,
    /// For how long nobody has had them, from which name on, and the fence of a new row.
    pub(super) prune: Arc<str>,
    pub(super) count: String,
    /// One row for each holder; the key's name, or nothing for all.
    pub(super) status: String,
}

impl LeaseSql {
    pub(super) fn new(table: &Table) -> Self {
        let name = table.quoted('"');
        // The owner decides: what has passed to another is left alone.
        let ours = "name = l.value ->> 0 AND owner = l.value ->> 1
             AND (l.value ->> 2 = 0 OR fence = l.value ->> 2)";
        let release = format!(
            "UPDATE {name} SET owner = '',
                 expires_at = CASE l.value ->> 3 WHEN 0 THEN 0 ELSE {NOW} + (l.value ->> 3) END
             FROM json_each(?1) AS l WHERE {ours} RETURNING name, NULL, NULL"
        );
        let release_one = format!(
            "UPDATE {name} SET owner = '', expires_at = CASE ?4 WHEN 0 THEN 0 ELSE {NOW} + ?4 END
             WHERE name = ?1 AND owner = ?2 AND (?3 = 0 OR fence = ?3)"
        );
        // Compare and set: a row comes back only for what was written.
        let insert =
            format!("INSERT INTO {name} AS t (name, owner, fence, acquired_at, expires_at)");
        let or_update = "ON CONFLICT (name) DO UPDATE SET
                 owner = excluded.owner, fence = t.fence + 1,
                 acquired_at = excluded.acquired_at,
                 expires_at = max(t.expires_at, excluded.expires_at)
             WHERE t.expires_at <= excluded.acquired_at OR t.owner = excluded.owner";
        let take = format!(
            "{insert}
             SELECT value ->> 0, value ->> 1, ?3, {NOW}, {NOW} + (value ->> 3)
             FROM json_each(?2) WHERE true
             {or_update} RETURNING name, owner, fence"
        );
        let take_one =
            format!("{insert} VALUES (?1, ?2, ?4, {NOW}, {NOW} + ?3) {or_update} RETURNING fence");
        // What has run out is not brought back: somebody may have looked already.
        let renew = format!(
            "UPDATE {name} SET expires_at = max(expires_at, {NOW} + (l.value ->> 3))
             FROM json_each(?1) AS l
             WHERE {ours} AND expires_at > {NOW} RETURNING name, owner"
        );
        LeaseSql {
            table: ddl::sqlite(table),
            probe: format!("EXPLAIN {take}"),
            // IMMEDIATE: a transaction that begins by reading cannot wait for its turn to write
            // (517).
            release_and_take: format!("BEGIN IMMEDIATE; {release}; {take}; COMMIT").into(),
            held: format!(
                "SELECT name, expires_at - {NOW} FROM json_each(?1) AS l CROSS JOIN {name}
                 ON name = l.value ->> 0 WHERE expires_at > {NOW} AND owner <> l.value ->> 1"
            )
            .into(),
            check: format!(
                "SELECT 1 FROM {name} WHERE name = ?1 AND owner = ?2 AND (?3 = 0 OR fence = ?3)
                 AND expires_at > {NOW}"
            )
            .into(),
            own: format!(
                "UPDATE {name} SET owner = ?4, expires_at = {NOW} + ?5
                 WHERE name = ?1 AND owner = ?2 AND (?3 = 0 OR fence = ?3) AND expires_at > {NOW}
                 RETURNING fence"
            )
            .into(),
            prune: format!(
                "DELETE FROM {name} WHERE name IN (SELECT name FROM {name} WHERE name >= ?2
                 AND expires_at <= {NOW} - ?1 AND acquired_at <= {NOW} - ?1 AND fence < ?3 - ?1 * 1000
                 ORDER BY name LIMIT {ROWS_MAX}) RETURNING name"
            )
            .into(),
            count: prune::count(&name),
            status: format!(
                "SELECT name, owner, fence, {NOW} - acquired_at FROM {name}
                 WHERE expires_at > {NOW} AND (?1 IS NULL OR name = ?1) ORDER BY name"
            ),
            release_one: release_one.into(),
            take_one: take_one.into(),
            release: release.into(),
            take: take.into(),
            renew: renew.into(),
            name,
        }
    }

    /// A statement that finds the holder of a key.
    pub(super) fn explain(table: &str, name: &str) -> String {
        let name = name.replace('\'', "''");
        format!(
            "SELECT owner, fence, acquired_at, expires_at FROM {table} \
             WHERE name = '{name}' AND expires_at > {NOW}"
        )
    }
}
