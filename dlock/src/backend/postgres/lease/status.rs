//! What can be seen of a server: who holds a lease, and how it is set up.

use std::time::{Duration, SystemTime};

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::{Connection, Postgres};
use crate::backend::LockView;
use crate::backend::lease::{self, Failure, Table, name, prune, seen};
use crate::backend::postgres::lease_sql::{BEGIN, LeaseSql, quoted};
use crate::spec::native::NativeKey;
use crate::status::Finding;

/// About the table whose name follows. What `synchronous_commit` would be had we not set it.
const FACTS: &str = "SELECT \
    (SELECT s.reset_val FROM pg_settings s WHERE s.name = 'synchronous_commit'), \
    current_setting('fsync') = 'on', current_setting('synchronous_standby_names') <> '', \
    c.relpersistence = 'u', NOT EXISTS (SELECT FROM pg_attribute a \
    JOIN pg_collation l ON l.oid = a.attcollation WHERE a.attrelid = c.oid AND a.attname = 'name' \
    AND NOT l.collisdeterministic), current_setting('server_encoding'), \
    EXTRACT(EPOCH FROM clock_timestamp())::float8 FROM pg_class c WHERE c.oid = ";

/// What was asked of the server.
struct Facts {
    synchronous_commit: String,
    fsync: bool,
    has_standbys: bool,
    unlogged: bool,
    /// Only names of the same bytes are equal.
    deterministic: bool,
    encoding: String,
    /// In seconds since 1970.
    clock: f64,
}

impl Postgres {
    /// How to find the holder of a key by hand.
    pub(crate) fn explain(&self) -> Box<dyn Fn(&NativeKey) -> String + Send + Sync> {
        // The schema is not asked for: it is that of the one who looks.
        let sql = LeaseSql::new(&self.table);
        Box::new(move |key| sql.explain(&name(key)))
    }

    /// Who holds this key, or any.
    pub(super) async fn seen(
        &self,
        connection: &mut Connection,
        of: Option<&NativeKey>,
    ) -> Result<Vec<LockView>, Failure> {
        let text = connection.sql().status(of);
        let rows = self.ask(connection, text).await?;
        let seen = rows.iter().map(|row| read(row).map(|row| seen(row, of)));
        seen.collect::<sqlx::Result<_>>().map_err(|error| self.failure(error))
    }

    /// What weakens locks.
    pub(super) async fn findings(
        &self,
        connection: &mut Connection,
    ) -> Result<Vec<Finding>, Failure> {
        let text = format!("{BEGIN}{FACTS}{}::regclass", quoted(&connection.sql().table));
        let rows = self.ask(connection, text).await?;
        let facts = rows.first().map(Facts::read).transpose();
        let facts = facts.map_err(|error| self.failure(error))?;
        let several = self.hosts.len() > 1;
        let found = facts.map(|facts| facts.findings(several, &self.table)).unwrap_or_default();
        if self.table.django {
            return Ok(found);
        }
        let text = format!("{BEGIN}{}", prune::count(&connection.sql().table));
        let rows = self.ask(connection, text).await?;
        let rows = rows.first().and_then(|row| row.try_get(0).ok()).unwrap_or_default();
        Ok(found.into_iter().chain(prune::finding(&self.table.name, rows)).collect())
    }
}

impl Facts {
    fn read(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Facts {
            synchronous_commit: row.try_get(0)?,
            fsync: row.try_get(1)?,
            has_standbys: row.try_get(2)?,
            unlogged: row.try_get(3)?,
            deterministic: row.try_get(4)?,
            encoding: row.try_get(5)?,
            clock: row.try_get(6)?,
        })
    }

    fn findings(&self, several: bool, table: &Table) -> Vec<Finding> {
        let mut found = Vec::new();
        let name = &table.name;
        if self.unlogged {
            found.push(Finding::problem(
                format!("the table {name} is unlogged: a crash empties it, and tokens start again"),
                "ALTER TABLE … SET LOGGED",
            ));
        }
        if !self.deterministic {
            found.push(Finding::problem(
                format!("the collation of {name}.name takes different names for one"),
                "ALTER TABLE … ALTER COLUMN name TYPE text COLLATE \"C\"",
            ));
        }
        if several && !self.has_standbys {
            found.push(Finding::problem(
                "the url has several hosts, and no standby is synchronous: what was granted last \
                 may be granted again after a fail-over",
                "set synchronous_standby_names on the server",
            ));
        }
        if !self.fsync {
            found.push(Finding::note(
                "fsync is off: after a power loss leases and fencing tokens may be gone",
                "turn it on, on the server",
            ));
        }
        if matches!(&*self.synchronous_commit, "off" | "local") {
            found.push(Finding::note(
                format!("synchronous_commit is {} here", self.synchronous_commit),
                "it is on in dlock's own transactions; what you write under a lock may be lost",
            ));
        }
        if self.encoding != "UTF8" {
            found.push(Finding::note(
                format!("the database's encoding is {}: not every key has a name", self.encoding),
                "use keys of ASCII letters, or a database in UTF8",
            ));
        }
        // Ours are timed by the server's clock alone.
        let here = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs_f64();
        if table.django && (here - self.clock).abs() > 1.0 {
            found.push(Finding::problem(
                format!(
                    "the server's clock and this machine's are {:.0} s apart",
                    here - self.clock
                ),
                "set them by NTP: django-database-locks goes by that of each machine",
            ));
        }
        found
    }
}

fn read(row: &PgRow) -> sqlx::Result<lease::Row> {
    let (name, owner, fence) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    Ok(lease::Row { name, owner, fence, held_for: seconds(row.try_get(3)?) })
}

/// A time that the server has counted.
pub(super) fn seconds(seconds: Option<f64>) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds?).ok()
}
