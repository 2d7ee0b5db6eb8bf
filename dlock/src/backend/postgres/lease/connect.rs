//! How a connection comes to be, and the table.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row as _};

use super::{Connection, Postgres};
use crate::backend::errors::{ErrorKind, unsupported};
use crate::backend::lease::{Failure, Lease, Owner, Table, TableAccess, ddl, ensure_table, rights};
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
        ensure_table(Reached(self, &mut connection)).await?;
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
            "GRANT USAGE ON SCHEMA {schema} TO {user}; {};",
            rights::grant(&table.quoted('"'), &user)
        );
        Ok(Opened { sql: LeaseSql::new(&table), table, grant })
    }

    /// Why the table cannot be made.
    fn not_made(&self, error: sqlx::Error, opened: &Opened, ddl: &str) -> Failure {
        if kind_of(&error) != ErrorKind::NoRight {
            return self.unfit(error, &opened.table);
        }
        let remedy = format!(
            "there is no table {} for leases, and this role may not make it; run the statements that \
             make it",
            opened.table.quoted('"')
        );
        let refused = Error::permission(&self.label, remedy, cause(error));
        Failure::Failed(refused.with_ddl(format!("{ddl}{}", opened.grant)))
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

/// The table, on that connection.
struct Reached<'a>(&'a Postgres, &'a mut Connection);

impl TableAccess for Reached<'_> {
    type Error = Failure;

    async fn is_missing(&mut self, makes: u32) -> Result<bool, Failure> {
        let Reached(postgres, Connection { connection, opened }) = self;
        let nobody = Lease {
            key: NativeKey::Name(String::new()),
            owner: Owner::Token("".into()),
            fence: None,
            lasts: Duration::ZERO,
        };
        let Err(error) = run(connection, &opened.sql.probe(&[nobody])).await else {
            return Ok(false);
        };
        match kind_of(&error) {
            ErrorKind::NoTable if makes < ATTEMPTS => Ok(true),
            ErrorKind::NoRight => {
                let error = Error::permission(&postgres.label, &*opened.grant, cause(error));
                Err(Failure::Failed(error))
            }
            _ => Err(postgres.unfit(error, &opened.table)),
        }
    }

    async fn make(&mut self) -> Result<(), (ErrorKind, Failure)> {
        let Reached(postgres, Connection { connection, opened }) = self;
        if opened.table.django {
            let error = Error::config(format!(
                "there is no table {} on {}; it is django-database-locks' own: run its migrations",
                opened.table.quoted('"'),
                postgres.label
            ));
            return Err((ErrorKind::NoTable, Failure::Failed(error)));
        }
        let ddl = ddl::postgres(&opened.table);
        let made = run(connection, &LeaseSql::create(&ddl)).await;
        made.map_err(|error| (kind_of(&error), postgres.not_made(error, opened, &ddl)))
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
