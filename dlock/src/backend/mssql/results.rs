//! The rows of an answer, within [bounds](crate::backend::bounds).

use std::future::poll_fn;
use std::pin::pin;

use futures_core::Stream as _;
use tiberius::error::Error;
use tiberius::{ColumnData, QueryItem, QueryStream, Row};

use crate::backend::bounds::Bounds;

/// Reads the results of all statements, each with its rows.
///
/// # Errors
/// Those of the driver, and when there is more than any answer has.
pub(crate) async fn all(answer: QueryStream<'_>) -> tiberius::Result<Vec<Vec<Row>>> {
    let mut answer = pin!(answer);
    let (mut bounds, mut results) = (Bounds::default(), Vec::<Vec<Row>>::new());
    while let Some(item) = poll_fn(|cx| answer.as_mut().poll_next(cx)).await {
        let within = match &item {
            Ok(QueryItem::Row(row)) => bounds.add(row.cells().map(|(_, value)| size(value))),
            _ => bounds.add(std::iter::empty()),
        };
        within.map_err(|error| Error::Protocol(error.to_string().into()))?;
        match (item?, results.last_mut()) {
            (QueryItem::Metadata(_), _) => results.push(Vec::new()),
            (QueryItem::Row(row), Some(rows)) => rows.push(row),
            (QueryItem::Row(row), None) => results.push(vec![row]),
        }
    }
    Ok(results)
}

/// Reads the rows of the first result.
///
/// # Errors
/// As [`all`].
pub(crate) async fn first(answer: QueryStream<'_>) -> tiberius::Result<Vec<Row>> {
    Ok(all(answer).await?.into_iter().next().unwrap_or_default())
}

/// How many bytes are in that value, beside what every value takes.
fn size(value: &ColumnData<'_>) -> usize {
    match value {
        ColumnData::String(Some(text)) => text.len(),
        ColumnData::Binary(Some(bytes)) => bytes.len(),
        _ => 0,
    }
}

/// A column as text; `None` for NULL, and for what is no text.
pub(super) fn text(row: &Row, column: usize) -> Option<&str> {
    row.try_get::<&str, _>(column).ok().flatten()
}

/// A column as a number; `None` for NULL, and for what is no number.
pub(super) fn integer(row: &Row, column: usize) -> Option<i32> {
    row.try_get::<i32, _>(column).ok().flatten()
}
