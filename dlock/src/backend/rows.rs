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

/// Runs statements; what they answer is read by one of the methods.
///
/// `fetch_optional` would be two allocations and some 1,700 instructions cheaper, but does not end while
/// rows come, and nothing else of the engine goes on meanwhile.
pub(crate) fn ask<'a, 'c, 'q, DB, E>(
    executor: E,
    query: impl Execute<'q, DB> + 'q,
) -> Answer<'a, DB>
where
    'c: 'a,
    'q: 'a,
    DB: Database<Row: Measured>,
    E: Executor<'c, Database = DB>,
{
    Answer(executor.fetch_many(query))
}

/// An answer that is still to be read.
///
/// # Errors
/// All that reads it fails as the driver does, and when there is more than any answer has.
pub(crate) struct Answer<'a, DB: Database>(Steps<'a, DB>);

/// The steps of an answer: rows, and the ends of statements.
type Steps<'a, DB> = Pin<
    Box<
        dyn Stream<
                Item = sqlx::Result<Either<<DB as Database>::QueryResult, <DB as Database>::Row>>,
            > + Send
            + 'a,
    >,
>;

impl<DB: Database<Row: Measured>> Answer<'_, DB> {
    /// Reads all rows.
    pub(crate) async fn all(self) -> sqlx::Result<Vec<DB::Row>> {
        let mut rows = Vec::new();
        self.read(|row| {
            rows.push(row);
            Ok(())
        })
        .await?;
        Ok(rows)
    }

    /// Reads the one row that there is to be.
    pub(crate) async fn one(self) -> sqlx::Result<DB::Row> {
        let mut found = None;
        self.read(|row| match found.replace(row) {
            None => Ok(()),
            Some(_) => Err(too_long(TooLong::OneRow)),
        })
        .await?;
        found.ok_or(sqlx::Error::RowNotFound)
    }

    /// Reads no rows, if there are any, but what else the statements say.
    pub(crate) async fn none(self) -> sqlx::Result<DB::QueryResult> {
        self.read(|_| Ok(())).await
    }

    /// Hands the rows over one by one, and returns the sum of what else the statements say.
    async fn read(
        mut self,
        mut take: impl FnMut(DB::Row) -> sqlx::Result<()>,
    ) -> sqlx::Result<DB::QueryResult> {
        let (mut bounds, mut done) = (Bounds::default(), DB::QueryResult::default());
        while let Some(step) = poll_fn(|cx| self.0.as_mut().poll_next(cx)).await {
            match step? {
                Either::Right(row) => {
                    bounds.add((0..row.len()).map(|column| row.size(column))).map_err(too_long)?;
                    take(row)?;
                }
                Either::Left(result) => {
                    bounds.add(std::iter::empty()).map_err(too_long)?;
                    done.extend([result]);
                }
            }
        }
        Ok(done)
    }
}

fn too_long(error: TooLong) -> sqlx::Error {
    sqlx::Error::Protocol(error.to_string())
}
