//! MySQL or MariaDB, and what is different between them for locks.

use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    MySql,
    MariaDb,
}

impl Family {
    /// Names that differ only in case are one lock.
    pub(super) fn ignores_case(self) -> bool {
        self == Family::MySql
    }

    /// The variable that ends statements which take longer.
    pub(super) fn statement_limit(self) -> &'static str {
        match self {
            Family::MySql => "max_execution_time",
            Family::MariaDb => "max_statement_time",
        }
    }

    /// How long a wait is to last: a hint for its statement, and the argument of `GET_LOCK`. No
    /// shorter than that. MySQL counts a wait in whole seconds, so there the statement's own limit
    /// ends it, a second before the wait would end
    /// (<https://dev.mysql.com/doc/refman/8.4/en/optimizer-hints.html#optimizer-hints-execution-time>).
    pub(super) fn limits(self, time: Duration) -> (String, String) {
        match self {
            Family::MySql => {
                let millis = time.as_nanos().div_ceil(1_000_000).max(1);
                let hint = format!("/*+ MAX_EXECUTION_TIME({millis}) */ ");
                (hint, (whole_seconds(time) + 1).to_string())
            }
            Family::MariaDb => {
                let micros = time.as_nanos().div_ceil(1000);
                (String::new(), format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000))
            }
        }
    }
}

/// Rounded up.
pub(super) fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_wait_ends_early() {
        for (millis, hint, mysql, mariadb) in [
            (0, 1, "1", "0.000000"),
            (300, 300, "2", "0.300000"),
            (1000, 1000, "2", "1.000000"),
            (1001, 1001, "3", "1.001000"),
            (29_999, 29_999, "31", "29.999000"),
        ] {
            let time = Duration::from_millis(millis);
            let hint = format!("/*+ MAX_EXECUTION_TIME({hint}) */ ");
            assert_eq!(Family::MySql.limits(time), (hint, mysql.to_owned()));
            assert_eq!(Family::MariaDb.limits(time).1, mariadb);
        }
        assert_eq!(Family::MariaDb.limits(Duration::from_nanos(1)).1, "0.000001");
        assert!(Family::MySql.limits(Duration::from_nanos(1)).0.contains("(1)"));
    }
}
