//! What a server is, and which ones are refused.

use sqlx::mysql::MySqlRow;

use super::errors::NoPrimary;
use super::family::{Family, whole_seconds};
use super::session_sql::BIRTH;
use super::{MySql, Session, integer};
use crate::backend::errors::{NotExclusive, unsupported};
use crate::error::{Error, Result};

/// Everything that tells what it is, in a form that no server refuses (and, for the two
/// settings, answers in full); asked before anything else is set.
pub(super) const LOOK: &str = "SET SESSION sql_big_selects=1,sql_select_limit=18446744073709551615;\
    SHOW GLOBAL VARIABLES WHERE Variable_name IN ('version',\
    'version_comment','read_only','super_read_only','innodb_read_only','max_execution_time',\
    'max_statement_time','wsrep_on','wsrep_provider','performance_schema','max_connections',\
    'log_bin','binlog_format','max_allowed_packet','innodb_flush_log_at_trx_commit',\
    'group_replication_group_name','group_replication_single_primary_mode',\
    'group_replication_unreachable_majority_timeout')";
/// Whether a user may see who is in the group.
pub(super) const MEMBERS: &str =
    "SELECT COUNT(*) FROM performance_schema.replication_group_members";
pub(super) const CLUSTER: &str = "SHOW GLOBAL STATUS LIKE 'wsrep_cluster_status'";
/// What has a commit wait for other servers, which may be away: semi-synchronous replication, by its
/// newer and its older name, and a group.
pub(super) const WRITES_WAIT: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN \
    ('rpl_semi_sync_source_enabled','rpl_semi_sync_master_enabled','group_replication_group_name')";

/// Whether a member is in its group, and in touch with the majority, by its own view. Without the majority it goes on as
/// primary, and the others have another. One that has been restarted, and has not joined its group again, takes writes that
/// the others never see.
macro_rules! in_group {
    () => {
        "(SELECT IFNULL(MAX(MEMBER_ID=@@GLOBAL.server_uuid AND MEMBER_STATE='ONLINE') \
         AND 2*SUM(MEMBER_STATE='UNREACHABLE')<COUNT(*),0) \
         FROM performance_schema.replication_group_members)"
    };
}

pub(crate) const IN_GROUP: &str = concat!("SELECT ", in_group!());

/// How many connections are in use.
pub(super) const USED: &str = "SHOW GLOBAL STATUS LIKE 'Threads_connected'";

/// What there is where a server's own locks exclude nobody.
pub(super) const LEASE: &str = "use its lease table: lease+mysql://…";
pub(super) const CLUSTERED: NotExclusive = NotExclusive {
    what: "locks that exclude the other nodes' (it is a node of a Galera or Percona XtraDB cluster: each node \
           grants the same lock)",
    instead: LEASE,
};
pub(super) const READ_ONLY: NotExclusive = NotExclusive {
    what: "locks that exclude the primary's (it is a replica: it is read-only)",
    instead: "connect to the primary",
};

/// Statements of more than this many locks take more than their share of time to put together.
const MOST: usize = 1000;

/// What a session has seen of its server.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) family: Family,
    /// Its views of locks are filled.
    pub(super) has_views: bool,
    pub(super) max_connections: Option<i64>,
    /// How many locks a statement can be about.
    pub(super) most: usize,
    /// Its log of changes has statements in it, and not rows.
    pub(super) logs_statements: bool,
    /// When it writes its commits to the disk; 1: each at once.
    pub(super) flush: Option<String>,
    /// It can be a member of a group (MySQL Group Replication).
    pub(super) grouped: bool,
    /// This user may see whether it is in its group, and who of the others is in touch.
    pub(super) sees_group: bool,
    /// After how many seconds without the majority of its group it gives up; 0: never.
    pub(super) majority_timeout: i64,
    /// It could be a node of a Galera cluster: that takes one more question.
    pub(super) may_be_clustered: bool,
    /// For how long it lets a silent session keep its locks, in seconds.
    pub(super) patience: i64,
    /// How long it lets a statement run; 0 is for ever.
    pub(super) statement_limit: f64,
}

/// How many locks fit into a statement, given how many bytes the server takes at once. A name is at
/// most 64 characters, which stand there in hex, and several times.
fn most(packet: Option<usize>) -> usize {
    const EACH: usize = 2_000;
    const REST: usize = 1_000;
    let fit = packet.map_or(MOST, |packet| packet.saturating_sub(REST).div_euclid(EACH));
    fit.clamp(1, MOST)
}

