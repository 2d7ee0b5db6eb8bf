//! Removing the rows of keys that nobody uses any more.
//!
//! A fence must go on growing when its row is removed and made anew. The high-water mark is the
//! database's clock: the fence of a new row is the microseconds since 2020, and a row is removed only
//! when its own fence is less than that by more than the age that was asked for. Nothing has to be
//! remembered for that, so all versions and all processes agree on it, and no take reads one row more.
//! It holds as long as the clock is not set back by more than that age (in a cluster: as long as clocks
//! do not differ by more), and no statement is under way for longer.

use std::time::Duration;

#[cfg(feature = "_server")]
use super::Failure;
#[cfg(feature = "_server")]
use crate::error::Error;
use crate::status::Finding;

/// So many rows are removed at once: takes of other keys go between.
pub(crate) const ROWS_MAX: usize = 1000;
/// More rows than this make it slow to read all of them.
pub(crate) const ROWS_MANY: usize = 100_000;
/// Nobody means more, and databases count from a date.
const AGE_MAX: Duration = Duration::from_secs(50 * 366 * 24 * 60 * 60);

/// What became of one part of the table.
#[derive(Debug, Default)]
pub(crate) struct Pruned {
    pub(crate) removed: u64,
    /// From this name on there may be more.
    pub(crate) next: Option<String>,
}

impl Pruned {
    /// Of the names of the rows that were removed, in their order.
    #[cfg(any(feature = "mssql", feature = "mysql", feature = "postgres", feature = "sqlite"))]
    pub(crate) fn of(mut names: Vec<String>) -> Self {
        let removed = names.len();
        Pruned {
            removed: removed.try_into().unwrap_or(u64::MAX),
            next: if removed < ROWS_MAX { None } else { names.pop() },
        }
    }
}

/// As a number of microseconds that any database can subtract.
pub(crate) fn micros(age: Duration) -> i64 {
    age.min(AGE_MAX).as_micros().try_into().unwrap_or(i64::MAX)
}

/// A right that is missing is one more than locks need.
#[cfg(feature = "_server")]
pub(crate) fn needs_delete(failure: Failure, table: &str) -> Failure {
    match failure {
        Failure::Failed(Error::Permission { key, backend, source, .. }) => {
            let remedy =
                format!("to prune is to delete: GRANT DELETE ON {table} TO this user").into();
            Failure::Failed(Error::Permission { key, backend, remedy, ddl: None, source })
        }
        failure => failure,
    }
}

/// A statement that counts the rows of a table, given in quotes, to one more than are many.
#[cfg(any(feature = "mysql", feature = "postgres", feature = "sqlite"))]
pub(crate) fn count(table: &str) -> String {
    format!(
        "SELECT COUNT(*) FROM (SELECT 1 AS one FROM {table} LIMIT {}) AS counted",
        ROWS_MANY + 1
    )
}

/// What to say of so many rows.
pub(crate) fn finding(table: &str, rows: i64) -> Option<Finding> {
    let many = usize::try_from(rows).is_ok_and(|rows| rows > ROWS_MANY);
    many.then(|| {
        Finding::note(
            format!(
                "the table {table} has more than {ROWS_MANY} rows, one for each key that was ever locked: \
                 status, and backups, read them all"
            ),
            "call Locker::prune from time to time, for example with 30 days",
        )
    })
}
