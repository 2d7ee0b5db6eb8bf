//! Random programs, against what must be true of every history: several processes and lockers, every
//! option with every other, cancels, kills, freezes, sessions that the server ends.
//!
//! A seed makes a plan (`generate`), worker processes carry it out (`worker`) and write down what
//! happens, by one clock; when all is over the history is checked (`checker`). A plan that fails is
//! shrunk, and printed with what was written down.
//!
//! `DLOCK_TEST_SEED=N` carries out the plan of that seed over and over, `DLOCK_TEST_TRACE=FILE` a
//! plan that was printed, `DLOCK_TEST_REPEAT` times, on `DLOCK_TEST_BACKEND` only. With
//! `DLOCK_TEST_LONG` it goes on for `DLOCK_TEST_MINUTES` on each database.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "random/checker/mod.rs"]
mod checker;
#[path = "random/generate.rs"]
mod generate;
#[path = "random/hunt.rs"]
mod hunt;
#[path = "random/judge.rs"]
mod judge;
#[path = "random/known.rs"]
mod known;
#[path = "random/pulse.rs"]
mod pulse;
#[path = "random/report.rs"]
mod report;
#[path = "random/round.rs"]
mod round;
#[path = "random/shrink.rs"]
mod shrink;
#[path = "random/style.rs"]
mod style;

use std::time::Duration;

/// Far more than it takes, and shrinking; in `--long`, hours.
const LIMIT: Duration = Duration::from_secs(4 * 60);
const LONG: Duration = Duration::from_secs(24 * 60 * 60);

macro_rules! on {
    ($($module:ident $backend:ident,)*) => {
        $(mod $module {
            #[test]
            fn random() {
                let limit = if dlock_tests::is_long() { crate::LONG } else { crate::LIMIT };
                dlock_tests::limited(limit, || crate::hunt::hunt(dlock_tests::Backend::$backend));
            }
        })*
    };
}

on! {
    memory Memory,
    sqlite Sqlite,
    postgres Postgres,
    mysql MySql,
    mariadb MariaDb,
    lease_postgres LeasePostgres,
    lease_mysql LeaseMySql,
}
