//! SQL Server: leases in a table, for those who want an end that the server itself keeps.
//!
//! Each question is one batch: a compare-and-set by `MERGE` with `HOLDLOCK`, or an `UPDATE`, whose
//! `OUTPUT` says what it has done. What gives back and takes is one transaction.

use std::collections::HashMap;
use std::time::Duration;

use tiberius::{Query, Row};
use tokio::time::timeout;

use super::GOODBYE;
use super::connect::{Connection, Target};
use super::errors::{error_of, kind_of};
use super::lease_sql::{LEASES_MAX, LeaseSql, RENEWALS_MAX, time};
use super::results;
use super::server::{self, Server};
use super::table;
use crate::backend::errors::{ErrorKind, unexpected};
use crate::backend::lease::prune::{self, Pruned};
use crate::backend::lease::{
    self, Failure, Lease, LeaseBackend, Outcomes, Owner, Table, Taken, name, seen,
};
use crate::backend::{LockView, counted};
use crate::error::{Error, Result};
use crate::spec::native::NativeKey;
use crate::status::Finding;

/// Whether a commit may be lost although it was confirmed.
const DURABILITY: &str =
    "SELECT delayed_durability_desc FROM sys.databases WHERE database_id=DB_ID()";

/// Leases on SQL Server.
pub(crate) struct MssqlLeases {
    target: Target,
    sql: LeaseSql,
}

impl MssqlLeases {
    pub(crate) fn new(target: Target, table: &Table) -> Self {
        MssqlLeases { target, sql: LeaseSql::new(table) }
    }

    /// How to find the holder of a key by hand.
    pub(crate) fn explain(table: &Table) -> Box<dyn Fn(&NativeKey) -> String + Send + Sync> {
        let sql = LeaseSql::new(table);
        Box::new(move |key| sql.explain(&name(key)))
    }

    fn label(&self) -> &str {
        self.target.label()
    }

    /// The results of a batch, one for each of its statements.
    async fn ask(
        &self,
        connection: &mut Connection,
        query: Query<'_>,
        results: usize,
    ) -> Result<Vec<Vec<Row>>, Failure> {
        let answer = async { results::all(query.query(connection).await?).await };
        let answer = answer.await.map_err(|error| self.failure(error))?;
        if answer.len() == results {
            return Ok(answer);
        }
        // Not even that none was found.
        Err(Failure::Failed(unexpected(self.label(), "not all results")))
    }

    fn failure(&self, error: tiberius::error::Error) -> Failure {
        let label = self.label();
        match kind_of(&error) {
            // The transaction is undone, and the connection as it was.
            kind if kind.is_busy() => Failure::Busy(error_of(label, error)),
            // It is made at the next connect.
            ErrorKind::NoTable => Failure::Failed(Error::unavailable(label, error)),
            ErrorKind::NoRight => {
                let source = std::sync::Arc::new(error);
                Failure::Failed(table::no_right(label, &self.sql, source))
            }
            _ => Failure::Failed(error_of(label, error)),
        }
    }
}

impl LeaseBackend for MssqlLeases {
    type Connection = Connection;

    fn label(&self) -> Box<str> {
        self.target.label().into()
    }

    fn most(&self) -> usize {
        LEASES_MAX
    }

    async fn open(&self) -> Result<Connection, Failure> {
        let (mut connection, _) = self.target.connect().await.map_err(Failure::Failed)?;
        let open = async {
            let rows = table::rows(&mut connection, server::open_for_leases()).await;
            let rows = rows.map_err(|error| error_of(self.label(), error))?;
            let server = rows.first().map_or(Ok(None), |row| Server::of(row, self.label()))?;
            server.ok_or_else(|| unexpected(self.label(), "no server"))?;
            table::prepare(self.label(), &self.sql, &mut connection).await
        };
        open.await.map_err(Failure::Failed)?;
        Ok(connection)
    }

    async fn apply(
        &self,
        connection: &mut Connection,
        releases: &[Lease],
        takes: &[Lease],
    ) -> Result<Outcomes, Failure> {
        let both = !releases.is_empty() && !takes.is_empty();
        let (begin, end) = if both { ("BEGIN TRANSACTION;", "COMMIT;") } else { ("", "") };
        let mut sql = begin.to_owned();
        let mut results = 0;
        if !releases.is_empty() {
            sql.push_str(&self.sql.release(1, releases.len()));
            results += 1;
        }
        if !takes.is_empty() {
            sql.push_str(&self.sql.take(1 + 5 * releases.len(), takes.len()));
            results += 2;
        }
        sql.push_str(end);
        let mut query = Query::new(sql);
        releases.iter().for_each(|lease| bind(&mut query, lease, true));
        takes.iter().for_each(|lease| bind(&mut query, lease, false));
        let mut answers = self.ask(connection, query, results).await?.into_iter();
        let mut outcomes = Outcomes::default();
        if !releases.is_empty() {
            let released = answers.next().unwrap_or_default();
            outcomes.released = are_in(releases, &released);
        }
        if !takes.is_empty() {
            let taken = by_name(&answers.next().unwrap_or_default());
            let left = by_name(&answers.next().unwrap_or_default());
            outcomes.taken = takes.iter().map(|lease| outcome(lease, &taken, &left)).collect();
        }
        Ok(outcomes)
    }

