//! The lease table: made where it may be, and looked at before it is used.

use std::time::Duration;

use super::connection::{Connection, Unanswered};
use super::errors::is_right;
use super::lease_sql::LeaseSql;
use crate::backend::bounds::Bounds;
use crate::backend::errors::ErrorKind;
use crate::backend::lease::{Columns, Rights, TableAccess, ensure_table, misfit, unfit};
use crate::error::{Error, Result, Source};

/// The table's columns, and what the type of each begins with.
const COLUMNS: Columns = &[
    ("name", &["RAW"]),
    ("owner", &["RAW"]),
    ("fence", &["NUMBER"]),
    ("acquired_at", &["TIMESTAMP"]),
    ("expires_at", &["TIMESTAMP"]),
];

/// A row's columns, as text.
pub(super) type Row = Vec<Option<String>>;

const REMEDY: &str = "it must be as dlock::lease::ddl(\"oracle\") says, and is made when missing";

/// Makes sure that the table is there and can be used.
pub(super) async fn prepare(
    label: &str,
    sql: &LeaseSql,
    connection: &Connection,
    limit: Duration,
) -> Result<()> {
    let reached = Reached { label, sql, connection, limit };
    ensure_table(&reached).await?;
    // Compiles what will be asked, without doing it: so it is known that it may be.
    let probed = run(connection, limit, &sql.probe()).await;
    probed.map_err(|error| reached.refused(error))
}

/// The table, on that connection.
struct Reached<'a> {
    label: &'a str,
    sql: &'a LeaseSql,
    connection: &'a Connection,
    limit: Duration,
}

impl Reached<'_> {
    fn refused(&self, error: Unanswered) -> Error {
        match is_right(error.kind()) {
            true => no_right(self.label, self.sql, error.into_source()),
            false => error.into_error(self.label),
        }
    }
}

impl TableAccess for &Reached<'_> {
    type Error = Error;

    async fn is_missing(&mut self, makes: u32) -> Result<bool> {
        let columns = rows(self.connection, self.limit, self.sql.columns()).await;
        let columns = columns.map_err(|error| error.into_error(self.label))?;
        if columns.is_empty() && makes == 0 {
            return Ok(true);
        }
        let text = |row: &Row, at: usize| row.get(at).cloned().flatten().unwrap_or_default();
        let found: Vec<_> = columns.iter().map(|row| (text(row, 0), text(row, 1))).collect();
        let wrong = misfit(COLUMNS, &found);
        wrong.map_or(Ok(false), |what| Err(unfit(self.label, self.sql.table(), &what, REMEDY)))
    }

    async fn make(&mut self) -> Result<(), (ErrorKind, Error)> {
        let made = run(self.connection, self.limit, self.sql.ddl()).await;
        made.map_err(|error| (error.kind(), self.refused(error)))
    }
}

/// What a user must be allowed.
pub(super) fn no_right(label: &str, sql: &LeaseSql, source: Source) -> Error {
    let rights = Rights { label, table: sql.table(), user: "this user" };
    let make = ("CREATE TABLE and a quota on its tablespace", sql.ddl().to_owned());
    rights.missing(Some(make), source)
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
