//! tokio-postgres, and so deadpool-postgres and bb8-postgres, whose clients it is.

use std::sync::Arc;

use tokio_postgres::{Client, Error, SimpleQueryMessage, Transaction};

use super::dialect::Dialect;
use super::driver::{Driver, Refused, Row, send};

impl Driver for Client {
    const DIALECT: Dialect = Dialect::Postgres;

    async fn ask(&mut self, text: String) -> Result<Vec<Row>, Refused> {
        rows(self.simple_query(&text).await)
    }

    // It goes out behind what was sent before:
    // https://docs.rs/tokio-postgres/latest/tokio_postgres/#pipelining
    fn abandon(&mut self, text: String) {
        if !text.is_empty() {
            send(self.simple_query(&text));
        }
    }
}

impl Driver for Transaction<'_> {
    const DIALECT: Dialect = Dialect::Postgres;

    async fn ask(&mut self, text: String) -> Result<Vec<Row>, Refused> {
        rows(self.simple_query(&text).await)
    }

    fn abandon(&mut self, text: String) {
        if !text.is_empty() {
            send(self.simple_query(&text));
        }
    }
}

fn rows(answer: Result<Vec<SimpleQueryMessage>, Error>) -> Result<Vec<Row>, Refused> {
    let messages = answer.map_err(|error| Refused {
        code: error.code().map(|code| code.code().to_owned()),
        source: Arc::new(error),
    })?;
    let row = |message| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect())
        }
        _ => None,
    };
    Ok(messages.into_iter().filter_map(row).collect())
}
