//! The lease table: made where it may be, and looked at before it is used.

use std::time::Duration;

use super::connect::{Connection, Unanswered};
use super::errors::is_right;
use super::lease_sql::LeaseSql;
use crate::backend::bounds::Bounds;
use crate::backend::errors::ErrorKind;
use crate::error::{Error, Result, Source};

/// The table's columns, and what the type of each begins with.
const COLUMNS: [(&str, &str); 5] = [
    ("NAME", "RAW"),
    ("OWNER", "RAW"),
    ("FENCE", "NUMBER"),
    ("ACQUIRED_AT", "TIMESTAMP"),
    ("EXPIRES_AT", "TIMESTAMP"),
];

/// A row's columns, as text.
pub(super) type Row = Vec<Option<String>>;

/// Makes sure that the table is there and can be used.
pub(super) async fn prepare(
    label: &str,
    sql: &LeaseSql,
    connection: &Connection,
    limit: Duration,
) -> Result<()> {
    let failed = |error: Unanswered| error.into_error(label);
    let no_right = |error: Unanswered| no_right(label, sql, error.into_source());
    if let Err(what) = judge(&rows(connection, limit, sql.columns()).await.map_err(failed)?) {
        match run(connection, limit, sql.ddl()).await {
            // Somebody else has made it at the same time.
            Err(error) if error.kind() == ErrorKind::TableExists => {}
            Err(error) if is_right(error.kind()) => return Err(no_right(error)),
            made => made.map_err(failed)?,
        }
        let columns = rows(connection, limit, sql.columns()).await.map_err(failed)?;
        judge(&columns).map_err(|now| {
            let what = if columns.is_empty() { what } else { now };
            Error::config(format!(
                "the table {} on {label} cannot hold leases: {what}; it must be as \
                 dlock::lease::ddl(\"oracle\") says, and is made when missing",
                sql.table()
            ))
        })?;
    }
    // Compiles what will be asked, without doing it: so it is known that it may be.
    match run(connection, limit, &sql.probe()).await {
        Err(error) if is_right(error.kind()) => Err(no_right(error)),
        probed => probed.map_err(failed),
    }
}

/// What two processes could not both rely on.
fn judge(columns: &[Row]) -> Result<(), String> {
    for (name, kind) in COLUMNS {
        let text = |row: &Row, column: usize| row.get(column).cloned().flatten();
        let mut found = columns.iter().filter(|row| text(row, 0).as_deref() == Some(name));
        match found.next().map(|row| text(row, 1).unwrap_or_default()) {
            None => return Err(format!("it has no column {}", name.to_lowercase())),
            Some(found) if found.starts_with(kind) => {}
            Some(found) => {
                return Err(format!("its column {} is of type {found}", name.to_lowercase()));
            }
        }
    }
    Ok(())
}

/// What a user must be allowed.
pub(super) fn no_right(label: &str, sql: &LeaseSql, source: Source) -> Error {
    let remedy = format!(
        "GRANT SELECT, INSERT, UPDATE ON {} TO this user; if the table is not there, GRANT CREATE TABLE \
         and a quota on its tablespace as well, or run the statements that make it",
        sql.table()
    );
    Error::permission(label, remedy, source).with_ddl(sql.ddl().to_owned())
}

/// Runs a statement that has no rows. Its end mark is no part of it.
async fn run(connection: &Connection, limit: Duration, sql: &str) -> Result<(), Unanswered> {
    let is_block = sql.trim_end().ends_with("END;");
    let sql = if is_block { sql } else { sql.trim_end().trim_end_matches(';') }.to_owned();
    connection.ask(limit, move |driver| driver.execute(&sql, &[]).map(drop)).await
}

/// The rows of a query, whose columns are all text.
pub(super) async fn rows(
    connection: &Connection,
    limit: Duration,
    sql: String,
) -> Result<Vec<Row>, Unanswered> {
    let read = move |driver: &oracledb::Connection| {
        let cursor = driver.query(&sql, &[])?;
        let width = cursor.columns().len();
        let (mut rows, mut bounds) = (Vec::new(), Bounds::default());
        for row in cursor {
            let row = row?;
            let columns: Result<Row, _> = (0..width).map(|column| row.get(column)).collect();
            let columns = columns?;
            let sizes = columns.iter().map(|text| text.as_ref().map_or(0, String::len));
            if let Err(error) = bounds.add(sizes) {
                return Ok(Err(error));
            }
            rows.push(columns);
        }
        Ok(Ok(rows))
    };
    connection.ask(limit, read).await?.map_err(Unanswered::TooLong)
}
