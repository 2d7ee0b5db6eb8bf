//! tiberius, and so bb8-tiberius and deadpool-tiberius on its version 0.13.

use std::sync::Arc;

use futures_io::{AsyncRead, AsyncWrite};
use tiberius::{Client, ColumnData, error::Error};

use crate::backend::mssql::caller_sql::MssqlDialect;
use crate::backend::mssql::results;
use crate::connection::driver::{Driver, start};
use crate::connection::row::{DriverError, Row};
use crate::connection::session::Place;

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Driver for Client<S> {
    type Dialect = MssqlDialect;

    /// What is left of abandoned statements the client reads before the next one, and errors with it.
    async fn ready(&mut self) -> Result<(), DriverError> {
        Ok(())
    }

    async fn ask(&mut self, text: String) -> Result<Vec<Row>, DriverError> {
        let answer = async { results::all(self.simple_query(text).await?).await };
        let results = answer.await.map_err(refused)?;
        let row = |row: tiberius::Row| row.into_iter().map(value).collect();
        Ok(results.into_iter().flatten().map(row).collect())
    }

    /// Sent when nothing is under way. Whether that was so, the client does not say: what may have
    /// been sent is made sure of by the next use.
    fn send(&mut self, text: String) -> bool {
        let _ = start(self.simple_query(text));
        false
    }

    fn place(&self) -> Place {
        std::ptr::from_ref(self).addr()
    }

    /// The client does not say.
    fn is_inside(&self) -> bool {
        false
    }
}

fn refused(error: Error) -> DriverError {
    DriverError { code: error.code().map(|code| code.to_string()), source: Arc::new(error) }
}

/// Of the types that our statements ask for.
fn value(value: ColumnData<'static>) -> Option<String> {
    match value {
        ColumnData::String(text) => text.map(|text| text.into_owned()),
        ColumnData::I16(number) => number.map(|number| number.to_string()),
        ColumnData::I32(number) => number.map(|number| number.to_string()),
        ColumnData::I64(number) => number.map(|number| number.to_string()),
        _ => None,
    }
}
