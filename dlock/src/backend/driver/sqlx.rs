//! sqlx: a bare connection, one of a pool, one inside a transaction.

use std::task::Poll;

use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, Connection, Database, Row as _, Transaction};

#[cfg(feature = "mysql")]
use crate::backend::mysql::caller_sql::MySqlDialect;
#[cfg(feature = "postgres")]
use crate::backend::postgres::caller_sql::PostgresDialect;
use crate::backend::rows;
use crate::connection::driver::{Driver, as_inside, start};
use crate::connection::row::{DriverError, Row};
use crate::connection::session::Place;
use crate::error::cause;

/// Errors of abandoned statements are read one at a time; so many never wait.
const ABANDONED_MAX: usize = 256;

#[cfg(feature = "postgres")]
impl Driver for sqlx::PgConnection {
    type Dialect = PostgresDialect;

    async fn ready(&mut self) -> Result<(), DriverError> {
        ready(self).await
    }

    async fn ask(&mut self, text: String) -> Result<Vec<Row>, DriverError> {
        match rows::ask(self, sqlx::raw_sql(AssertSqlSafe(text))).all().await {
            Ok(rows) => rows
                .iter()
                // Without a statement that is prepared, every value comes as text.
                .map(|row| (0..row.len()).map(|column| row.try_get_unchecked(column)).collect())
                .collect::<sqlx::Result<_>>()
                .map_err(refused),
            Err(error) => Err(refused(error)),
        }
    }

    fn send(&mut self, text: String) -> bool {
        if is_ready(self) {
            let _ = start(sqlx::raw_sql(AssertSqlSafe(text)).execute(self));
            return true;
        }
        // Behind a running statement sqlx has nothing wait but what begins a transaction, and takes
        // any text for that where none is open: it is written before anything is read. Dropped
        // before the answer, it leaves nothing but that text.
        if self.is_inside() {
            return false;
        }
        let _ = start(self.begin_with(AssertSqlSafe(text)));
        true
    }

    fn place(&self) -> Place {
        std::ptr::from_ref(self).addr()
    }

    fn is_inside(&self) -> bool {
        self.is_in_transaction()
    }
}

#[cfg(feature = "mysql")]
impl Driver for sqlx::MySqlConnection {
    type Dialect = MySqlDialect;

    async fn ready(&mut self) -> Result<(), DriverError> {
        ready(self).await
    }

    async fn ask(&mut self, text: String) -> Result<Vec<Row>, DriverError> {
        use crate::backend::mysql::text as column_text;
        match rows::ask(self, sqlx::raw_sql(AssertSqlSafe(text))).all().await {
            Ok(rows) => Ok(rows
                .iter()
                .map(|row| (0..row.len()).map(|column| column_text(row, column)).collect())
                .collect()),
            Err(error) => Err(refused(error)),
        }
    }

    /// Behind a running statement nothing can wait here.
    fn send(&mut self, text: String) -> bool {
        let ready = is_ready(self);
        if ready {
            let _ = start(sqlx::raw_sql(AssertSqlSafe(text)).execute(self));
        }
        ready
    }

    fn place(&self) -> Place {
        std::ptr::from_ref(self).addr()
    }

    fn is_inside(&self) -> bool {
        self.is_in_transaction()
    }
}

impl<DB: Database<Connection: Driver>> Driver for PoolConnection<DB> {
    type Dialect = <DB::Connection as Driver>::Dialect;

    as_inside!();

    fn discard(&mut self) -> bool {
        self.close_on_drop();
        true
    }
}

impl<DB: Database<Connection: Driver>> Driver for Transaction<'_, DB> {
    type Dialect = <DB::Connection as Driver>::Dialect;

    as_inside!();
}

async fn ready(conn: &mut impl Connection) -> Result<(), DriverError> {
    for _ in 0..ABANDONED_MAX {
        match conn.flush().await {
            Ok(()) => return Ok(()),
            Err(sqlx::Error::Database(error)) => {
                tracing::debug!(target: "dlock", %error, "of an abandoned statement");
            }
            Err(error) => return Err(refused(error)),
        }
    }
    Err(refused(sqlx::Error::Protocol("there is no end of errors".into())))
}

/// Whether nothing is under way.
fn is_ready(conn: &mut impl Connection) -> bool {
    for _ in 0..ABANDONED_MAX {
        match start(conn.flush()) {
            Poll::Ready(Ok(())) => return true,
            Poll::Ready(Err(sqlx::Error::Database(_))) => {}
            Poll::Ready(Err(_)) | Poll::Pending => return false,
        }
    }
    false
}

fn refused(error: sqlx::Error) -> DriverError {
    let code = error.as_database_error().and_then(|error| {
        #[cfg(feature = "mysql")]
        if let Some(error) = error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
            return Some(error.number().to_string());
        }
        error.code().map(String::from)
    });
    DriverError { code, source: cause(error) }
}
