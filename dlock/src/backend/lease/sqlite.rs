//! SQLite: leases in a file, for the processes of one machine.
//!
//! Its clock is that of the process, in milliseconds since 1970. A list of leases goes in as JSON,
//! so that one statement, prepared once, serves any number of them.

/// `unixepoch('subsec')` would be NULL before SQLite 3.42, and nothing would ever run out.
macro_rules! now {
    () => {
        "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
    };
}
mod address;
mod failure;
mod view;

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use super::{Failure, Lease, LeaseBackend, LeaseOptions, Verdicts};
use crate::backend::Seen;
use crate::error::{Error, Result};
use crate::native::NativeKey;
use crate::status::Finding;

/// The owner decides: what has passed to another is left alone.
macro_rules! release {
    () => {
        "UPDATE dlock_leases SET expires_at = 0 FROM json_each(?1) AS l
         WHERE name = l.value ->> 0 AND owner = l.value ->> 1
         RETURNING name, owner, NULL"
    };
}
/// Compare and set: a row comes back only for what was written.
macro_rules! take {
    () => {
        concat!(
            "INSERT INTO dlock_leases (name, owner, fence, acquired_at, expires_at)
             SELECT value ->> 0, value ->> 1, 1, ",
            now!(),
            ", ",
            now!(),
            " + ?3
             FROM json_each(?2) WHERE true
             ON CONFLICT (name) DO UPDATE SET
                 owner = excluded.owner, fence = dlock_leases.fence + 1,
                 acquired_at = excluded.acquired_at, expires_at = excluded.expires_at
             WHERE dlock_leases.expires_at <= excluded.acquired_at
             RETURNING name, owner, fence"
        )
    };
}

const TABLE: &str = "CREATE TABLE IF NOT EXISTS dlock_leases (
    name TEXT NOT NULL PRIMARY KEY,
    owner TEXT NOT NULL,
    fence INTEGER NOT NULL,
    acquired_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID";
/// Compiles what will be asked, without doing it.
const PROBE: &str = concat!("EXPLAIN ", take!());
const RELEASE: &str = release!();
const TAKE: &str = take!();
/// IMMEDIATE: a transaction that begins by reading cannot wait for its turn to write (517).
const RELEASE_AND_TAKE: &str = concat!("BEGIN IMMEDIATE; ", release!(), "; ", take!(), "; COMMIT");
/// What has run out is not brought back: somebody may have looked already.
const RENEW: &str = concat!(
    "UPDATE dlock_leases SET expires_at = ",
    now!(),
    " + ?2 FROM json_each(?1) AS l
     WHERE name = l.value ->> 0 AND owner = l.value ->> 1 AND expires_at > ",
    now!(),
    " RETURNING name, owner"
);
const CHECK: &str =
    concat!("SELECT 1 FROM dlock_leases WHERE name = ?1 AND owner = ?2 AND expires_at > ", now!());

/// An open file.
pub(crate) struct File {
    connection: SqliteConnection,
    /// Device and inode.
    identity: Option<(u64, u64)>,
}

/// Leases in an SQLite file.
pub(crate) struct Sqlite {
    options: SqliteConnectOptions,
    label: Box<str>,
}

impl Sqlite {
    /// The database and its address, for messages.
    pub(crate) fn label(&self) -> Box<str> {
        self.label.clone()
    }

    /// Makes sure that a failed transaction has left nothing open. In an open one the next take
    /// would be granted without ever being written.
    async fn roll_back(&self, connection: &mut SqliteConnection, failure: Failure) -> Failure {
        match sqlx::raw_sql("ROLLBACK").execute(connection).await {
            Ok(_) => failure,
            Err(sqlx::Error::Database(error)) if error.message().contains("no transaction") => {
                failure
            }
            Err(_) => Failure::Failed(failure.into_error()),
        }
    }
}

impl LeaseBackend for Sqlite {
    type Connection = File;

    fn label(&self) -> Box<str> {
        self.label.clone()
    }

