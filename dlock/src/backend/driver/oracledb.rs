//! oracledb, Oracle's own driver, which is synchronous: each call blocks its thread until the server has
//! answered, in the async face too.

use std::sync::Arc;

use oracledb::{Connection, DB_TYPE_VARCHAR, Error, ErrorKind};

use crate::backend::oracle::caller_sql::{self, OracleDialect};
use crate::backend::oracle::{Said, number};
use crate::connection::driver::Driver;
use crate::connection::row::{DriverError, Row};
use crate::connection::session::Place;

/// What the server says of a call that was stopped.
const STOPPED: &str = "1013";

impl Driver for Connection {
    type Dialect = OracleDialect;

    /// A call has always come to its end before the next one.
    async fn ready(&mut self) -> Result<(), DriverError> {
        Ok(())
    }

    async fn ask(&mut self, text: String) -> Result<Vec<Row>, DriverError> {
        ask(self, &text)
    }

    /// Waits for the answer, as the driver does at all it is asked.
    fn send(&mut self, text: String) -> bool {
        ask(self, &text).is_ok()
    }

    fn place(&self) -> Place {
        std::ptr::from_ref(self).addr()
    }

    /// The driver does not say.
    fn is_inside(&self) -> bool {
        false
    }
}

fn ask(connection: &Connection, text: &str) -> Result<Vec<Row>, DriverError> {
    let answer = connection.execute(&caller_sql::block(text), &[&DB_TYPE_VARCHAR]);
    let answer = answer.and_then(|mut done| done.out_bind_data().get::<Option<String>>(0));
    answer.map(|rows| caller_sql::rows(rows.as_deref())).map_err(refused)
}

fn refused(error: Error) -> DriverError {
    let code = match error.kind() {
        // The caller's own limit for calls: the connection goes on.
        ErrorKind::CallTimeoutExceeded => Some(STOPPED.to_owned()),
        _ => number(&error).map(|number| number.to_string()),
    };
    DriverError { code, source: Arc::new(Said::of(&error)) }
}