    async fn renew(
        &self,
        connection: &mut Connection,
        leases: &[Lease],
    ) -> Result<Vec<bool>, Failure> {
        let mut renewed = Vec::with_capacity(leases.len());
        for part in leases.chunks(RENEWALS_MAX) {
            let mut query;
            if part.len() <= LEASES_MAX {
                query = Query::new(self.sql.renew(part.len()));
                part.iter().for_each(|lease| bind(&mut query, lease, true));
            } else {
                let names: Vec<_> = part.iter().map(Lease::name).collect();
                let rows = part.iter().zip(&names).map(|(lease, name)| {
                    let owner = lease.owner.as_str().as_bytes();
                    (name.as_bytes(), owner, lease.fence_or_zero(), lease.lasts)
                });
                query = Query::new(self.sql.renew_many(rows));
            }
            let rows = self.ask(connection, query, 1).await?;
            renewed.extend(are_in(part, rows.first().map_or(&[], |rows| rows)));
        }
        Ok(renewed)
    }

    async fn check(&self, connection: &mut Connection, lease: &Lease) -> Result<bool, Failure> {
        let mut query = Query::new(self.sql.check());
        query.bind(lease.name().into_owned().into_bytes());
        query.bind(lease.owner.as_str().as_bytes().to_vec());
        query.bind(lease.fence_or_zero());
        let rows = self.ask(connection, query, 1).await?;
        Ok(rows.iter().any(|rows| !rows.is_empty()))
    }

    async fn status(
        &self,
        connection: &mut Connection,
        of: Option<&NativeKey>,
    ) -> Result<Vec<LockView>, Failure> {
        let mut query = Query::new(self.sql.status(of.is_some()));
        if let Some(key) = of {
            query.bind(name(key).into_owned().into_bytes());
        }
        let rows = self.ask(connection, query, 1).await?;
        let read = |row: &Row| {
            let (owner, fence) = (text(row, 1), long(row, 2));
            let held_for = counted(long(row, 3), Duration::from_micros);
            Some(seen(lease::Row { name: text(row, 0)?, owner, fence, held_for }, of))
        };
        Ok(rows.iter().flatten().filter_map(read).collect())
    }

    async fn own(
        &self,
        connection: &mut Connection,
        lease: &Lease,
        to: &Owner,
    ) -> Result<Taken, Failure> {
        let mut query = Query::new(self.sql.own());
        bind(&mut query, lease, true);
        query.bind(to.as_str().as_bytes().to_vec());
        let rows = self.ask(connection, query, 1).await?;
        Ok(Taken::of(rows.iter().flatten().next().map(|row| long(row, 0))))
    }

    async fn prune(
        &self,
        connection: &mut Connection,
        older_than: Duration,
        _: &str,
    ) -> Result<Pruned, Failure> {
        let rows = self.ask(connection, Query::new(self.sql.prune(older_than)), 1).await;
        let rows = rows.map_err(|failure| prune::needs_delete(failure, self.sql.table()))?;
        Ok(Pruned::of(rows.iter().flatten().filter_map(|row| text(row, 0)).collect()))
    }

    async fn examine(&self, connection: &mut Connection) -> Result<Vec<Finding>, Failure> {
        let rows = match table::rows(connection, DURABILITY.into()).await {
            // A server without that setting.
            Err(tiberius::error::Error::Server(_)) => Vec::new(),
            rows => rows.map_err(|error| self.failure(error))?,
        };
        let lazy = rows.first().and_then(|row| results::text(row, 0));
        let lazy = lazy.filter(|durability| *durability != "DISABLED");
        let lazy = lazy.map(|durability| {
            let find = if durability == "FORCED" { Finding::problem } else { Finding::note };
            find(
                format!(
                    "delayed durability is {durability} on this database: after a crash a lease may be \
                     granted twice, and a fencing token may repeat"
                ),
                "ALTER DATABASE CURRENT SET DELAYED_DURABILITY = DISABLED",
            )
        });
        let rows = self.ask(connection, Query::new(self.sql.count()), 1).await?;
        let rows = rows.iter().flatten().find_map(|row| long(row, 0)).unwrap_or_default();
        Ok(lazy.into_iter().chain(prune::finding(self.sql.table(), rows)).collect())
    }

    async fn close(&self, connection: Connection) {
        let _ = timeout(GOODBYE, connection.close()).await;
    }
}

/// Binds what a statement knows a lease by, and how long it lasts.
fn bind(query: &mut Query<'_>, lease: &Lease, is_there: bool) {
    let (seconds, micros) = time(lease.lasts);
    query.bind(lease.name().into_owned().into_bytes());
    query.bind(lease.owner.as_str().as_bytes().to_vec());
    if is_there {
        query.bind(lease.fence_or_zero());
    }
    query.bind(seconds);
    query.bind(micros);
}

/// Which of these have their name in a row.
fn are_in(leases: &[Lease], rows: &[Row]) -> Vec<bool> {
    let names: Vec<String> = rows.iter().filter_map(|row| text(row, 0)).collect();
    leases.iter().map(|lease| names.iter().any(|name| *name == *lease.name())).collect()
}

fn by_name(rows: &[Row]) -> HashMap<String, i64> {
    rows.iter().filter_map(|row| Some((text(row, 0)?, long(row, 1)?))).collect()
}

/// What became of a take.
fn outcome(lease: &Lease, taken: &HashMap<String, i64>, left: &HashMap<String, i64>) -> Taken {
    let name = lease.name();
    let left = left.get(&*name).copied();
    match taken.get(&*name).and_then(|fence| u64::try_from(*fence).ok()) {
        Some(fence) if left.is_some_and(|left| left > 0) => Taken::Granted(Some(fence)),
        _ => {
            let left = left.map(|left| u64::try_from(left).unwrap_or_default());
            Taken::Held(left.map(Duration::from_micros))
        }
    }
}

fn long(row: &Row, column: usize) -> Option<i64> {
    row.try_get::<i64, _>(column).ok().flatten()
}

/// A column of bytes, as text.
fn text(row: &Row, column: usize) -> Option<String> {
    let bytes = row.try_get::<&[u8], _>(column).ok().flatten()?;
    String::from_utf8(bytes.to_vec()).ok()
}
