//! The rows of an answer, within bounds.
//!
//! A server that has gone wrong, or something between that answers in its place, may send rows
//! without end. Drivers keep all of them. Here an answer that is longer than any that dlock asks for
//! is an error, and no error of the server's: so it ends the session, whose rest nobody reads.

use std::future::poll_fn;
use std::pin::Pin;

use futures_core::Stream;
use sqlx::{Database, Either, Execute, Executor, Row as _};

/// How many rows an answer may have: the longest one is the list of all locks of a large server.
const ROWS_MAX: usize = 100_000;
/// How many bytes all these rows together may have.
const BYTES_MAX: usize = 64 << 20;
/// What a driver keeps of a column, whatever is in it.
const COLUMN_SIZE: usize = 32;

/// How much of an answer has come.
#[derive(Debug, Default)]
pub(crate) struct Bounds {
    rows: usize,
    bytes: usize,
}

impl Bounds {
    /// Counts a row with columns of these sizes, or the end of a statement: there can be statements
    /// without end that have no rows.
    ///
    /// # Errors
    /// When there is more than any answer has.
    pub(crate) fn add(&mut self, columns: impl Iterator<Item = usize>) -> sqlx::Result<()> {
        self.rows += 1;
        // The first row is there as it is, and mostly the only one.
        if self.rows > 1 {
            self.bytes += columns.map(|size| COLUMN_SIZE + size).sum::<usize>();
        }
        if self.rows > ROWS_MAX {
            return Err(too_long(format_args!("{ROWS_MAX} rows")));
        }
        if self.bytes > BYTES_MAX {
            return Err(too_long(format_args!("{BYTES_MAX} bytes")));
        }
        Ok(())
    }
}

/// A row whose size is to be known.
pub(crate) trait Measured: sqlx::Row {
    /// How many bytes are in that column.
    fn size(&self, column: usize) -> usize;
}

#[cfg(feature = "postgres")]
impl Measured for sqlx::postgres::PgRow {
    fn size(&self, column: usize) -> usize {
        let value = self.try_get_raw(column).ok();
        value.and_then(|value| value.as_bytes().ok().map(<[u8]>::len)).unwrap_or(0)
    }
}

#[cfg(feature = "mysql")]
impl Measured for sqlx::mysql::MySqlRow {
    fn size(&self, column: usize) -> usize {
        let value: Option<Option<&[u8]>> = self.try_get_unchecked(column).ok();
        value.flatten().map_or(0, <[u8]>::len)
    }
}

/// The steps of an answer: rows, and the ends of statements.
type Steps<'a, DB> = Pin<
    Box<
        dyn Stream<
                Item = sqlx::Result<Either<<DB as Database>::QueryResult, <DB as Database>::Row>>,
            > + Send
            + 'a,
    >,
>;

/// Reads all rows of an answer.
///
/// # Errors
/// Those of the driver, and when there is more than any answer has.
pub(crate) async fn all<'c, 'q, DB, E>(
    executor: E,
    query: impl Execute<'q, DB> + 'q,
) -> sqlx::Result<Vec<DB::Row>>
where
    DB: Database<Row: Measured>,
    E: Executor<'c, Database = DB>,
{
    let mut rows = Vec::new();
    read::<DB>(executor.fetch_many(query), |row| {
        rows.push(row);
        Ok(())
    })
    .await?;
    Ok(rows)
}

/// Reads the one row of an answer.
///
/// # Errors
/// Those of the driver, and when there is no row or another one.
pub(crate) async fn one<'c, 'q, DB, E>(
    executor: E,
    query: impl Execute<'q, DB> + 'q,
) -> sqlx::Result<DB::Row>
where
    DB: Database<Row: Measured>,
    E: Executor<'c, Database = DB>,
{
    let mut found = None;
    read::<DB>(executor.fetch_many(query), |row| match found.replace(row) {
        None => Ok(()),
        Some(_) => Err(too_long(format_args!("one row"))),
    })
    .await?;
    found.ok_or(sqlx::Error::RowNotFound)
}

/// Runs statements whose rows, if there are any, nobody wants.
///
/// # Errors
/// Those of the driver, and when there is more than any answer has.
pub(crate) async fn none<'c, 'q, DB, E>(
    executor: E,
    query: impl Execute<'q, DB> + 'q,
) -> sqlx::Result<DB::QueryResult>
where
    DB: Database<Row: Measured>,
    E: Executor<'c, Database = DB>,
{
    read::<DB>(executor.fetch_many(query), |_| Ok(())).await
}

/// Hands the rows over one by one, and returns the sum of what else the statements say.
async fn read<DB: Database<Row: Measured>>(
    mut steps: Steps<'_, DB>,
    mut take: impl FnMut(DB::Row) -> sqlx::Result<()>,
) -> sqlx::Result<DB::QueryResult> {
    let (mut answer, mut done) = (Bounds::default(), DB::QueryResult::default());
    while let Some(step) = poll_fn(|cx| steps.as_mut().poll_next(cx)).await {
        match step? {
            Either::Right(row) => {
                answer.add((0..row.len()).map(|column| row.size(column)))?;
                take(row)?;
            }
            Either::Left(result) => {
                answer.add(std::iter::empty())?;
                done.extend([result]);
            }
        }
    }
    Ok(done)
}

fn too_long(most: std::fmt::Arguments<'_>) -> sqlx::Error {
    sqlx::Error::Protocol(format!("the server's answer is longer than {most}, and goes on"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_bytes_have_a_bound() {
        let mut rows = Bounds::default();
        assert!((0..ROWS_MAX).all(|_| rows.add([1].into_iter()).is_ok()));
        assert!(rows.add([1].into_iter()).is_err());
        let mut bytes = Bounds::default();
        let many = || std::iter::repeat_n(0, 60_000);
        let read = (0..ROWS_MAX).take_while(|_| bytes.add(many()).is_ok()).count();
        assert!((30..40).contains(&read), "{read} rows of nothing but columns");
    }
}
