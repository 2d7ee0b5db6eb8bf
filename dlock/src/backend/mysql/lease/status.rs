//! What can be seen of leases: who holds one, and how the server is set up.

use std::time::Duration;

use sqlx::mysql::MySqlRow;

use super::{Member, MySql};
use crate::backend::lease::{self, Failure, name, prune, seen};
use crate::backend::mysql::{REMEDY, integer, replicates, text};
use crate::backend::{LockView, counted};
use crate::spec::native::NativeKey;
use crate::status::Finding;

/// Twice the time that a cluster stands still when it loses a node, and some.
const SHORT: Duration = Duration::from_secs(15);
/// A group stands still for 22 s when it loses its primary, and a lease may have a third of its ttl behind it then.
const SHORT_OF_GROUPS: Duration = Duration::from_secs(33);

impl MySql {
    /// How to find the holder of a key by hand.
    pub(crate) fn explain(&self) -> Box<dyn Fn(&NativeKey) -> String + Send + Sync> {
        let explain = self.sql.explain();
        Box::new(move |key| explain(&name(key)))
    }

    /// Who holds this key, or any.
    pub(super) async fn seen(
        &self,
        member: &mut Member,
        of: Option<&NativeKey>,
    ) -> Result<Vec<LockView>, Failure> {
        let sql = self.sql.status(of.map(name).as_deref());
        let rows = self.rows(&mut member.connection, sql).await?;
        let read = |row: &MySqlRow| {
            let (owner, fence) = (text(row, 1), integer(row, 2));
            let held_for = counted(integer(row, 3), Duration::from_micros);
            Some(seen(lease::Row { name: text(row, 0)?, owner, fence, held_for }, of))
        };
        Ok(rows.iter().filter_map(read).collect())
    }

    /// What weakens locks.
    pub(super) async fn findings(&self, member: &mut Member) -> Result<Vec<Finding>, Failure> {
        let mut findings = Vec::new();
        if member.server.clustered && self.ttl.is_some_and(|ttl| ttl < SHORT) {
            let what = "a cluster stands still for six seconds when it loses a node, and leases \
                        of less than 15 s may be lost then";
            findings.push(Finding::problem(what, "choose a ttl of 15 s or more"));
        }
        if member.server.grouped {
            if self.ttl.is_some_and(|ttl| ttl < SHORT_OF_GROUPS) {
                let what = "a group takes no writes for about 22 s when it loses its primary, and leases of \
                            less than 33 s may be lost then";
                let remedy = "choose a ttl of 33 s or more, or set group_replication_member_expel_timeout=0 \
                              and choose one of 15 s or more";
                findings.push(Finding::note(what, remedy));
            }
            if !self.check_group(&mut member.connection).await? {
                let what = "whether this server is in its group, this user may not see";
                let remedy =
                    "GRANT SELECT ON performance_schema.replication_group_members to this user";
                findings.push(Finding::note(what, remedy));
            }
        }
        if !member.server.clustered {
            let seen = replicates(&mut member.connection, member.server.is_mariadb()).await;
            if seen.map_err(|error| self.failure(error))?.is_none() {
                let what = "whether this server is a replica of another one, this user may not see";
                findings.push(Finding::note(what, REMEDY));
            }
        }
        let sql = "SELECT @@GLOBAL.innodb_flush_log_at_trx_commit";
        let flush = self.rows(&mut member.connection, sql.into()).await?;
        if let Some(flush) = flush.first().and_then(|row| text(row, 0)).filter(|flush| flush != "1")
        {
            // What a node of a cluster forgets, the others know.
            let find = if member.server.clustered { Finding::note } else { Finding::problem };
            let what = format!(
                "innodb_flush_log_at_trx_commit is {flush}: after a crash a lease may be granted \
                 twice, and a fencing token may repeat"
            );
            findings.push(find(what, "set innodb_flush_log_at_trx_commit=1"));
        }
        let table = self.sql.table();
        if table.django {
            return Ok(findings);
        }
        let rows = self.rows(&mut member.connection, prune::count(&table.quoted('`'))).await?;
        let rows = rows.first().and_then(|row| integer(row, 0)).unwrap_or_default();
        findings.extend(prune::finding(&table.name, rows));
        Ok(findings)
    }
}
