//! MySQL, MariaDB and their clusters: leases in a table.
//!
//! Statements go out as text, several in one packet where they belong together, so that whatever is
//! asked takes one round trip. Nothing is believed of a count of rows: what drivers and clusters say
//! there does not tell a grant from a refusal. What a transaction has read of its own rows counts
//! when it is committed, and not before. A lone take is one statement, whose `LAST_INSERT_ID` is the
//! answer.

pub(crate) mod answers;
mod connect;
mod django;
mod errors;
mod server;
mod shape;
mod status;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::{AssertSqlSafe, Connection as _};
use tokio::time::timeout;

use self::answers::{Answers, is_read_only, lone};
use self::connect::Hosts;
use self::server::Server;
use crate::backend::lease::prune::{self, Pruned};
use crate::backend::lease::seam::cannot_prune;
use crate::backend::lease::{Failure, Lease, LeaseBackend, Outcomes, Owner, TTL, Taken};
use crate::backend::mysql::errors::error_of;
use crate::backend::mysql::lease_sql::{LeaseSql, unless_read_only};
use crate::backend::mysql::{as_it_is, replicates, text};
use crate::backend::{LockView, hosts, rows};
use crate::error::Result;
use crate::spec::native::NativeKey;
use crate::status::Finding;

/// A cluster stands still for six seconds when it loses a node.
const TTL_OF_CLUSTERS: Duration = Duration::from_secs(30);
/// A group needs 21 s until another member takes writes when it loses its primary.
const TTL_OF_GROUPS: Duration = Duration::from_secs(45);
/// What would take more than that of one packet goes out as several.
const MOST: usize = 1000;
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// Leases on a server of the MySQL family, or on a cluster of such.
pub(crate) struct MySql {
    hosts: Hosts,
    label: Box<str>,
    sql: Box<dyn LeaseSql>,
    /// The same where statements are logged as they are.
    logged_sql: Box<dyn LeaseSql>,
    /// It has been said that what is committed may be lost here.
    warned: AtomicBool,
    /// How many bytes of statements the server takes at once, by the last connection.
    packet: AtomicUsize,
    application_name: Option<String>,
    /// What the locker says.
    ttl: Option<Duration>,
}

/// A connection to a server that can have leases.
pub(crate) struct Member {
    connection: MySqlConnection,
    server: Server,
}

impl MySql {
    /// The statements for that server.
    fn sql_for(&self, member: &Member) -> &dyn LeaseSql {
        if member.server.logs_statements { &*self.logged_sql } else { &*self.sql }
    }
}

impl MySql {
    async fn open_one(&self, host: &sqlx::mysql::MySqlConnectOptions) -> Result<Member, Failure> {
        let connection = self.hosts.connect(as_it_is(host.clone())).await;
        let mut connection = connection.map_err(|error| self.failure(error))?;
        let look = self.rows(&mut connection, server::LOOK.into()).await?;
        let server = self.recognize(&look)?;
        self.packet.store(server.packet, Ordering::Relaxed);
        if server.grouped {
            self.check_group(&mut connection).await?;
        }
        if !server.clustered {
            let replicates = replicates(&mut connection, server.is_mariadb()).await;
            if replicates.map_err(|error| self.failure(error))? == Some(true) {
                return Err(self.out_of_service(
                    "it replicates another server: connect to the primary; if this is the primary, \
                     end what is left of its replication: RESET REPLICA ALL",
                ));
            }
        }
        self.warn(&server);
        self.rows(&mut connection, server.settings(self.application_name.as_deref())).await?;
        self.table(&mut connection).await?;
        Ok(Member { connection, server })
    }

    /// Says once, and loudly, that leases are not safe there. What a node of a cluster forgets, the
    /// others know.
    fn warn(&self, server: &Server) {
        if server.is_lazy() && !server.clustered && !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                target: "dlock",
                backend = &*self.label,
                "innodb_flush_log_at_trx_commit is {}: after a crash of the server a lease may be \
                 granted twice, and a fencing token may repeat; set it to 1",
                server.flush
            );
        }
    }

    /// The rows of these statements, all together.
    async fn rows(
        &self,
        connection: &mut MySqlConnection,
        sql: String,
    ) -> Result<Vec<MySqlRow>, Failure> {
        let rows = rows::ask(connection, sqlx::raw_sql(AssertSqlSafe(sql))).all().await;
        rows.map_err(|error| self.failure(error))
    }

    /// The same of what writes.
    async fn write(&self, member: &mut Member, sql: String) -> Result<Vec<MySqlRow>, Failure> {
        match self.rows(&mut member.connection, sql).await {
            Ok(rows) => Ok(rows),
            Err(failure) => Err(self.undo(member, failure).await),
        }
    }

    /// The answer of a statement that is no row.
    async fn write_one(&self, member: &mut Member, sql: String) -> Result<u64, Failure> {
        let written =
            rows::ask(&mut member.connection, sqlx::raw_sql(AssertSqlSafe(sql))).none().await;
        match written.map_err(|error| self.failure(error)) {
            Ok(done) => Ok(done.last_insert_id()),
            Err(failure) => Err(self.undo(member, failure).await),
        }
    }

    /// If others were in the way, nothing is left of it. A lock that was waited for too long ends
    /// the statement, and not the transaction.
    async fn undo(&self, member: &mut Member, failure: Failure) -> Failure {
        if let Failure::Failed(_) = failure {
            return failure;
        }
        if let Err(error) =
            rows::ask(&mut member.connection, sqlx::raw_sql("ROLLBACK")).none().await
        {
            return Failure::Failed(error_of(&self.label, error));
        }
        if member.server.grouped {
            // On a member that is cut off commits wait without end, with the rows that they have locked. Whoever asks for
            // one of those is to ask another member.
            return self.check_group(&mut member.connection).await.err().unwrap_or(failure);
        }
        failure
    }
}

