//! What a session is set to.

use std::time::Duration;

use super::Postgres;

/// `transaction_timeout` came with 17.
const TRANSACTION_TIMEOUT: i32 = 170_000;
/// The server lets go so much later than the holder's word ends: a body that waits is dropped by a
/// timer, and others must not have the lock before.
const SLACK: Duration = Duration::from_millis(100);

impl Postgres {
    /// The settings of a session, against those of the role, the database and the server.
    pub(super) fn settings(&self, version: i32) -> Vec<(&'static str, String)> {
        let ttl = self.session_ttl + SLACK;
        let seconds = |part: u32| (ttl / part).as_secs_f64().ceil().to_string();
        let mut settings = vec![
            ("search_path", "pg_catalog".into()),
            // An unlock of what is not held is an answer to us, not a warning in a log.
            ("client_min_messages", "error".into()),
            ("statement_timeout", "0".into()),
            // Waits have one of their own. So long a fencing token's row may be kept by others: less
            // than a server may take to answer what it need not wait for.
            ("lock_timeout", "2000".into()),
            ("default_transaction_isolation", "read committed".into()),
            ("idle_in_transaction_session_timeout", "0".into()),
            // How long a holder that has vanished or is frozen keeps its locks.
            ("idle_session_timeout", milliseconds(ttl)),
            // Never shorter than that: the word of a holder that is cut off is still good.
            ("tcp_user_timeout", milliseconds(ttl)),
            ("tcp_keepalives_idle", seconds(2)),
            ("tcp_keepalives_interval", seconds(6)),
            ("tcp_keepalives_count", "3".into()),
            // Without it, a waiter that was killed stays in the queue.
            ("client_connection_check_interval", "1000".into()),
        ];
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
