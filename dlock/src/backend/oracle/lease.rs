//! Oracle: leases in a table, for those who want an end that the server itself keeps, and behind
//! poolers, where a session's locks are everybody's.

use std::sync::Arc;
use std::time::Duration;

use oracledb::{DB_TYPE_NUMBER, DB_TYPE_VARCHAR};

use super::connect::Target;
use super::connection::{Connection, Unanswered};
use super::errors::STANDBY;
use super::lease_sql::{LEASES_MAX, LeaseSql, name_of, order, own, row_name};
use super::session_sql::{ORDERS_MAX, pieces};
use super::table;
use crate::backend::errors::{ErrorKind, unexpected};
use crate::backend::lease::prune::{self, Pruned};
use crate::backend::lease::{
    self, Failure, Lease, LeaseBackend, Outcomes, Owner, Table, Taken, name, seen,
};
use crate::backend::{LockView, Options, counted};
use crate::error::Error;
use crate::spec::native::NativeKey;
use crate::status::Finding;
use crate::text::unhexed;

/// How long the server may take to answer. The engine judges that by its own clock, and sooner: this
/// is the end of a thread that hangs.
const PATIENCE: Duration = Duration::from_secs(30);
/// Prepares a session, and asks what database it is.
const OPEN: &str = "SELECT SYS_CONTEXT('USERENV','DATABASE_ROLE') FROM dual";

/// Leases on Oracle.
pub(crate) struct OracleLeases {
    target: Target,
    sql: LeaseSql,
    block: Arc<str>,
    connect_timeout: Duration,
}

impl OracleLeases {
    pub(crate) fn new(target: Target, table: &Table, options: &Options) -> Self {
        let sql = LeaseSql::new(table);
        let connect_timeout = options.connect_timeout;
        OracleLeases { target, block: sql.block().into(), sql, connect_timeout }
    }

    /// How to find the holder of a key by hand.
    pub(crate) fn explain(table: &Table) -> Box<dyn Fn(&NativeKey) -> String + Send + Sync> {
        let sql = LeaseSql::new(table);
        Box::new(move |key| sql.explain(&name(key)))
    }

    fn label(&self) -> &str {
        self.target.label()
    }

    /// Has these orders done, and returns the answer to each.
    async fn ask(
        &self,
        connection: &Connection,
        orders: String,
        count: usize,
    ) -> Result<Vec<String>, Failure> {
        let block = Arc::clone(&self.block);
        let told = connection.ask(PATIENCE, move |driver| {
            let [one, two, three, four] = pieces(&orders);
            let mut done =
                driver.execute(&block, &[&one, &two, &three, &four, &DB_TYPE_VARCHAR])?;
            done.out_bind_data().get::<Option<String>>(0)
        });
        let answers = told.await.map_err(|error| self.failure(error))?.unwrap_or_default();
        let lines: Vec<String> = answers.lines().map(str::to_owned).collect();
        if lines.len() == count {
            return Ok(lines);
        }
        // Not even that none was found.
        Err(Failure::Failed(unexpected(self.label(), "not one answer for each")))
    }

    /// The same where an answer is yes or no.
    async fn asked(
        &self,
        connection: &Connection,
        orders: String,
        count: usize,
    ) -> Result<Vec<bool>, Failure> {
        let answers = self.ask(connection, orders, count).await?;
        Ok(answers.iter().map(|answer| answer == "1").collect())
    }

    fn failure(&self, error: Unanswered) -> Failure {
        let label = self.label();
        match error.kind() {
            // The transaction is undone, and the connection as it was.
            kind if kind.is_busy() => Failure::Busy(error.into_error(label)),
            // It is made at the next connect.
            ErrorKind::NoTable => Failure::Failed(Error::away(label, error.into_source())),
            ErrorKind::NoRight => {
                Failure::Failed(table::no_right(label, &self.sql, error.into_source()))
            }
            _ => Failure::Failed(error.into_error(label)),
        }
    }

    fn taken(&self, answer: &str) -> Result<Taken, Failure> {
        let (kind, number) = answer.split_at_checked(1).unwrap_or_default();
        match (kind, number.parse().ok()) {
            ("T", Some(fence)) => Ok(Taken::Granted(Some(fence))),
            ("0", _) => Ok(Taken::Held(None)),
            ("H", left) => Ok(Taken::Held(left.map(Duration::from_micros))),
            _ => Err(Failure::Failed(unexpected(self.label(), answer))),
        }
    }
}

impl LeaseBackend for OracleLeases {
    type Connection = Connection;

    fn label(&self) -> Box<str> {
        self.target.label().into()
    }

    fn most(&self) -> usize {
        LEASES_MAX / 2
    }

