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
