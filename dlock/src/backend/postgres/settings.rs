//! What a session is set to.

use std::time::Duration;

use super::Postgres;

/// `transaction_timeout` came with 17.
const TRANSACTION_TIMEOUT: i32 = 170_000;
/// The server lets go so much later than the holder's validity ends: a body that waits is dropped by a
/// timer, and others must not have the lock before.
const SLACK: Duration = Duration::from_millis(100);

/// What every transaction needs that writes a row, of a lease or of a fencing token, against the
/// settings of its role, the database and the server. Those who can make functions or operators in a
/// schema of the application's must not make our locks.
const WRITES: [(&str, &str); 5] = [
    ("search_path", "pg_catalog, pg_temp"),
    ("statement_timeout", "0"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "off"),
    ("default_transaction_deferrable", "off"),
];

/// The same for one transaction, which these statements begin; `search_path` comes first of what
/// names anything. A row that somebody has locked is waited for only briefly: others are in the same
/// statement.
pub(crate) const BEGIN: &str = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE, NOT DEFERRABLE; \
    SET LOCAL search_path = pg_catalog, pg_temp; \
    SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 100; \
    SELECT WHERE CASE WHEN current_setting('synchronous_commit') IN ('off', 'local') \
    THEN set_config('synchronous_commit', 'on', true) IS NULL ELSE false END;\n";

impl Postgres {
    /// The settings of a session, against those of the role, the database and the server.
    pub(super) fn settings(&self, version: i32) -> Vec<(&'static str, String)> {
        let ttl = self.session_ttl + SLACK;
        let seconds = |part: u32| (ttl / part).as_secs_f64().ceil().to_string();
        let mut settings: Vec<_> = WRITES.map(|(name, value)| (name, value.to_owned())).into();
        settings.extend([
            // An unlock of what is not held is an answer to us, not a warning in a log.
            ("client_min_messages", "error".into()),
            // Waits have one of their own. How long others may keep a fencing token's row: less
            // than a server may take to answer what it need not wait for.
            ("lock_timeout", "2000".into()),
            ("idle_in_transaction_session_timeout", "0".into()),
            // How long a holder that has vanished or is frozen keeps its locks.
            ("idle_session_timeout", milliseconds(ttl)),
            // Never shorter than that: a holder that is cut off still counts as valid.
            ("tcp_user_timeout", milliseconds(ttl)),
            ("tcp_keepalives_idle", seconds(2)),
            ("tcp_keepalives_interval", seconds(6)),
            ("tcp_keepalives_count", "3".into()),
            // Without it, a waiter that was killed stays in the queue.
            ("client_connection_check_interval", "1000".into()),
        ]);
        if version >= TRANSACTION_TIMEOUT {
            settings.push(("transaction_timeout", "0".into()));
        }
        settings
    }
}

/// Rounded up, and never 0, which would be for ever.
pub(super) fn milliseconds(time: Duration) -> String {
    time.as_nanos().div_ceil(1_000_000).clamp(1, 2_147_483_647).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a session needs, a transaction of a lease needs too.
    #[test]
    fn both_lists_say_the_same() {
        for (name, value) in WRITES {
            let begin = BEGIN.to_ascii_lowercase();
            let said = match name.strip_prefix("default_transaction_") {
                Some("isolation") => format!("isolation level {value}"),
                Some("read_only") => "read write".to_owned(),
                Some(name) => format!("not {name}"),
                None => format!("set local {name} = {value}"),
            };
            assert!(begin.contains(&said), "{said}");
        }
    }
}