    async fn open(&self) -> Result<File, Failure> {
        let failure = |error| self.failure(error);
        let mut connection = self.options.connect().await.map_err(failure)?;
        sqlx::raw_sql(TABLE).execute(&mut connection).await.map_err(failure)?;
        match sqlx::raw_sql(PROBE).execute(&mut connection).await.map_err(failure) {
            Ok(_) => Ok(File { connection, identity: self.identity() }),
            Err(Failure::Failed(Error::Backend { source, .. })) => {
                Err(Failure::Failed(Error::config(format!(
                    "the table dlock_leases in {} is not one of dlock's: {source}; it must be \
                     dlock_leases (name PRIMARY KEY, owner, fence, acquired_at, expires_at), and \
                     is made when missing",
                    self.label
                ))))
            }
            Err(failure) => Err(failure),
        }
    }

    async fn apply(
        &self,
        file: &mut File,
        releases: &[Lease],
        takes: &[Lease],
        ttl: Duration,
    ) -> Result<Verdicts, Failure> {
        self.same_file(file)?;
        // One statement is a transaction by itself.
        let sql = match (releases, takes) {
            ([], _) => TAKE,
            (_, []) => RELEASE,
            _ => RELEASE_AND_TAKE,
        };
        // All rows are read: the last answer is that of the commit.
        let written = sqlx::query_as::<_, (String, String, Option<i64>)>(sql)
            .bind(json(releases))
            .bind(json(takes))
            .bind(millis(ttl))
            .fetch_all(&mut file.connection)
            .await;
        let rows = match written.map_err(|error| self.failure(error)) {
            Ok(rows) => rows,
            Err(failure) if sql == RELEASE_AND_TAKE => {
                return Err(self.roll_back(&mut file.connection, failure).await);
            }
            Err(failure) => return Err(failure),
        };
        let rows: HashMap<_, _> =
            rows.iter().map(|(name, owner, fence)| ((&**name, &**owner), *fence)).collect();
        let row = |lease: &Lease| rows.get(&(&*lease.name(), &*lease.owner)).copied();
        Ok(Verdicts {
            released: releases.iter().map(|lease| row(lease).is_some()).collect(),
            taken: takes.iter().map(|lease| u64::try_from(row(lease)??).ok()).collect(),
        })
    }

    async fn renew(
        &self,
        file: &mut File,
        leases: &[Lease],
        ttl: Duration,
    ) -> Result<Vec<bool>, Failure> {
        self.same_file(file)?;
        let rows = sqlx::query_as::<_, (String, String)>(RENEW)
            .bind(json(leases))
            .bind(millis(ttl))
            .fetch_all(&mut file.connection)
            .await
            .map_err(|error| self.failure(error))?;
        let renewed: HashSet<_> = rows.iter().map(|(name, owner)| (&**name, &**owner)).collect();
        Ok(leases.iter().map(|lease| renewed.contains(&(&*lease.name(), &*lease.owner))).collect())
    }

    async fn check(&self, file: &mut File, lease: &Lease) -> Result<bool, Failure> {
        self.same_file(file)?;
        let row = sqlx::query(CHECK)
            .bind(lease.name())
            .bind(&*lease.owner)
            .fetch_optional(&mut file.connection);
        Ok(row.await.map_err(|error| self.failure(error))?.is_some())
    }

    async fn status(&self, file: &mut File, of: Option<&NativeKey>) -> Result<Vec<Seen>, Failure> {
        self.seen(file, of).await
    }

    async fn examine(&self, file: &mut File) -> Result<Vec<Finding>, Failure> {
        self.findings(file).await
    }

    async fn close(&self, file: File) {
        let _ = file.connection.close().await;
    }
}

/// `[["name","owner"],…]`.
fn json(leases: &[Lease]) -> String {
    let mut json = String::with_capacity(2 + 64 * leases.len());
    let mut next = '[';
    for lease in leases {
        json.push(next);
        json.push_str("[\"");
        for c in lease.name().chars() {
            match c {
                '"' | '\\' => json.extend(['\\', c]),
                // Writing to a String cannot fail.
                c if c < ' ' => drop(write!(json, "\\u{:04x}", u32::from(c))),
                c => json.push(c),
            }
        }
        json.push_str("\",\"");
        json.push_str(&lease.owner);
        json.push_str("\"]");
        next = ',';
    }
    if leases.is_empty() {
        json.push('[');
    }
    json.push(']');
    json
}

/// Rounded up, and one more because the database's clock is rounded down: a lease must not end
/// before its holder's word.
fn millis(ttl: Duration) -> i64 {
    i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX / 4).saturating_add(2)
}
