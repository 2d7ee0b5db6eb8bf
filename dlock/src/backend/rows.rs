//! The rows of sqlx's answers, within [bounds](super::bounds).

use std::future::poll_fn;
use std::pin::Pin;

use futures_core::Stream;
use sqlx::{Database, Either, Execute, Executor, Row as _};

use super::bounds::{Bounds, TooLong};

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
        Some(_) => Err(too_long(TooLong::OneRow)),
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
                answer.add((0..row.len()).map(|column| row.size(column))).map_err(too_long)?;
                take(row)?;
            }
            Either::Left(result) => {
                answer.add(std::iter::empty()).map_err(too_long)?;
                done.extend([result]);
            }
        }
    }
    Ok(done)
}

fn too_long(error: TooLong) -> sqlx::Error {
    sqlx::Error::Protocol(error.to_string())
}
