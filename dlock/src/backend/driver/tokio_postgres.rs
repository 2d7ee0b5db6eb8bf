//! tokio-postgres, and so deadpool-postgres and bb8-postgres, whose clients it is.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use futures_core::Stream as _;
use tokio_postgres::{Client, Error, SimpleQueryMessage, Transaction};

use crate::backend::bounds::Bounds;
use crate::backend::postgres::caller_sql::PostgresDialect;
use crate::connection::driver::{Driver, start};
use crate::connection::row::{DriverError, Row};
use crate::connection::session::Place;

impl Driver for Client {
    type Dialect = PostgresDialect;

    /// Each answer goes to its own query here, read or not.
    async fn ready(&mut self) -> Result<(), DriverError> {
        Ok(())
    }

    async fn ask(&mut self, text: String) -> Result<Vec<Row>, DriverError> {
        ask(self, &text).await
    }

    // It goes out behind what was sent before:
    // https://docs.rs/tokio-postgres/latest/tokio_postgres/#behavior
    fn send(&mut self, text: String) -> bool {
        send(self, &text)
    }

    fn place(&self) -> Place {
        std::ptr::from_ref(self).addr()
    }

    /// The client does not know.
    fn is_inside(&self) -> bool {
        false
    }
}

impl Driver for Transaction<'_> {
    type Dialect = PostgresDialect;

    async fn ready(&mut self) -> Result<(), DriverError> {
        Ok(())
    }

    async fn ask(&mut self, text: String) -> Result<Vec<Row>, DriverError> {
        ask(self.client(), &text).await
    }

    /// If the transaction has failed, the server refuses this as well, and nothing can be sent behind
    /// the transaction's end.
    fn send(&mut self, text: String) -> bool {
        send(self.client(), &text)
    }

    /// The session is that of the client.
    fn place(&self) -> Place {
        std::ptr::from_ref(self.client()).addr()
    }

    fn is_inside(&self) -> bool {
        true
    }
}

fn send(client: &Client, text: &str) -> bool {
    // Its only error at once is that the connection has ended.
    let _ = start(client.simple_query(text));
    true
}

async fn ask(client: &Client, text: &str) -> Result<Vec<Row>, DriverError> {
    let mut messages = pin!(client.simple_query_raw(text).await.map_err(refused)?);
    let mut answer = Bounds::default();
    let mut rows = Vec::new();
    while let Some(message) = poll_fn(|cx| messages.as_mut().poll_next(cx)).await {
        let message = message.map_err(refused)?;
        let row: Row = match &message {
            SimpleQueryMessage::Row(row) => {
                // `get` would panic at what is no UTF-8, as names on a server with SQL_ASCII can be.
                let text = |column| row.try_get(column).ok().flatten().map(str::to_owned);
                (0..row.len()).map(text).collect()
            }
            _ => Row::new(),
        };
        let sizes = row.iter().map(|text| text.as_ref().map_or(0, String::len));
        answer.add(sizes).map_err(|error| DriverError { code: None, source: Arc::new(error) })?;
        if matches!(message, SimpleQueryMessage::Row(_)) {
            rows.push(row);
        }
    }
    Ok(rows)
}

fn refused(error: Error) -> DriverError {
    DriverError { code: error.code().map(|code| code.code().to_owned()), source: Arc::new(error) }
}
