//! SQLite: leases in a file, for the processes of one machine.
//!
//! Its clock is that of the process, in milliseconds since 1970. A list of leases goes in as JSON,
//! so that one statement, prepared once, serves any number of them.

mod address;
mod failure;
mod texts;
mod view;

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

use self::texts::Texts;
use super::{Failure, Lease, LeaseBackend, Taken, Verdicts};
use crate::backend::Seen;
use crate::error::{Error, Result};
use crate::native::NativeKey;
use crate::status::Finding;

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
    texts: Texts,
}

impl Sqlite {
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

    fn poll(&self) -> (Duration, Duration) {
        (Duration::from_millis(1), Duration::from_millis(20))
    }

    fn has_our_clock(&self) -> bool {
        true
    }

    fn has_busy_rows(&self) -> bool {
        false
    }

    async fn open(&self) -> Result<File, Failure> {
        let failure = |error| self.failure(error);
        let mut connection = self.options.connect().await.map_err(failure)?;
        let table = sqlx::raw_sql(AssertSqlSafe(&*self.texts.table));
        table.execute(&mut connection).await.map_err(failure)?;
        let probe = sqlx::raw_sql(AssertSqlSafe(&*self.texts.probe));
        match probe.execute(&mut connection).await.map_err(failure) {
            Ok(_) => Ok(File { connection, identity: self.identity() }),
            Err(Failure::Failed(Error::Backend { source, .. })) => {
                Err(Failure::Failed(Error::config(format!(
                    "the table {} in {} is not one of dlock's: {source}; it must be as \
                     dlock::lease::ddl(\"sqlite\") says, and is made when missing",
                    self.texts.name, self.label
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
    ) -> Result<Verdicts, Failure> {
        self.same_file(file)?;
        // One statement is a transaction by itself.
        let (sql, both) = match (releases, takes) {
            ([], _) => (&self.texts.take, false),
            (_, []) => (&self.texts.release, false),
            _ => (&self.texts.release_and_take, true),
        };
        // All rows are read: the last answer is that of the commit.
        let sql = AssertSqlSafe(&**sql);
        let written = sqlx::query_as::<_, (String, Option<String>, Option<i64>)>(sql)
            .bind(json(releases))
            .bind(json(takes))
            .fetch_all(&mut file.connection)
            .await;
        let rows = match written.map_err(|error| self.failure(error)) {
            Ok(rows) => rows,
            Err(failure) if both => {
                return Err(self.roll_back(&mut file.connection, failure).await);
            }
            Err(failure) => return Err(failure),
        };
        let (mut released, mut taken) = (HashSet::new(), HashMap::new());
        for (name, owner, fence) in &rows {
            match owner {
                None => drop(released.insert(&**name)),
                Some(owner) => drop(taken.insert((&**name, &**owner), *fence)),
            }
        }
        let taken = |lease: &Lease| match taken.get(&(&*lease.name(), lease.owner.as_str())) {
            Some(fence) => Taken::Granted(fence.and_then(|fence| u64::try_from(fence).ok())),
            None => Taken::Held(None),
        };
        Ok(Verdicts {
            released: releases.iter().map(|lease| released.contains(&*lease.name())).collect(),
            taken: takes.iter().map(taken).collect(),
        })
    }

    async fn renew(&self, file: &mut File, leases: &[Lease]) -> Result<Vec<bool>, Failure> {
        self.same_file(file)?;
        let rows = sqlx::query_as::<_, (String, String)>(AssertSqlSafe(&*self.texts.renew))
            .bind(json(leases))
            .fetch_all(&mut file.connection)
            .await
            .map_err(|error| self.failure(error))?;
        let renewed: HashSet<_> = rows.iter().map(|(name, owner)| (&**name, &**owner)).collect();
        let renewed = |lease: &Lease| renewed.contains(&(&*lease.name(), lease.owner.as_str()));
        Ok(leases.iter().map(renewed).collect())
    }

    async fn check(&self, file: &mut File, lease: &Lease) -> Result<bool, Failure> {
        self.same_file(file)?;
        let row = sqlx::query(AssertSqlSafe(&*self.texts.check))
            .bind(lease.name())
            .bind(lease.owner.as_str())
            .bind(fence(lease))
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

/// `[["name","owner",fence,lasts],…]`.
fn json(leases: &[Lease]) -> String {
    let mut json = String::with_capacity(2 + 80 * leases.len());
    let mut next = '[';
    for lease in leases {
        json.push(next);
        json.push('[');
        text(&lease.name(), &mut json);
        json.push(',');
        text(lease.owner.as_str(), &mut json);
        // Writing to a String cannot fail.
        let _ = write!(json, ",{},{}]", fence(lease), millis(lease.lasts));
        next = ',';
    }
    if leases.is_empty() {
        json.push('[');
    }
    json.push(']');
    json
}

fn text(text: &str, json: &mut String) {
    json.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            // Writing to a String cannot fail.
            c if c < ' ' => drop(write!(json, "\\u{:04x}", u32::from(c))),
            c => json.push(c),
        }
    }
    json.push('"');
}

/// Zero where it is not known.
fn fence(lease: &Lease) -> i64 {
    lease.fence.and_then(|fence| i64::try_from(fence).ok()).unwrap_or(0)
}

/// Rounded up, and one more because the database's clock is rounded down: a lease must not end
/// before its holder's word.
fn millis(time: Duration) -> i64 {
    if time.is_zero() {
        return 0;
    }
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 4).saturating_add(2)
}
