//! What a session is set to, against the settings of its user, the server and its `init_connect`.

use std::time::Duration;

use super::MySql;
use super::family::whole_seconds;
use super::server::Server;

/// The server lets go so much later than the holder's validity ends: a body that waits is dropped by a
/// timer, and others must not have the lock before.
const SLACK: Duration = Duration::from_millis(100);

/// What every session needs that reads and writes rows, of a lease or of a fencing token: what it
/// sends means what it says, ends nothing but its own transaction, and has all its rows and no
/// limits. To be followed by more settings of `SET SESSION`.
const READS_AND_WRITES: &str = "SET NAMES utf8mb4;\
    SET SESSION sql_mode='STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION',autocommit=1,\
    completion_type='NO_CHAIN',sql_safe_updates=0,sql_big_selects=1,\
    sql_select_limit=18446744073709551615";

/// The statements for all that, and for these settings: `name=value`. `limit` is the variable that
/// ends statements which take long. Where the log of changes is one of statements, nothing can be
/// written at READ COMMITTED.
pub(crate) fn fit(settings: &[String], limit: Option<&str>, logs_statements: bool) -> String {
    let mut sql = READS_AND_WRITES.to_owned();
    for setting in settings {
        sql.push(',');
        sql.push_str(setting);
    }
    if let Some(limit) = limit {
        sql.push_str(&format!(",{limit}=0"));
    }
    sql.push_str(";SET SESSION TRANSACTION READ WRITE");
    if !logs_statements {
        // Only rows are locked then, and no gaps between them: nobody meets a deadlock.
        sql.push_str(";SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED");
    }
    sql
}

impl MySql {
    /// The settings of a session: fit to write tokens, and given up by the server for its silence in
    /// time. The variable shows, in MySQL's `performance_schema.user_variables_by_thread`, whose
    /// session it is.
    pub(super) fn settings(&self, server: &Server) -> String {
        let silence = whole_seconds(self.session_ttl + SLACK);
        let settings = [
            format!("wait_timeout={silence}"),
            format!("interactive_timeout={silence}"),
            format!("@dlock={}", self.own_name()),
        ];
        fit(&settings, Some(server.family.statement_limit()), server.logs_statements)
    }
}
