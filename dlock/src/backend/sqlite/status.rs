//! What can be seen of an SQLite file: who holds a lease, and how the file is set up.

use std::time::Duration;

use sqlx::AssertSqlSafe;

use super::lease_sql::LeaseSql;
use super::{File, Sqlite};
use crate::backend::lease::{Failure, Row, name, prune, seen};
use crate::backend::{LockView, counted};
use crate::spec::native::NativeKey;
use crate::status::Finding;

/// <https://www.sqlite.org/pragma.html#pragma_synchronous>
const SETTINGS: &str =
    "SELECT journal_mode, synchronous FROM pragma_journal_mode, pragma_synchronous";
const FULL: i64 = 2;

impl Sqlite {
    /// How to find the holder of a key by hand.
    pub(crate) fn explain(&self) -> Box<dyn Fn(&NativeKey) -> String + Send + Sync> {
        let table = self.sql.name.clone();
        Box::new(move |key| LeaseSql::explain(&table, &name(key)))
    }

    /// Who holds this key, or any.
    pub(super) async fn seen(
        &self,
        file: &mut File,
        of: Option<&NativeKey>,
    ) -> Result<Vec<LockView>, Failure> {
        self.same_file(file)?;
        let rows =
            sqlx::query_as::<_, (String, String, i64, i64)>(AssertSqlSafe(&*self.sql.status))
                .bind(of.map(name))
                .fetch_all(&mut file.connection)
                .await
                .map_err(|error| self.failure(error))?;
        let read = |(name, owner, fence, age)| {
            let held_for = counted(Some::<i64>(age), Duration::from_millis);
            seen(Row { name, owner: Some(owner), fence: Some(fence), held_for }, of)
        };
        Ok(rows.into_iter().map(read).collect())
    }

    /// What weakens locks.
    pub(super) async fn findings(&self, file: &mut File) -> Result<Vec<Finding>, Failure> {
        self.same_file(file)?;
        let settings = sqlx::query_as::<_, (String, i64)>(SETTINGS).fetch_one(&mut file.connection);
        let (journal, synchronous) = settings.await.map_err(|error| self.failure(error))?;
        let rows = sqlx::query_scalar(AssertSqlSafe(&*self.sql.count));
        let rows =
            rows.fetch_one(&mut file.connection).await.map_err(|error| self.failure(error))?;
        let mut findings: Vec<_> = prune::finding(&self.sql.name, rows).into_iter().collect();
        if journal != "wal" {
            findings.push(Finding::note(
                format!("the journal mode is {journal}: renewals wait for readers"),
                "put the file on a local disk and leave ?journal_mode out: WAL has no such waits",
            ));
        }
        if synchronous < FULL {
            findings.push(Finding::note(
                "synchronous is less than FULL: after a power cut a fencing token may repeat",
                "leave ?synchronous out where fencing tokens are used",
            ));
        }
        Ok(findings)
    }
}
