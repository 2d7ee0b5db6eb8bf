//! A server that is healthy and a key that is free mean a grant within a bound, and every request
//! is answered within its time and a bound: after any sequence of stalls, kills and refusals.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "liveness/few.rs"]
mod few;
#[path = "liveness/nonsense.rs"]
mod nonsense;
#[path = "liveness/random.rs"]
mod random;
#[path = "liveness/round.rs"]
mod round;
#[path = "liveness/stalls.rs"]
mod stalls;
#[path = "liveness/world.rs"]
mod world;

dlock_tests::suite! {
    "liveness" on [
        postgres Postgres, postgres18 Postgres18, mysql MySql, mariadb MariaDb,
        mssql Mssql, oracle Oracle,
    ] {
        few: [
            one_connection_is_enough_to_connect,
            full_server_does_not_keep_a_waiter_from_a_free_key,
            more_keys_than_sessions_are_granted_in_turn,
            first_call_after_a_long_rest_is_answered,
        ]
        random: [with_one_session, with_two_sessions, with_eight_sessions]
        stalls: [
            each_with_a_lock_that_stays_use_up_no_session,
            answered_late_leave_the_only_session_usable,
        ]
    }
}

mod known {
    //! Where the proxy knows how to forge an answer, and the server is told how many connections it has.
    dlock_tests::suite! {
        "liveness" on [
            postgres Postgres, postgres18 Postgres18, mysql MySql, mariadb MariaDb,
        ] {
            few: [waiters_leave_the_last_connections_to_others]
            nonsense: [
                rows_without_end_cost_a_session_and_no_memory,
                rows_without_end_are_the_end_of_what_the_session_held,
            ]
        }
    }
}

mod drivers {
    //! What makes a driver panic.
    dlock_tests::suite! {
        "liveness" on [postgres Postgres, postgres18 Postgres18] {
            nonsense: [rows_without_columns_are_the_end_of_the_session]
        }
    }
}

mod leases {
    //! Where locks are leases.
    dlock_tests::suite! {
        "liveness" on [
            lease_postgres LeasePostgres, lease_mysql LeaseMySql, lease_mariadb LeaseMariaDb,
        ] {
            nonsense: [rows_without_end_cost_a_session_and_no_memory]
        }
    }
}

mod leases_of_drivers {
    dlock_tests::suite! {
        "liveness" on [lease_postgres LeasePostgres] {
            nonsense: [rows_without_columns_are_asked_for_again]
        }
    }
}
