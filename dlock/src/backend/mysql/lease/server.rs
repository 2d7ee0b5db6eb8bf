//! What a server is, which ones are passed over, and what a session is set to.

use sqlx::mysql::{MySqlConnection, MySqlRow};

use super::MySql;
use crate::backend::errors::{ErrorKind, unsupported};
use crate::backend::lease::Failure;
use crate::backend::mysql::errors::kind_of;
use crate::backend::mysql::{IN_GROUP, fit, integer, literal, text};
use crate::backend::rows;
#[cfg(test)]
use crate::error::Error;
use crate::error::Result;

/// Everything that tells what it is, in a form that no server refuses (and, for the two
/// settings, answers in full). The session's values are
/// the server's, but where somebody sees to it that they are not.
pub(super) const LOOK: &str = "SET SESSION sql_big_selects=1,sql_select_limit=18446744073709551615;\
    SHOW SESSION VARIABLES WHERE Variable_name IN ('read_only',\
    'super_read_only','innodb_read_only','wsrep_on','wsrep_provider','max_execution_time',\
    'max_statement_time','log_bin','binlog_format','max_allowed_packet',\
    'innodb_flush_log_at_trx_commit',\
    'group_replication_group_name');\
    SHOW GLOBAL STATUS LIKE 'wsrep_cluster_status'";

/// What a connection has seen of its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    /// It is a node of a Galera or Percona XtraDB cluster.
    pub(super) clustered: bool,
    /// It is a member of a group (MySQL Group Replication).
    pub(super) grouped: bool,
    /// When it writes its commits to the disk; 1: each at once.
    pub(super) flush: Box<str>,
    /// How many bytes of statements it takes at once.
    pub(super) packet: usize,
    /// The variable by which it ends statements that take long.
    limit: Option<&'static str>,
    /// Its log of changes has statements in it, and so takes none that reads what others have just
    /// committed.
    pub(super) logs_statements: bool,
}

impl MySql {
    /// Whether leases can be kept there now.
    pub(super) fn recognize(&self, look: &[MySqlRow]) -> Result<Server, Failure> {
        let look: Vec<(String, String)> =
            look.iter().filter_map(|row| Some((text(row, 0)?, text(row, 1)?))).collect();
        self.judge(&look)
    }

    /// Refuses a member that is not in its group, or cut off from it: nothing that it writes is ever confirmed by the
    /// others. Returns `false` if this user may not see it.
    pub(super) async fn check_group(
        &self,
        connection: &mut MySqlConnection,
    ) -> Result<bool, Failure> {
        match rows::ask(connection, sqlx::raw_sql(IN_GROUP)).all().await {
            Ok(rows) if rows.first().and_then(|row| integer(row, 0)) != Some(1) => Err(self
                .out_of_service(
                    "the server is not in its group, or cut off from the majority of it: run START \
                     GROUP_REPLICATION there, connect to another member, or unset \
                     group_replication_group_name",
                )),
            Ok(_) => Ok(true),
            Err(error) if kind_of(&error) == ErrorKind::NoRight => Ok(false),
            Err(error) => Err(self.failure(error)),
        }
    }

    fn judge(&self, look: &[(String, String)]) -> Result<Server, Failure> {
        let value = |name: &str| {
            let found = look.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
            found.map_or("", |(_, value)| value)
        };
        let is_on = |name| !matches!(value(name), "OFF" | "0" | "");
        if ["read_only", "super_read_only", "innodb_read_only"].into_iter().any(is_on) {
            return Err(self.out_of_service("the server is read-only: is it a replica?"));
        }
        let provider = !matches!(value("wsrep_provider"), "" | "none");
        let clustered = match value("wsrep_cluster_status") {
            "" | "Disconnected" => provider && is_on("wsrep_on"),
            _ => true,
        };
        if clustered && value("wsrep_cluster_status") != "Primary" {
            return Err(self.out_of_service("the node is cut off from the majority of its cluster"));
        }
        if clustered && !is_on("wsrep_on") {
            return Err(Failure::Failed(unsupported(
                &self.label,
                "leases that the other nodes see (its own writes stay here: wsrep_on is OFF)",
                "set wsrep_on=ON, or connect to another node",
            )));
        }
        let limits = ["max_statement_time", "max_execution_time"];
        Ok(Server {
            clustered,
            grouped: !value("group_replication_group_name").is_empty(),
            flush: value("innodb_flush_log_at_trx_commit").into(),
            packet: value("max_allowed_packet").parse().unwrap_or(usize::MAX),
            limit: limits.into_iter().find(|name| !value(name).is_empty()),
            logs_statements: is_on("log_bin") && value("binlog_format") == "STATEMENT",
        })
    }
}

