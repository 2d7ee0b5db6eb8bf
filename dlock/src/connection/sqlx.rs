//! sqlx: a bare connection, one of a pool, one inside a transaction.

use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, Database, Row as _, Transaction};

use super::dialect::Dialect;
use super::driver::{Driver, Refused, Row, start};
use crate::error::cause;

#[cfg(feature = "postgres")]
impl Driver for sqlx::PgConnection {
    const DIALECT: Dialect = Dialect::Postgres;

    async fn ask(&mut self, text: String) -> Result<Vec<Row>, Refused> {
        match sqlx::raw_sql(AssertSqlSafe(text)).fetch_all(self).await {
            Ok(rows) => rows
                .iter()
                // Without a statement that is prepared, every value comes as text.
                .map(|row| (0..row.len()).map(|column| row.try_get_unchecked(column)).collect())
                .collect::<sqlx::Result<_>>()
                .map_err(refused),
            Err(error) => Err(refused(error)),
        }
    }

    fn send(&mut self, text: String) {
        start(sqlx::raw_sql(AssertSqlSafe(text)).execute(self));
    }

    /// It is the caller's: the lock stays until it ends.
    fn abandon(&mut self, _: String) {}
}

#[cfg(feature = "mysql")]
impl Driver for sqlx::MySqlConnection {
    const DIALECT: Dialect = Dialect::MySql;

    async fn ask(&mut self, text: String) -> Result<Vec<Row>, Refused> {
        use crate::backend::mysql_text;
        match sqlx::raw_sql(AssertSqlSafe(text)).fetch_all(self).await {
            Ok(rows) => Ok(rows
                .iter()
                .map(|row| (0..row.len()).map(|column| mysql_text(row, column)).collect())
                .collect()),
            Err(error) => Err(refused(error)),
        }
    }

    fn send(&mut self, text: String) {
        start(sqlx::raw_sql(AssertSqlSafe(text)).execute(self));
    }

    /// It is the caller's: the lock stays until it ends.
    fn abandon(&mut self, _: String) {}
}

impl<DB: Database<Connection: Driver>> Driver for PoolConnection<DB> {
    const DIALECT: Dialect = DB::Connection::DIALECT;

    async fn ask(&mut self, text: String) -> Result<Vec<Row>, Refused> {
        (**self).ask(text).await
    }

    fn send(&mut self, text: String) {
        (**self).send(text);
    }

    fn abandon(&mut self, _: String) {
        self.close_on_drop();
    }

    fn place(&self) -> usize {
        (**self).place()
    }
}

/// What is abandoned here lets go, unlike a bare connection: this may be that of a pool, where it goes
/// after the transaction.
impl<DB: Database<Connection: Driver>> Driver for Transaction<'_, DB> {
    const DIALECT: Dialect = DB::Connection::DIALECT;

    async fn ask(&mut self, text: String) -> Result<Vec<Row>, Refused> {
        (**self).ask(text).await
    }

    fn send(&mut self, text: String) {
        (**self).send(text);
    }

    fn place(&self) -> usize {
        (**self).place()
    }
}

fn refused(error: sqlx::Error) -> Refused {
    let code = error.as_database_error().and_then(|error| {
        #[cfg(feature = "mysql")]
        if let Some(error) = error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
            return Some(error.number().to_string());
        }
        error.code().map(String::from)
    });
    Refused { code, source: cause(error) }
}