impl LeaseBackend for MySql {
    type Connection = Member;

    fn label(&self) -> Box<str> {
        self.label.clone()
    }

    fn ttl(&self, member: &Member) -> Duration {
        match member.server {
            Server { clustered: true, .. } => TTL_OF_CLUSTERS,
            Server { grouped: true, .. } => TTL_OF_GROUPS,
            _ => TTL,
        }
    }

    /// A name and an owner are at most 255 bytes each, which stand there in hex, and several times.
    fn most(&self) -> usize {
        const EACH: usize = 3_000;
        const REST: usize = 2_000;
        self.packet.load(Ordering::Relaxed).saturating_sub(REST).div_euclid(EACH).max(1)
    }

    async fn open(&self) -> Result<Member, Failure> {
        let all = self.hosts.options();
        hosts::first(&all, &self.label, |host| self.open_one(host)).await
    }

    async fn apply(
        &self,
        member: &mut Member,
        releases: &[Lease],
        takes: &[Lease],
    ) -> Result<Outcomes, Failure> {
        if let ([], [lease]) = (releases, takes)
            && let Some(sql) = self.sql_for(member).take_one(lease)
        {
            // No transaction: it takes half the time, and most are of this kind.
            let taken = vec![lone(self.write_one(member, sql).await?)];
            return Ok(Outcomes { taken, ..Outcomes::default() });
        }
        let sql = self.sql_for(member).apply(releases, takes);
        let answers = Answers::of(&self.write(member, sql).await?);
        Ok(Outcomes {
            released: releases.iter().map(|lease| answers.released(lease)).collect(),
            taken: takes.iter().map(|lease| answers.taken(lease, self.sql.has_fences())).collect(),
        })
    }

    async fn renew(&self, member: &mut Member, leases: &[Lease]) -> Result<Vec<bool>, Failure> {
        let mut renewed = Vec::with_capacity(leases.len());
        let mut left: Vec<&[Lease]> = leases.chunks(MOST).rev().collect();
        while let Some(part) = left.pop() {
            let sql = self.sql_for(member).renew(part);
            if sql.len() >= member.server.packet && part.len() > 1 {
                let (first, second) = part.split_at(part.len() / 2);
                left.extend([second, first]);
                continue;
            }
            let answers = Answers::of(&self.write(member, sql).await?);
            renewed.extend(part.iter().map(|lease| answers.held(lease)));
        }
        Ok(renewed)
    }

    async fn check(&self, member: &mut Member, lease: &Lease) -> Result<bool, Failure> {
        let mut sql = self.sql.check(lease);
        if member.server.clustered {
            // What the other nodes have written first must be here before it is read.
            sql = format!("SET SESSION wsrep_sync_wait=1;{sql};SET SESSION wsrep_sync_wait=0");
        }
        let rows = self.rows(&mut member.connection, unless_read_only(&sql)).await?;
        if is_read_only(&rows) {
            return Err(self.handed_over());
        }
        Ok(Answers::of(&rows).held(lease))
    }

    async fn status(
        &self,
        member: &mut Member,
        of: Option<&NativeKey>,
    ) -> Result<Vec<LockView>, Failure> {
        self.seen(member, of).await
    }

    async fn own(&self, member: &mut Member, lease: &Lease, to: &Owner) -> Result<Taken, Failure> {
        let sql = self.sql_for(member).own(lease, to);
        let answers = Answers::of(&self.write(member, sql).await?);
        let owned = Lease { owner: to.clone(), ..lease.clone() };
        Ok(answers.taken(&owned, self.sql.has_fences()))
    }

    async fn prune(
        &self,
        member: &mut Member,
        older_than: Duration,
        from: &str,
    ) -> Result<Pruned, Failure> {
        let Some(old) = self.sql.old(older_than, from) else {
            return Err(Failure::Failed(cannot_prune(&self.label)));
        };
        let rows = self.write(member, old).await?;
        let names: Vec<_> = rows.iter().filter_map(|row| text(row, 0)).collect();
        let removed = self.write(member, self.sql.remove(&names)).await;
        let table = self.sql.table().quoted('`');
        removed.map_err(|failure| prune::needs_delete(failure, &table))?;
        Ok(Pruned::of(names))
    }

    async fn examine(&self, member: &mut Member) -> Result<Vec<Finding>, Failure> {
        self.findings(member).await
    }

    async fn close(&self, member: Member) {
        let _ = timeout(GOODBYE, member.connection.close()).await;
    }
}
