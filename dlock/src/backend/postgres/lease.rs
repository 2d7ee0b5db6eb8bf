//! PostgreSQL: leases in a table, also behind a transaction pooler and on a cluster's primary.
//!
//! All that is to be done together goes out as one text of several statements, which the server
//! takes for one transaction: one round trip, and nothing that a pooler could give to another
//! client. So what the statements need of their session is set for that transaction alone. A text
//! has no parameters, for poolers lose prepared statements: the leases are literals in it.
//!
//! A statement is never cancelled. One that waits for a synchronous standby would then be answered
//! as if the standby had it (with a warning that nobody reads). Who gives up drops the connection.

mod connect;
mod errors;
mod status;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, PgPool, Row as _};

use self::connect::Opened;
use crate::backend::lease::prune::{self, Pruned};
use crate::backend::lease::seam::cannot_prune;
use crate::backend::lease::{Failure, Lease, LeaseBackend, Outcomes, Owner, Table, Taken};
use crate::backend::postgres::Address;
use crate::backend::postgres::errors::{IDLE_SESSION_TIMEOUT, code};
use crate::backend::postgres::lease_sql::LeaseSql;
use crate::backend::{LockView, Options, hosts, rows};
use crate::error::Result;
use crate::spec::native::NativeKey;
use crate::status::Finding;

/// A connection.
pub(crate) struct Connection {
    connection: PgConnection,
    opened: Arc<Opened>,
}

/// Leases on a PostgreSQL server, or on that of several which is the primary.
pub(crate) struct Postgres {
    hosts: Vec<Address>,
    label: Box<str>,
    table: Table,
    /// What the first connection has found: later ones keep to its schema.
    opened: OnceLock<Arc<Opened>>,
}

impl Postgres {
    /// Where the URL says, which may have several hosts.
    pub(crate) fn from_url(url: &str, table: Table, options: &Options) -> Result<Self> {
        let name = options.application_name.as_deref();
        let hosts = hosts::urls(url).into_iter().map(|url| Address::of_url(&url, name));
        Ok(Self::new(hosts.collect::<Result<_>>()?, table))
    }

    /// Where the pool connects to.
    pub(crate) fn from_pool(pool: PgPool, table: Table, options: &Options) -> Self {
        Self::new(vec![Address::of_pool(pool, options.application_name.as_deref())], table)
    }

    fn new(hosts: Vec<Address>, table: Table) -> Self {
        let labels: Vec<_> = hosts.iter().map(Address::label).collect();
        Postgres { label: labels.join(", ").into(), hosts, table, opened: OnceLock::new() }
    }

    /// Asks this; all rows of all its statements.
    async fn ask(&self, connection: &mut Connection, text: String) -> Result<Vec<PgRow>, Failure> {
        match raw(connection, &text).await {
            Ok(rows) => Ok(rows),
            // It was over before this was asked.
            Err(error) if code(&error).as_deref() == Some(IDLE_SESSION_TIMEOUT) => {
                *connection = self.open().await?;
                raw(connection, &text).await.map_err(|error| self.failure(error))
            }
            Err(error) => Err(self.failure(error)),
        }
    }
}

impl LeaseBackend for Postgres {
    type Connection = Connection;

    fn label(&self) -> Box<str> {
        self.label.clone()
    }

    fn application_name(&self) -> Option<String> {
        self.hosts.first().and_then(Address::application_name)
    }

    async fn open(&self) -> Result<Connection, Failure> {
        hosts::first(&self.hosts, &self.label, |host| self.open_at(host)).await
    }

    async fn apply(
        &self,
        connection: &mut Connection,
        releases: &[Lease],
        takes: &[Lease],
    ) -> Result<Outcomes, Failure> {
        let text = connection.sql().apply(releases, takes);
        let rows = self.ask(connection, text).await?;
        let mut outcomes = Outcomes {
            released: vec![false; releases.len()],
            taken: vec![Taken::Held(None); takes.len()],
        };
        for row in &rows {
            let read = match row.len() {
                1 => mark(row, &mut outcomes.released),
                _ => read_taken(row, &mut outcomes.taken),
            };
            read.map_err(|error| self.failure(error))?;
        }
        Ok(outcomes)
    }

    async fn renew(
        &self,
        connection: &mut Connection,
        leases: &[Lease],
    ) -> Result<Vec<bool>, Failure> {
        let text = connection.sql().renew(leases);
        let rows = self.ask(connection, text).await?;
        let mut renewed = vec![false; leases.len()];
        for row in &rows {
            mark(row, &mut renewed).map_err(|error| self.failure(error))?;
        }
        Ok(renewed)
    }

    async fn check(&self, connection: &mut Connection, lease: &Lease) -> Result<bool, Failure> {
        let text = connection.sql().check(lease);
        Ok(!self.ask(connection, text).await?.is_empty())
    }

    async fn status(
        &self,
        connection: &mut Connection,
        of: Option<&NativeKey>,
    ) -> Result<Vec<LockView>, Failure> {
        self.seen(connection, of).await
    }

    async fn own(
        &self,
        connection: &mut Connection,
        lease: &Lease,
        to: &Owner,
    ) -> Result<Taken, Failure> {
        let text = connection.sql().own(lease, to);
        let rows = self.ask(connection, text).await?;
        let fence = rows.first().map(|row| row.try_get(0)).transpose();
        fence.map(Taken::of).map_err(|error| self.failure(error))
    }

    async fn prune(
        &self,
        connection: &mut Connection,
        older_than: Duration,
        from: &str,
    ) -> Result<Pruned, Failure> {
        if self.table.django {
            return Err(Failure::Failed(cannot_prune(&self.label)));
        }
        let (text, table) =
            (connection.sql().prune(older_than, from), connection.sql().table.clone());
        let rows = self.ask(connection, text).await;
        let rows = rows.map_err(|failure| prune::needs_delete(failure, &table))?;
        let names = rows.iter().map(|row| row.try_get(0)).collect::<sqlx::Result<Vec<String>>>();
        let mut names = names.map_err(|error| self.failure(error))?;
        names.sort();
        Ok(Pruned::of(names))
    }

    async fn examine(&self, connection: &mut Connection) -> Result<Vec<Finding>, Failure> {
        self.findings(connection).await
    }

    async fn close(&self, connection: Connection) {
        let _ = connection.connection.close().await;
    }
}

async fn raw(connection: &mut Connection, text: &str) -> sqlx::Result<Vec<PgRow>> {
    rows::ask(&mut connection.connection, sqlx::raw_sql(AssertSqlSafe(text))).all().await
}

impl Connection {
    fn sql(&self) -> &LeaseSql {
        &self.opened.sql
    }
}

/// The one column is the place, in the list, of what was done.
fn mark(row: &PgRow, done: &mut [bool]) -> sqlx::Result<()> {
    let place: i32 = row.try_get(0)?;
    if let Some(done) = usize::try_from(place).ok().and_then(|place| done.get_mut(place)) {
        *done = true;
    }
    Ok(())
}

/// The place in the list, whether it was granted, its fence, and else how long it is held.
fn read_taken(row: &PgRow, taken: &mut [Taken]) -> sqlx::Result<()> {
    let place: i32 = row.try_get(0)?;
    let outcome = if row.try_get(1)? {
        Taken::of(Some(row.try_get(2)?))
    } else {
        Taken::Held(status::seconds(row.try_get(3)?))
    };
    if let Some(taken) = usize::try_from(place).ok().and_then(|place| taken.get_mut(place)) {
        *taken = outcome;
    }
    Ok(())
}