impl Server {
    /// What it has made of the settings, and who it is; and how many connections are in use.
    pub(super) fn confirm(&self) -> String {
        let (limit, proof) = (self.family.statement_limit(), self.proof());
        format!(
            "SELECT CONNECTION_ID(),@@SESSION.wait_timeout,@@SESSION.{limit},{BIRTH},{proof};{USED}"
        )
    }

    /// An expression whose value stays as it is as long as the session is the same one, and the
    /// server one whose locks exclude others: a primary that hands over to another server becomes
    /// read-only, and its sessions stay.
    pub(super) fn proof(&self) -> &'static str {
        match (self.grouped, self.sees_group) {
            (false, _) => "CONCAT(CONNECTION_ID(),'/',@@GLOBAL.read_only)",
            (true, false) => {
                "CONCAT(CONNECTION_ID(),'/',@@GLOBAL.read_only,\
                 @@GLOBAL.group_replication_single_primary_mode)"
            }
            (true, true) => concat!(
                "CONCAT(CONNECTION_ID(),'/',@@GLOBAL.read_only,\
                 @@GLOBAL.group_replication_single_primary_mode,'/',1-",
                in_group!(),
                ")"
            ),
        }
    }
}

impl MySql {
    /// Whether locks of this server exclude anybody, and what it is.
    pub(super) fn recognize(&self, look: &[(String, String)]) -> Result<Server> {
        let value = |name: &str| {
            let found = look.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.as_str())
        };
        let is_on = |name| value(name).is_some_and(|v| !matches!(v, "OFF" | "0" | ""));
        let comment = value("version_comment").unwrap_or_default();
        let version = format!("{} {comment}", value("version").unwrap_or_default());
        if version.contains("TiDB") {
            return Err(self.refuse(
                "lock that can be asked for without a wait (TiDB waits for a second at least)",
                LEASE,
            ));
        }
        if version.contains("Vitess") || version.contains("PlanetScale") {
            return Err(self.refuse(
                "locks that last (Vitess ends a session that is silent for half a minute, and \
                 keeps its locks in one shard)",
                LEASE,
            ));
        }
        let provider = value("wsrep_provider").is_some_and(|path| !matches!(path, "" | "none"));
        if provider && is_on("wsrep_on") {
            return Err(CLUSTERED.error(&self.label));
        }
        if ["read_only", "super_read_only", "innodb_read_only"].into_iter().any(is_on) {
            return Err(READ_ONLY.error(&self.label));
        }
        if value("group_replication_group_name").is_some_and(|name| !name.is_empty())
            && value("group_replication_single_primary_mode") == Some("OFF")
        {
            return Err(self.refuse(
                "locks that exclude the other members' (it is one of a group with several primaries: \
                 each grants the same lock)",
                "use its lease table: lease+mysql://…, or a group with a single primary",
            ));
        }
        let family = match (value("max_statement_time"), value("max_execution_time")) {
            (Some(_), _) => Family::MariaDb,
            (None, Some(_)) => Family::MySql,
            // There a session's second lock releases its first.
            (None, None) => {
                return Err(self.refuse(
                    "locks of which a session can have several",
                    "MySQL 5.7.8 or MariaDB 10.1, or newer, is needed",
                ));
            }
        };
        Ok(Server {
            family,
            has_views: is_on("performance_schema"),
            max_connections: value("max_connections").and_then(|n| n.parse().ok()),
            most: most(value("max_allowed_packet").and_then(|n| n.parse().ok())),
            grouped: value("group_replication_group_name").is_some_and(|name| !name.is_empty()),
            sees_group: false,
            majority_timeout: value("group_replication_unreachable_majority_timeout")
                .and_then(|seconds| seconds.parse().ok())
                .unwrap_or(0),
            flush: value("innodb_flush_log_at_trx_commit").map(Into::into),
            logs_statements: is_on("log_bin") && value("binlog_format") == Some("STATEMENT"),
            may_be_clustered: provider,
            patience: 0,
            statement_limit: 0.0,
        })
    }

    /// A node may replicate though it says that its own writes do not.
    pub(super) fn check_cluster(&self, status: Option<&str>) -> Result<()> {
        match status {
            None | Some("" | "Disconnected") => Ok(()),
            Some(_) => Err(CLUSTERED.error(&self.label)),
        }
    }

    /// One that takes writes is a replica all the same.
    pub(super) fn check_replica(&self, replicates: Option<bool>) -> Result<()> {
        match replicates {
            None | Some(false) => Ok(()),
            Some(true) => Err(self.refuse(
                "locks that exclude the primary's (it replicates another server)",
                "connect to the primary; if this is the primary, end what is left of its replication: \
                 RESET REPLICA ALL",
            )),
        }
    }

    fn refuse(&self, what: &str, instead: &str) -> Error {
        unsupported(&self.label, what, instead)
    }

    /// Makes sure that the session is what it is to be.
    pub(super) fn confirm(&self, session: &mut Session, row: Option<&MySqlRow>) -> Result<()> {
        let patience = row.and_then(|row| integer(row, 1));
        let limit = row.and_then(|row| super::text(row, 2)).and_then(|text| text.parse().ok());
        let (Some(patience), Some(limit), true) =
            (patience, limit, session.id > 0 && session.birth > 0)
        else {
            return Err(self.strange("no id, or no time limits"));
        };
        let proof = row.and_then(|row| super::text(row, 4));
        let Some(proof) = proof.filter(|proof| proof.starts_with(&format!("{}/", session.id)))
        else {
            return Err(self.strange("no proof of the session"));
        };
        if session.server.sees_group && proof.ends_with("/1") {
            return Err(Error::unavailable(&self.label, NoPrimary));
        }
        session.proof = proof;
        session.server.patience = patience;
        session.server.statement_limit = limit;
        if u64::try_from(patience).unwrap_or(0) < whole_seconds(self.session_ttl) {
            return Err(self.refuse(
                "way to let a silent session keep its locks as long as session_ttl says \
                 (wait_timeout cannot be set: is there a proxy between?)",
                "connect to the server itself, or choose a shorter session_ttl",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Options;

    fn server(look: &[(&str, &str)]) -> Result<Server> {
        let options = Options::default();
        let mysql = MySql::from_url("mysql://app:s3cr3t@db/app", &options)?;
        let look: Vec<_> = look.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
        mysql.recognize(&look)
    }

    fn refusal(look: &[(&str, &str)]) -> String {
        let all = [look, &[("max_execution_time", "0")]].concat();
        server(&all).err().map_or_else(String::new, |error| error.to_string())
    }

    #[test]
    fn servers_whose_locks_are_of_no_use_are_refused() {
        let galera = [("wsrep_on", "ON"), ("wsrep_provider", "/usr/lib/galera/libgalera_smm.so")];
        assert!(refusal(&galera).contains("lease+mysql://"), "{}", refusal(&galera));
        for version in ["8.0.11-TiDB-v8.5.0", "8.0.30-Vitess"] {
            assert!(refusal(&[("version", version)]).contains("lease+mysql://"));
        }
        for name in ["read_only", "super_read_only", "innodb_read_only"] {
            assert!(refusal(&[(name, "ON")]).contains("connect to the primary"));
        }
        let group = [
            ("group_replication_group_name", "0f3c"),
            ("group_replication_single_primary_mode", "OFF"),
        ];
        assert!(refusal(&group).contains("several primaries"), "{}", refusal(&group));
        // MariaDB 12's.
        assert!(refusal(&[("read_only", "NO_LOCK")]).contains("connect to the primary"));
        assert!(server(&[("version", "5.6.51")]).is_err());
        assert!(!refusal(&galera).contains("s3cr3t"));
    }

    #[test]
    fn others_are_told_apart() {
        let off = [("wsrep_on", "OFF"), ("wsrep_provider", "none"), ("read_only", "OFF")];
        let mariadb = server(&[&off[..], &[("max_statement_time", "0.000000")]].concat());
        assert!(mariadb.is_ok_and(|s| s.family == Family::MariaDb && !s.may_be_clustered));
        let mysql = server(&[("max_execution_time", "0"), ("performance_schema", "ON")]);
        assert!(mysql.is_ok_and(|s| s.family == Family::MySql && s.has_views));
        // Loaded, and switched off here.
        let loaded =
            [("wsrep_on", "OFF"), ("wsrep_provider", "/x.so"), ("max_statement_time", "0")];
        assert!(server(&loaded).is_ok_and(|s| s.may_be_clustered));
    }
}
