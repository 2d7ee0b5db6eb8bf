//! The statements on the table of django-database-locks, `database_locks_lock(id, name, locked_by,
//! expires_at)`, in the same way as that package uses it: a lock is held until `expires_at`, that
//! moment included, and has none when it is free.
//!
//! A name is what the column's collation says it is, most often without regard to case: keys that
//! differ in case are one lock then, as they are to Django. What an answer is about is told by the
//! name that was asked for.

use std::time::Duration;

use super::answers::{AFTER, BEFORE};
use crate::backend::lease::{Columns, Lease, Owner, Table};
use crate::backend::mysql::lease_sql::{LeaseSql, NOW, end, no_earlier};
use crate::backend::mysql::literal;

/// See the [module](self).
pub(super) struct Django {
    table: Table,
    name: String,
}

/// Owners are compared by their bytes, as Python does.
const OWNER: &str = "CAST(CONVERT(locked_by USING utf8mb4) AS BINARY)";

impl Django {
    pub(super) fn new(table: &Table) -> Self {
        Django { table: table.clone(), name: table.quoted('`') }
    }

    /// The row of this lease, under the name that it is asked for by.
    fn select(&self, when: &str, lease: &Lease, and: &str) -> String {
        let name = literal(&lease.name());
        format!(
            "SELECT {when},{name},{OWNER},NULL,TIMESTAMPDIFF(MICROSECOND,{NOW},expires_at) \
             FROM {} WHERE name={name}{and}",
            self.name
        )
    }

    fn update(&self, lease: &Lease, set: &str, and: &str) -> String {
        format!("UPDATE {} SET {set} WHERE name={}{and}", self.name, literal(&lease.name()))
    }

    /// Its owner stays where it is, as a note of who had it last.
    fn release(&self, lease: &Lease) -> [String; 2] {
        let set = match lease.lasts.is_zero() {
            true => "expires_at=NULL".into(),
            false => format!("locked_by='',expires_at={}", end(lease.lasts)),
        };
        let before = self.select(BEFORE, lease, " AND expires_at IS NOT NULL FOR UPDATE");
        [before, self.update(lease, &set, &format!(" AND {}", ours(lease)))]
    }

    /// A row that is not there is made before it is taken. Every attempt to insert costs a number
    /// of the column `id`, which has not so many: so there is none when the row is there.
    fn take(&self, lease: &Lease) -> [String; 3] {
        let name = literal(&lease.name());
        let make = format!(
            "INSERT INTO {0} (name) SELECT {name} FROM DUAL \
             WHERE NOT EXISTS (SELECT 1 FROM {0} WHERE name={name}) ON DUPLICATE KEY UPDATE id=id",
            self.name
        );
        let owner = literal(lease.owner.as_str());
        // One that is free has no time, or one that is over.
        let (later, end) = (no_earlier(lease.lasts), end(lease.lasts));
        let set = format!("locked_by={owner},expires_at=COALESCE({later},{end})");
        let free = format!(" AND (expires_at IS NULL OR expires_at<{NOW} OR {})", ours(lease));
        [make, self.update(lease, &set, &free), self.select(AFTER, lease, " FOR UPDATE")]
    }
}

fn ours(lease: &Lease) -> String {
    format!("{OWNER}=CAST({} AS BINARY)", literal(lease.owner.as_str()))
}

impl LeaseSql for Django {
    fn table(&self) -> &Table {
        &self.table
    }

    fn columns(&self) -> Columns {
        &[
            ("name", &["varchar"]),
            ("locked_by", &["varchar", "text", "mediumtext", "longtext"]),
            ("expires_at", &["datetime"]),
        ]
    }

    fn has_fences(&self) -> bool {
        false
    }

    fn ddl(&self) -> Option<String> {
        None
    }

    fn probe(&self) -> String {
        format!(
            "EXPLAIN INSERT INTO {0} (name) VALUES ('') ON DUPLICATE KEY UPDATE id=id;\
             EXPLAIN UPDATE {0} SET locked_by='',expires_at=NULL WHERE name=''",
            self.name
        )
    }

    fn take_one(&self, _: &Lease) -> Option<String> {
        None
    }

    fn apply(&self, releases: &[Lease], takes: &[Lease]) -> String {
        let mut all = vec!["START TRANSACTION".to_owned()];
        all.extend(releases.iter().flat_map(|lease| self.release(lease)));
        all.extend(takes.iter().flat_map(|lease| self.take(lease)));
        all.push("COMMIT".into());
        all.join(";")
    }

    fn renew(&self, leases: &[Lease]) -> String {
        let renew = |lease: &Lease| {
            let set = format!("expires_at={}", no_earlier(lease.lasts));
            let alive = format!(" AND expires_at>={NOW} AND {}", ours(lease));
            [self.update(lease, &set, &alive), self.select(AFTER, lease, "")]
        };
        leases.iter().flat_map(renew).collect::<Vec<_>>().join(";")
    }

    fn check(&self, lease: &Lease) -> String {
        self.select(AFTER, lease, "")
    }

    fn own(&self, lease: &Lease, to: &Owner) -> String {
        let set = format!("locked_by={},expires_at={}", literal(to.as_str()), end(lease.lasts));
        let alive = format!(" AND expires_at>={NOW} AND {}", ours(lease));
        let update = self.update(lease, &set, &alive);
        let read = self.select(AFTER, lease, " FOR UPDATE");
        format!("START TRANSACTION;{update};{read};COMMIT")
    }

    fn old(&self, _: Duration, _: &str) -> Option<String> {
        None
    }

    fn remove(&self, _: &[String]) -> String {
        "COMMIT".into()
    }

    fn status(&self, name: Option<&str>) -> String {
        let filter = name.map(|name| format!(" AND name={}", literal(name))).unwrap_or_default();
        format!(
            "SELECT name,locked_by,NULL,NULL FROM {} WHERE expires_at>={NOW}{filter} ORDER BY name",
            self.name
        )
    }

    fn explain(&self) -> Box<dyn Fn(&str) -> String + Send + Sync> {
        let table = self.name.clone();
        Box::new(move |name| {
            format!(
                "SELECT locked_by, expires_at FROM {table} WHERE name = {} AND expires_at >= {NOW}",
                literal(name)
            )
        })
    }
}
