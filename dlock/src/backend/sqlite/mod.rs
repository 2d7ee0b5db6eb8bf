//! SQLite: leases in a file, for the processes of one machine.
//!
//! Its clock is that of the process, in milliseconds since 1970.

mod batch;
mod connect;
mod errors;
mod lease_sql;
mod status;
#[cfg(target_os = "linux")]
mod watch;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use tokio::time::sleep;

use self::batch::{first_fence, json, millis};
use self::lease_sql::LeaseSql;
use super::lease::prune::{self, Pruned};
use super::lease::{Failure, Lease, LeaseBackend, Outcomes, Owner, Taken};
use crate::backend::LockView;
use crate::error::{Error, Result};
use crate::spec::native::NativeKey;
use crate::status::Finding;
use crate::status::holder::foreign;

/// An open file.
pub(crate) struct File {
    connection: SqliteConnection,
    /// Device and inode.
    identity: Option<(u64, u64)>,
    /// The names that were refused, and are perhaps polled.
    refused: HashSet<Box<str>>,
    /// There is none before it is wanted, nor where it cannot be had.
    #[cfg(target_os = "linux")]
    watch: Option<Option<watch::Watch>>,
}

/// Leases in an SQLite file.
pub(crate) struct Sqlite {
    options: SqliteConnectOptions,
    label: Box<str>,
    /// The statement that sets the journal's mode.
    journal: &'static str,
    sql: LeaseSql,
}

impl Sqlite {
    /// Has the file's journal as it is wanted. For that nobody else may read or write at that very
    /// moment; a file where there is always somebody is used as it is.
    async fn set_journal_mode(&self, connection: &mut SqliteConnection) -> Result<(), Failure> {
        for _ in 0..3 {
            let set = sqlx::raw_sql(self.journal).execute(&mut *connection);
            match set.await.map_err(|error| self.failure(error)) {
                Ok(_) => break,
                // Two who begin together may be in each other's way.
                Err(Failure::Busy(_)) => sleep(Duration::from_millis(fastrand::u64(1..20))).await,
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
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
        self.set_journal_mode(&mut connection).await?;
        let table = sqlx::raw_sql(AssertSqlSafe(&*self.sql.table));
        table.execute(&mut connection).await.map_err(failure)?;
        let probe = sqlx::raw_sql(AssertSqlSafe(&*self.sql.probe));
        match probe.execute(&mut connection).await.map_err(failure) {
            Ok(_) => {
                let identity = self.identity();
                Ok(File {
                    connection,
                    identity,
                    refused: HashSet::new(),
                    #[cfg(target_os = "linux")]
                    watch: None,
                })
            }
            Err(Failure::Failed(Error::Backend { source, .. })) => {
                Err(Failure::Failed(Error::config(format!(
                    "the table {} in {} is not one of dlock's: {}; it must be as \
                     dlock::lease::ddl(\"sqlite\") says, and is made when missing",
                    self.sql.name,
                    self.label,
                    foreign(&source.to_string())
                ))))
            }
            Err(failure) => Err(failure),
        }
    }

    #[cfg(target_os = "linux")]
    async fn changed(&self, file: &mut File) {
        let path = self.options.get_filename();
        match file.watch.get_or_insert_with(|| watch::Watch::new(path).ok()) {
            Some(watch) => watch.changed().await,
            None => std::future::pending().await,
        }
    }

    async fn apply(
        &self,
        file: &mut File,
        releases: &[Lease],
        takes: &[Lease],
    ) -> Result<Outcomes, Failure> {
        self.same_file(file)?;
        let held = self.refusals(file, takes).await?;
        if held.is_empty() {
            let outcomes = self.write(file, releases, takes).await?;
            file.remember(takes, &outcomes.taken);
            return Ok(outcomes);
        }
        let free = |lease: &&Lease| !held.contains_key(&*lease.name());
        let takes_left: Vec<_> = takes.iter().filter(free).cloned().collect();
        let Outcomes { released, taken } = match (releases, &*takes_left) {
            ([], []) => Outcomes::default(),
            (releases, takes) => self.write(file, releases, takes).await?,
        };
        file.remember(&takes_left, &taken);
        let mut taken = taken.into_iter();
        let taken = takes.iter().map(|lease| match held.get(&*lease.name()) {
            Some(left) => Taken::Held(Some(*left)),
            None => taken.next().unwrap_or(Taken::Held(None)),
        });
        Ok(Outcomes { released, taken: taken.collect() })
    }

    async fn renew(&self, file: &mut File, leases: &[Lease]) -> Result<Vec<bool>, Failure> {
        self.same_file(file)?;
        let rows =
            sqlx::query_as::<_, (String, String)>(AssertSqlSafe(Arc::clone(&self.sql.renew)))
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
        let row = sqlx::query(AssertSqlSafe(Arc::clone(&self.sql.check)))
            .bind(lease.name())
            .bind(lease.owner.as_str())
            .bind(lease.fence_or_zero())
            .fetch_optional(&mut file.connection);
        Ok(row.await.map_err(|error| self.failure(error))?.is_some())
    }

    async fn status(
        &self,
        file: &mut File,
        of: Option<&NativeKey>,
    ) -> Result<Vec<LockView>, Failure> {
        self.seen(file, of).await
    }

    async fn own(&self, file: &mut File, lease: &Lease, to: &Owner) -> Result<Taken, Failure> {
        self.same_file(file)?;
        let sql = AssertSqlSafe(Arc::clone(&self.sql.own));
        let fences = sqlx::query_scalar::<_, i64>(sql)
            .bind(lease.name())
            .bind(lease.owner.as_str())
            .bind(lease.fence_or_zero())
            .bind(to.as_str())
            .bind(millis(lease.lasts))
            .fetch_all(&mut file.connection)
            .await
            .map_err(|error| self.failure(error))?;
        Ok(Taken::of(fences.first().copied().map(Some)))
    }

    async fn prune(
        &self,
        file: &mut File,
        older_than: Duration,
        from: &str,
    ) -> Result<Pruned, Failure> {
        self.same_file(file)?;
        let names = sqlx::query_scalar(AssertSqlSafe(Arc::clone(&self.sql.prune)))
            .bind(prune::micros(older_than).div_euclid(1000))
            .bind(from)
            .bind(first_fence())
            .fetch_all(&mut file.connection)
            .await;
        let mut names: Vec<String> = names.map_err(|error| self.failure(error))?;
        // In the order in which they were found.
        names.sort();
        Ok(Pruned::of(names))
    }

    async fn examine(&self, file: &mut File) -> Result<Vec<Finding>, Failure> {
        self.findings(file).await
    }

    async fn close(&self, file: File) {
        let _ = file.connection.close().await;
    }
}
