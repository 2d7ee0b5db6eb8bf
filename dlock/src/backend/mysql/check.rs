//! What is wrong with the set-up, as far as a session can see it.

use super::family::{Family, whole_seconds};
use super::server::USED;
use super::status::{HOLDERS, LOCKS};
use super::{MySql, REMEDY, Session, integer, replicates, text};
use crate::backend::share;
use crate::error::Result;
use crate::status::Finding;

impl MySql {
    pub(super) async fn findings(&self, session: &mut Session) -> Result<Vec<Finding>> {
        let mut found = Vec::new();
        self.check_limits(session, &mut found).await?;
        self.check_views(session, &mut found).await?;
        self.check_replication(session, &mut found).await?;
        check_group(session, &mut found);
        self.check_fences(session, &mut found).await?;
        Ok(found)
    }

    async fn check_limits(&self, session: &mut Session, found: &mut Vec<Finding>) -> Result<()> {
        let patience = session.server.patience;
        let asked = whole_seconds(self.session_ttl).saturating_add(1);
        if u64::try_from(patience).is_ok_and(|patience| patience > asked) {
            found.push(Finding::problem(
                format!(
                    "wait_timeout stays at {patience} s: a holder that has vanished keeps its \
                         locks for that long"
                ),
                "connect to the server itself and not through a proxy",
            ));
        }
        if session.server.statement_limit > 0.0 {
            found.push(Finding::problem(
                "statements are ended after a time (max_execution_time or max_statement_time), \
                 so waits are too",
                "connect to the server itself and not through a proxy",
            ));
        }
        let rows = self.if_allowed(session, USED.into()).await?.unwrap_or_default();
        let used = rows.first().and_then(|row| integer(row, 1));
        if let (Some(used), Some(most)) = (used, session.server.max_connections) {
            if used.saturating_mul(10) >= most.saturating_mul(9) {
                found.push(Finding::problem(
                    format!(
                        "{used} of {most} connections are in use (max_connections): the next \
                             may be refused"
                    ),
                    "raise max_connections, or let programs have smaller pools",
                ));
            }
            found.extend(share(self.max_sessions, used, most));
        }
        // ProxySQL answers this one itself.
        let comment = "SELECT @@version_comment LIMIT 1";
        let rows = self.if_allowed(session, comment.into()).await?.unwrap_or_default();
        let comment = rows.first().and_then(|row| text(row, 0)).unwrap_or_default();
        if comment.contains("ProxySQL") {
            found.push(Finding::problem(
                "there is a ProxySQL between: it may move a connection to another session",
                "connect to the server itself",
            ));
        }
        Ok(())
    }

    async fn check_views(&self, session: &mut Session, found: &mut Vec<Finding>) -> Result<()> {
        let blind = "status shows only keys that somebody waits for with a statement like ours";
        if session.server.family == Family::MariaDb {
            if self.if_allowed(session, HOLDERS.into()).await?.is_none() {
                found.push(Finding::note(
                    format!("the plugin metadata_lock_info is not installed: {blind}"),
                    "INSTALL SONAME 'metadata_lock_info'; and GRANT PROCESS ON *.* to this user",
                ));
            }
            return Ok(());
        }
        if !session.server.has_views {
            found.push(Finding::note(
                format!("performance_schema is off: {blind}"),
                "set performance_schema=ON in the server's configuration",
            ));
            return Ok(());
        }
        let instrument = "SELECT ENABLED FROM performance_schema.setup_instruments \
                          WHERE NAME='wait/lock/metadata/sql/mdl'";
        let readable = format!("{LOCKS} LIMIT 0");
        let enabled = self.if_allowed(session, instrument.into()).await?;
        let enabled = enabled.and_then(|rows| text(rows.first()?, 0));
        if self.if_allowed(session, readable).await?.is_none() {
            found.push(Finding::note(
                format!("this user may not read performance_schema.metadata_locks: {blind}"),
                "GRANT SELECT ON performance_schema.* to this user",
            ));
        } else if enabled.as_deref() == Some("NO") {
            found.push(Finding::note(
                format!("performance_schema does not watch metadata locks: {blind}"),
                "UPDATE performance_schema.setup_instruments SET ENABLED='YES' \
                 WHERE NAME='wait/lock/metadata/sql/mdl'",
            ));
        }
        Ok(())
    }

    async fn check_replication(
        &self,
        session: &mut Session,
        found: &mut Vec<Finding>,
    ) -> Result<()> {
        let mariadb = session.server.family == Family::MariaDb;
        let seen = replicates(&mut session.connection, mariadb).await;
        match seen.map_err(|error| self.error(error))? {
            Some(false) => {}
            // Since this session was opened: a new one is refused.
            Some(true) => found.push(Finding::problem(
                "this server replicates another one: its locks do not exclude those who lock there",
                "let all programs connect to the same server",
            )),
            None => found.push(Finding::note(
                "whether this server is a replica of another one, this user may not see",
                REMEDY,
            )),
        }
        Ok(())
    }
}

/// What a fencing token needs to be remembered; a session cannot ask for that, as on PostgreSQL.
impl MySql {
    async fn check_fences(&self, session: &mut Session, found: &mut Vec<Finding>) -> Result<()> {
        let settings = "SHOW GLOBAL VARIABLES WHERE Variable_name IN \
                        ('innodb_flush_log_at_trx_commit','log_bin','binlog_format')";
        let rows = self.if_allowed(session, settings.into()).await?.unwrap_or_default();
        let value = |name: &str| {
            let row = rows.iter().find(|row| text(row, 0).as_deref() == Some(name));
            row.and_then(|row| text(row, 1)).unwrap_or_default()
        };
        let flush = value("innodb_flush_log_at_trx_commit");
        if !matches!(&*flush, "1" | "") {
            found.push(Finding::note(
                format!(
                    "innodb_flush_log_at_trx_commit is {flush}: after a crash, fencing tokens may \
                     be given out once more"
                ),
                "set it to 1, if any lock here is fenced",
            ));
        }
        if value("log_bin") == "ON" && value("binlog_format") == "STATEMENT" {
            found.push(Finding::note(
                "binlog_format is STATEMENT: replicas do not learn of fencing tokens",
                "set it to ROW, if any lock here is fenced",
            ));
        }
        Ok(())
    }
}

/// A primary that has lost touch with its group.
fn check_group(session: &Session, found: &mut Vec<Finding>) {
    let server = &session.server;
    if server.grouped && !server.sees_group && server.majority_timeout == 0 {
        found.push(Finding::note(
            "this user may not see whether the server is in its group and in touch with the majority; if it \
             is not, it goes on granting locks while the others have another primary",
            "GRANT SELECT ON performance_schema.replication_group_members to this user, and set \
             group_replication_unreachable_majority_timeout to a few seconds",
        ));
    }
}
