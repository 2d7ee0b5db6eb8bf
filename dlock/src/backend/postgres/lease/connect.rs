//! How a connection comes to be, and the table.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row as _};

use super::{Connection, Postgres};
use crate::backend::errors::{ErrorKind, unsupported};
use crate::backend::lease::{Failure, Lease, Owner, Table, ddl};
use crate::backend::postgres::Address;
use crate::backend::postgres::errors::{code, kind_of};
use crate::backend::postgres::lease_sql::LeaseSql;
use crate::backend::rows;
use crate::error::{Error, cause};
use crate::spec::native::NativeKey;
use crate::status::holder::foreign;

/// Asked before anything is set, so it has no operators.
const OPEN: &str = "SELECT pg_catalog.pg_is_in_recovery(), \
    pg_catalog.current_schema()::pg_catalog.text, current_user::pg_catalog.text, \
    pg_catalog.current_setting('fsync')";
/// So often others can be in the way of making the table.
const ATTEMPTS: u32 = 5;

/// What was found out by connecting.
pub(crate) struct Opened {
    pub(super) sql: LeaseSql,
    /// The table, with its schema.
    table: Table,
    /// What the user needs.
    pub(super) grant: String,
}

impl Postgres {
    /// Connects to this host, if it is a primary, makes the table where it may, and checks it.
    pub(super) async fn open_at(&self, host: &Address) -> Result<Connection, Failure> {
        let mut connection = host.connect().await.map_err(|error| self.failure(error))?;
        let row = rows::ask(&mut connection, sqlx::raw_sql(OPEN)).one().await;
        let row = row.map_err(|error| self.failure(error))?;
        let standby = row.try_get(0).map_err(|error| self.failure(error))?;
        if standby {
            return Err(Failure::Failed(self.standby(host)));
        }
        let fsync: String = row.try_get(3).map_err(|error| self.failure(error))?;
        if fsync == "off" && self.opened.get().is_none() {
            tracing::warn!(
                target: "dlock",
                backend = &*self.label,
                "fsync is off: after a crash of the server's machine a lease may be granted twice, \
                 and a fencing token may repeat; turn it on"
            );
        }
        let opened = match self.opened.get() {
            Some(opened) => opened.clone(),
            None => Arc::new(self.find_out(&row)?),
        };
        let mut connection = Connection { connection, opened };
        self.see_to_the_table(&mut connection).await?;
        let _ = self.opened.set(connection.opened.clone());
        Ok(connection)
    }

    /// One that was the primary, or is to be it, is worth another attempt.
    fn standby(&self, host: &Address) -> Error {
        if self.hosts.len() > 1 || self.opened.get().is_some() {
            return Error::unavailable(&self.label, Standby);
        }
        unsupported(
            &host.label(),
            "leases to take (it is a hot standby)",
            "connect to the primary, or name all hosts in the url: lease+postgres://a,b/database",
        )
    }

    fn find_out(&self, row: &PgRow) -> Result<Opened, Failure> {
        let column = |error| self.failure(error);
        let schema: Option<String> = row.try_get(1).map_err(column)?;
        let user: String = row.try_get(2).map_err(column)?;
        let mut table = self.table.clone();
        table.schema = table.schema.or(schema.map(Into::into));
        let Some(schema) = &table.schema else {
            return Err(Failure::Failed(Error::config(format!(
                "no schema of the search_path is there on {}; name one: \
                 LeaseOptions::table(\"schema.name\")",
                self.label
            ))));
        };
        let (schema, user) = (identifier(schema), identifier(&user));
        let grant = format!(
            "GRANT USAGE ON SCHEMA {schema} TO {user}; GRANT SELECT, INSERT, UPDATE ON {} TO {user};",
            table.quoted('"')
        );
        Ok(Opened { sql: LeaseSql::new(&table), table, grant })
    }

    async fn see_to_the_table(&self, connection: &mut Connection) -> Result<(), Failure> {
        let mut attempts = ATTEMPTS;
        let nobody = Lease {
            key: NativeKey::Name(String::new()),
            owner: Owner::Token("".into()),
            fence: None,
            lasts: Duration::ZERO,
        };
        let probe = connection.sql().probe(&[nobody]);
        loop {
            let error = match run(&mut connection.connection, &probe).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            match kind_of(&error) {
                ErrorKind::NoTable if attempts > 0 => {
                    attempts -= 1;
                    self.make_the_table(connection).await?;
                }
                ErrorKind::NoRight => {
                    return Err(self.refused(error, &connection.opened.grant));
                }
                _ => return Err(self.unfit(error, &connection.opened.table)),
            }
        }
    }

    async fn make_the_table(&self, connection: &mut Connection) -> Result<(), Failure> {
        let Opened { table, grant, .. } = &*connection.opened;
        if table.django {
            return Err(Failure::Failed(Error::config(format!(
                "there is no table {} on {}; it is django-database-locks' own: run its migrations",
                table.quoted('"'),
                self.label
            ))));
        }
        let ddl = ddl::postgres(table);
        let Err(error) = run(&mut connection.connection, &LeaseSql::create(&ddl)).await else {
            return Ok(());
        };
        match kind_of(&error) {
            ErrorKind::TableExists => Ok(()),
            ErrorKind::NoRight => {
                let remedy = format!(
                    "there is no table {} for leases, and this role may not make it; run the \
                     statements that make it",
                    table.quoted('"')
                );
                let refused = Error::permission(&self.label, remedy, cause(error));
                Err(Failure::Failed(refused.with_ddl(format!("{ddl}{grant}"))))
            }
            _ => Err(self.unfit(error, table)),
        }
    }

    fn refused(&self, error: sqlx::Error, grant: &str) -> Failure {
        Failure::Failed(Error::permission(&self.label, grant, cause(error)))
    }

    fn unfit(&self, error: sqlx::Error, table: &Table) -> Failure {
        match error.as_database_error() {
            // The class of errors that say that a statement does not fit its tables.
            Some(said) if code(&error).is_some_and(|code| code.starts_with("42")) => {
                Failure::Failed(Error::config(format!(
                    "the table {} on {} is not one of {}: {}; name another one with LeaseOptions::table",
                    table.quoted('"'),
                    self.label,
                    if table.django { "django-database-locks'" } else { "dlock's" },
                    foreign(said.message())
                )))
            }
            _ => self.failure(error),
        }
    }
}

async fn run(connection: &mut PgConnection, text: &str) -> sqlx::Result<()> {
    rows::ask(connection, sqlx::raw_sql(AssertSqlSafe(text))).none().await.map(drop)
}

/// As it is to be written, whatever is in it.
fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[derive(Debug, thiserror::Error)]
#[error("the server is a hot standby, where nothing can be written")]
struct Standby;
