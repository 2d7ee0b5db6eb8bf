//! Locks that are a session's: what servers, and people who work on them, do to those who hold them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "session/cost.rs"]
mod cost;
#[path = "session/lost.rs"]
mod lost;
#[path = "session/mssql.rs"]
mod mssql;
#[path = "session/mysql/mod.rs"]
mod mysql;
#[path = "session/oracle.rs"]
mod oracle;
#[path = "session/out_of_touch.rs"]
mod out_of_touch;
#[path = "session/polled.rs"]
mod polled;
#[path = "session/postgres/mod.rs"]
mod postgres;
#[path = "session/restart.rs"]
mod restart;

mod all {
    //! On each server that can be had; what a double says of cost or of crashes says nothing.
    dlock_tests::suite! {
        "session" on [
            postgres Postgres, postgres18 Postgres18, mysql MySql, mariadb MariaDb,
        ] {
            polled: [
                key_is_had_and_no_statement_waits,
                permits_and_several_keys_are_too,
                pause_is_kept,
            ]
            cost: [
                acquire_and_release_are_a_round_trip_each,
                keys_taken_together_are_one_round_trip,
                hundred_waiting_tasks_cost_one_connection_and_no_statement,
                thousand_keys_are_held_on_one_connection,
                thousand_that_time_out_at_once_are_all_told_so,
                max_keys_is_respected,
                max_sessions_is_respected,
                closed_locker_leaves_no_connection,
                connecting_longer_than_anybody_waits,
            ]
            lost: [
                terminated_sessions_end_no_question,
                terminated_session_of_a_waiter_does_not_end_the_wait,
                release_after_termination_does_not_free_the_next_holder,
                all_guards_of_a_terminated_session_know_at_once,
            ]
            out_of_touch: [
                frozen_holder_loses_the_lock_and_knows_before_it_runs_on,
                holder_that_is_cut_off_knows_before_the_next_one_comes,
                server_that_does_not_answer_is_unavailable_in_time,
                questions_to_a_silent_server_end_in_time,
                release_on_a_silent_server_ends_with_the_validity,
                wait_given_up_while_nothing_answers_leaves_the_line,
            ]
            restart: [
                while_waiting_never_grants_falsely,
                after_a_crash_never_grants_falsely,
            ]
        }
    }
}

mod told_at_once {
    //! Where the end of a session shows at once; elsewhere it takes a heartbeat.
    dlock_tests::suite! {
        "session" on [postgres Postgres, postgres18 Postgres18] {
            lost: [
                terminated_session_is_noticed_at_once,
                terminated_session_ends_the_body,
            ]
        }
    }
}
