//! The lease table: made where it may be, and looked at before it is used.

use tiberius::Row;
use tiberius::error::Error as DriverError;

use super::connect::Connection;
use super::errors::{error_of, kind_of};
use super::lease_sql::LeaseSql;
use super::results::{self, integer};
use crate::backend::errors::ErrorKind;
use crate::error::{Error, Result, Source};

/// The table's columns, and the type of each.
const COLUMNS: [(&str, &str); 5] = [
    ("name", "varbinary"),
    ("owner", "varbinary"),
    ("fence", "bigint"),
    ("acquired_at", "datetime2"),
    ("expires_at", "datetime2"),
];

/// Makes sure that the table is there and can be used.
pub(super) async fn prepare(
    label: &str,
    sql: &LeaseSql,
    connection: &mut Connection,
) -> Result<()> {
    let failed = |error| error_of(label, error);
    if let Err(what) = judge(&rows(connection, sql.columns()).await.map_err(failed)?) {
        match rows(connection, sql.ddl().to_owned()).await {
            // Somebody else has made it at the same time.
            Err(error) if kind_of(&error) == ErrorKind::TableExists => {}
            Err(error) if kind_of(&error) == ErrorKind::NoRight => {
                return Err(no_right(label, sql, std::sync::Arc::new(error)));
            }
            made => drop(made.map_err(failed)?),
        }
        let columns = rows(connection, sql.columns()).await.map_err(failed)?;
        judge(&columns).map_err(|now| {
            let what = if columns.is_empty() { what } else { now };
            Error::config(format!(
                "the table {} on {label} cannot hold leases: {what}; it must be as \
                 dlock::lease::ddl(\"mssql\") says, and is made when missing",
                sql.table()
            ))
        })?;
    }
    let rights = rows(connection, sql.probe()).await.map_err(failed)?;
    let row = rights.first();
    if (0..3).any(|column| row.and_then(|row| integer(row, column)) == Some(0)) {
        let source = Source::from(Box::from("HAS_PERMS_BY_NAME says no"));
        return Err(no_right(label, sql, source));
    }
    Ok(())
}

/// What two processes could not both rely on.
fn judge(columns: &[Row]) -> Result<(), String> {
    for (name, kind) in COLUMNS {
        let text = |row: &Row, column: usize| {
            let text = row.try_get::<&str, _>(column).ok().flatten();
            text.map(str::to_ascii_lowercase)
        };
        let mut found = columns.iter().filter(|row| text(row, 0).as_deref() == Some(name));
        match found.next().map(|row| text(row, 1).unwrap_or_default()) {
            None => return Err(format!("it has no column {name}")),
            Some(found) if found == kind => {}
            Some(found) => return Err(format!("its column {name} is of type {found}")),
        }
    }
    Ok(())
}

/// What a user must be allowed.
pub(super) fn no_right(label: &str, sql: &LeaseSql, source: Source) -> Error {
    let remedy = format!(
        "GRANT SELECT, INSERT, UPDATE ON {} TO this user; if the table is not there, GRANT CREATE TABLE \
         as well, or run the statements that make it",
        sql.table()
    );
    Error::permission(label, remedy, source).with_ddl(sql.ddl().to_owned())
}

/// The rows of the first result of a statement.
pub(super) async fn rows(
    connection: &mut Connection,
    sql: String,
) -> Result<Vec<Row>, DriverError> {
    results::first(connection.simple_query(sql).await?).await
}