    async fn open(&self) -> Result<Connection, Failure> {
        let connection = self.target.connect(self.connect_timeout).await;
        let connection = connection.map_err(Failure::Failed)?;
        let rows = table::rows(&connection, PATIENCE, OPEN.into()).await;
        let rows = rows.map_err(|error| self.failure(error))?;
        let role = rows.first().and_then(|row| row.first()?.as_deref());
        if role.is_some_and(|role| role != "PRIMARY") {
            return Err(Failure::Failed(STANDBY.error(self.label())));
        }
        let prepared = table::prepare(self.label(), &self.sql, &connection, PATIENCE).await;
        prepared.map_err(Failure::Failed)?;
        Ok(connection)
    }

    async fn apply(
        &self,
        connection: &mut Connection,
        releases: &[Lease],
        takes: &[Lease],
    ) -> Result<Outcomes, Failure> {
        let mut orders = String::new();
        releases.iter().for_each(|lease| order('G', lease, &mut orders));
        takes.iter().for_each(|lease| order('T', lease, &mut orders));
        let answers = self.ask(connection, orders, releases.len() + takes.len()).await?;
        let (released, taken) = answers.split_at(releases.len());
        Ok(Outcomes {
            released: released.iter().map(|answer| answer == "1").collect(),
            taken: taken.iter().map(|answer| self.taken(answer)).collect::<Result<_, _>>()?,
        })
    }

    async fn renew(
        &self,
        connection: &mut Connection,
        leases: &[Lease],
    ) -> Result<Vec<bool>, Failure> {
        let (mut renewed, mut orders) = (Vec::with_capacity(leases.len()), String::new());
        let mut count = 0;
        for lease in leases {
            let before = orders.len();
            order('R', lease, &mut orders);
            if orders.len() > ORDERS_MAX {
                let last = orders.split_off(before);
                let part = std::mem::replace(&mut orders, last);
                renewed.extend(self.asked(connection, part, count).await?);
                count = 0;
            }
            count += 1;
        }
        renewed.extend(self.asked(connection, orders, count).await?);
        Ok(renewed)
    }

    async fn check(&self, connection: &mut Connection, lease: &Lease) -> Result<bool, Failure> {
        let mut orders = String::new();
        order('C', lease, &mut orders);
        Ok(self.asked(connection, orders, 1).await? == [true])
    }

    async fn status(
        &self,
        connection: &mut Connection,
        of: Option<&NativeKey>,
    ) -> Result<Vec<LockView>, Failure> {
        let one = of.map(name);
        let sql = self.sql.status(one.as_deref().map(row_name));
        let rows = table::rows(connection, PATIENCE, sql).await;
        let rows = rows.map_err(|error| self.failure(error))?;
        let read = |row: &table::Row| {
            let number = |column: usize| row.get(column)?.as_ref()?.parse::<i64>().ok();
            // Bytes, as hex.
            let text =
                |column: usize| String::from_utf8(unhexed(row.get(column)?.as_deref()?)?).ok();
            let (owner, fence) = (text(1), number(2));
            let held_for = counted(number(3), Duration::from_secs);
            Some(seen(lease::Row { name: name_of(text(0)?), owner, fence, held_for }, of))
        };
        Ok(rows.iter().filter_map(read).collect())
    }

    async fn own(
        &self,
        connection: &mut Connection,
        lease: &Lease,
        to: &Owner,
    ) -> Result<Taken, Failure> {
        let answers = self.ask(connection, own(lease, to), 1).await?;
        self.taken(answers.first().map_or("", |answer| answer))
    }

    /// The rows that there may be more of are found by their age: not from a name on.
    async fn prune(
        &self,
        connection: &mut Connection,
        older_than: Duration,
        _: &str,
    ) -> Result<Pruned, Failure> {
        let sql = self.sql.prune(older_than);
        let told = connection.ask(PATIENCE, move |driver| {
            driver.execute(&sql, &[&DB_TYPE_NUMBER])?.out_bind_data().get::<i64>(0)
        });
        let removed = told.await.map_err(|error| self.failure(error));
        let removed = removed.map_err(|failure| prune::needs_delete(failure, self.sql.table()))?;
        let removed = u64::try_from(removed).unwrap_or_default();
        let is_full = usize::try_from(removed).is_ok_and(|removed| removed >= prune::ROWS_MAX);
        Ok(Pruned { removed, next: is_full.then(String::new) })
    }

    /// Commits here wait for the disk unless the server's parameters say otherwise, which few may see.
    async fn examine(&self, connection: &mut Connection) -> Result<Vec<Finding>, Failure> {
        let rows = table::rows(connection, PATIENCE, self.sql.count()).await;
        let rows = rows.map_err(|error| self.failure(error))?;
        let rows = rows.first().and_then(|row| row.first()?.as_ref()?.parse().ok());
        Ok(prune::finding(self.sql.table(), rows.unwrap_or_default()).into_iter().collect())
    }

    async fn close(&self, connection: Connection) {
        connection.close().await;
    }
}
