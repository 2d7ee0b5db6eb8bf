//! The lease table: made where it may be, and looked at before it is used.

use std::sync::Arc;

use tiberius::Row;
use tiberius::error::Error as DriverError;

use super::connect::Connection;
use super::errors::{error_of, kind_of};
use super::lease_sql::LeaseSql;
use super::results::{self, integer, text};
use crate::backend::errors::ErrorKind;
use crate::backend::lease::{Columns, Rights, TableAccess, ensure_table, misfit, unfit};
use crate::error::{Error, Result, Source};

/// The table's columns, and the type of each.
const COLUMNS: Columns = &[
    ("name", &["varbinary"]),
    ("owner", &["varbinary"]),
    ("fence", &["bigint"]),
    ("acquired_at", &["datetime2"]),
    ("expires_at", &["datetime2"]),
];

const REMEDY: &str = "it must be as dlock::lease::ddl(\"mssql\") says, and is made when missing";

/// Makes sure that the table is there and can be used.
pub(super) async fn prepare(
    label: &str,
    sql: &LeaseSql,
    connection: &mut Connection,
) -> Result<()> {
    ensure_table(Reached { label, sql, connection }).await?;
    let rights = rows(connection, sql.probe()).await.map_err(|error| error_of(label, error))?;
    let row = rights.first();
    if (0..3).any(|column| row.and_then(|row| integer(row, column)) == Some(0)) {
        let source = Source::from(Box::from("HAS_PERMS_BY_NAME says no"));
        return Err(no_right(label, sql, source));
    }
    Ok(())
}

/// The table, on that connection.
struct Reached<'a> {
    label: &'a str,
    sql: &'a LeaseSql,
    connection: &'a mut Connection,
}

impl TableAccess for Reached<'_> {
    type Error = Error;

    async fn is_missing(&mut self, makes: u32) -> Result<bool> {
        let columns = rows(self.connection, self.sql.columns()).await;
        let columns = columns.map_err(|error| error_of(self.label, error))?;
        if columns.is_empty() && makes == 0 {
            return Ok(true);
        }
        let text = |row, column| text(row, column).unwrap_or_default().to_ascii_lowercase();
        let found: Vec<_> = columns.iter().map(|row| (text(row, 0), text(row, 1))).collect();
        let wrong = misfit(COLUMNS, &found);
        wrong.map_or(Ok(false), |what| Err(unfit(self.label, self.sql.table(), &what, REMEDY)))
    }

    async fn make(&mut self) -> Result<(), (ErrorKind, Error)> {
        let made = rows(self.connection, self.sql.ddl().to_owned()).await;
        made.map(drop).map_err(|error| match kind_of(&error) {
            ErrorKind::NoRight => {
                (ErrorKind::NoRight, no_right(self.label, self.sql, Arc::new(error)))
            }
            kind => (kind, error_of(self.label, error)),
        })
    }
}

/// What a user must be allowed.
pub(super) fn no_right(label: &str, sql: &LeaseSql, source: Source) -> Error {
    let rights = Rights { label, table: sql.table(), user: "this user" };
    rights.missing(Some(("CREATE TABLE", sql.ddl().to_owned())), source)
}

/// The rows of the first result of a statement.
pub(super) async fn rows(
    connection: &mut Connection,
    sql: String,
) -> Result<Vec<Row>, DriverError> {
    results::first(connection.simple_query(sql).await?).await
}