impl Server {
    pub(super) fn is_mariadb(&self) -> bool {
        self.limit == Some("max_statement_time")
    }

    /// What it has committed, it may have forgotten after a crash.
    pub(super) fn is_lazy(&self) -> bool {
        !matches!(&*self.flush, "1" | "")
    }

    /// Of the session.
    pub(super) fn settings(&self, who: Option<&str>) -> String {
        // A row that somebody has locked holds others up for a second at most. A locker that has
        // nothing to do keeps its connection.
        let settings = [
            "innodb_lock_wait_timeout=1,lock_wait_timeout=1,wait_timeout=31536000".to_owned(),
            format!("@dlock={}", literal(who.unwrap_or("dlock"))),
        ];
        // A conflict is ours to repeat.
        let cluster = self.clustered.then(|| "wsrep_sync_wait=0,wsrep_retry_autocommit=0".into());
        let settings: Vec<String> = settings.into_iter().chain(cluster).collect();
        fit(&settings, self.limit, self.logs_statements)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Options;

    fn server(look: &[(&str, &str)]) -> Result<Server, String> {
        let options = Options::default();
        let table = options.lease.table_of(false).map_err(|error| error.to_string())?;
        let url = "mysql://app:s3cr3t@db/app";
        let mysql = MySql::from_url(url, &table, &options).map_err(|error| error.to_string())?;
        let look: Vec<_> = look.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
        mysql.judge(&look).map_err(|failure| match failure.into_error() {
            Error::Unavailable { source, .. } => source.to_string(),
            error => error.to_string(),
        })
    }

    #[test]
    fn only_who_writes_for_all_can_have_leases() {
        for on in [("read_only", "ON"), ("super_read_only", "1"), ("innodb_read_only", "ON")] {
            assert!(server(&[on]).is_err_and(|why| why.contains("read-only")));
        }
        let provider = ("wsrep_provider", "/x.so");
        let (on, off) = (("wsrep_on", "ON"), ("wsrep_on", "OFF"));
        let primary = ("wsrep_cluster_status", "Primary");
        assert!(server(&[provider, on, primary]).is_ok_and(|server| server.clustered));
        let alone = ("wsrep_cluster_status", "non-Primary");
        assert!(server(&[provider, on, alone]).is_err_and(|why| why.contains("cut off")));
        assert!(server(&[provider, on]).is_err_and(|why| why.contains("cut off")));
        assert!(server(&[provider, off, primary]).is_err_and(|why| why.contains("wsrep_on")));
        let out = [provider, off, ("wsrep_cluster_status", "Disconnected")];
        for no_node in [&out[..], &[("wsrep_provider", "none"), on], &[]] {
            assert!(server(no_node).is_ok_and(|server| !server.clustered), "{no_node:?}");
        }
    }

    #[test]
    fn the_level_of_isolation_goes_with_the_log() {
        let set = |look: &[(&str, &str)]| server(look).map(|server| server.settings(None));
        let committed = "READ COMMITTED";
        assert!(
            set(&[("log_bin", "ON"), ("binlog_format", "ROW")])
                .is_ok_and(|s| s.contains(committed))
        );
        let statements = [("log_bin", "ON"), ("binlog_format", "STATEMENT")];
        assert!(set(&statements).is_ok_and(|s| !s.contains(committed)));
        assert!(
            set(&[("max_statement_time", "1.5")]).is_ok_and(|s| s.contains("max_statement_time=0"))
        );
    }
}
