//! The command `dlock`, run as people and scripts run it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]
#![cfg(unix)]

#[path = "cli/command.rs"]
mod command;
#[path = "cli/crowd.rs"]
mod crowd;
#[path = "cli/etcd.rs"]
mod etcd;
#[path = "cli/hold.rs"]
mod hold;
#[path = "cli/list.rs"]
mod list;
#[path = "cli/loss.rs"]
mod loss;
#[path = "cli/signals.rs"]
mod signals;
#[path = "cli/status.rs"]
mod status;
#[path = "cli/terminal.rs"]
mod terminal;

use self::command::{Cli, Outcome};

dlock_tests::suite! {
    "cli" on [
        sqlite Sqlite, postgres Postgres, mysql MySql, mariadb MariaDb, lease_postgres LeasePostgres,
        mssql Mssql, lease_mssql LeaseMssql, oracle Oracle, lease_oracle LeaseOracle,
    ] {
        loss: [
            broken_lock_ends_the_command,
            command_that_ignores_term_is_killed,
            command_goes_on_if_it_is_told_to,
        ]
        list: [
            shows_who_holds,
            break_needs_a_yes,
        ]
        crowd: [
            fifty_processes_lose_no_update,
        ]
    }
}
