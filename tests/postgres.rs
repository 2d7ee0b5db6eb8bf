//! What PostgreSQL does to locks and those who hold them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "postgres/cost.rs"]
mod cost;
#[path = "postgres/hostile.rs"]
mod hostile;
#[path = "postgres/ids.rs"]
mod ids;
#[path = "postgres/lost.rs"]
mod lost;
#[path = "postgres/out_of_touch.rs"]
mod out_of_touch;
#[path = "postgres/pool.rs"]
mod pool;
#[path = "postgres/race.rs"]
mod race;
#[path = "postgres/restart.rs"]
mod restart;

dlock_tests::suite! {
    "postgres" on [postgres Postgres, postgres18 Postgres18] {
        ids: [
            are_pinned,
            exclude_locks_taken_by_hand,
            are_those_of_the_key_scheme,
            without_an_id_there_is_no_lock,
        ]
        cost: [
            acquire_and_release_are_a_round_trip_each,
            hundred_waiting_tasks_cost_one_connection_and_no_statement,
            thousand_keys_are_held_on_one_connection,
            max_sessions_is_respected,
            closed_locker_leaves_no_connection,
            connecting_longer_than_anybody_waits,
        ]
        pool: [
            is_left_to_the_application,
            rotated_options_are_followed,
        ]
        hostile: [
            statement_timeout_of_the_role_does_not_end_a_wait,
            functions_of_the_search_path_are_not_called,
            limits_of_the_session_are_never_below_the_ttl,
            unknown_role_and_database_are_refused,
        ]
        lost: [
            terminated_session_is_noticed_at_once,
            terminated_session_ends_the_body,
            terminated_session_of_a_waiter_does_not_end_the_wait,
            release_after_termination_does_not_free_the_next_holder,
        ]
        out_of_touch: [
            frozen_holder_loses_the_lock_and_knows_before_it_runs_on,
            holder_that_is_cut_off_knows_before_the_next_one_comes,
            server_that_does_not_answer_is_unavailable_in_time,
        ]
        restart: [
            while_waiting_never_grants_falsely,
            after_a_crash_never_grants_falsely,
        ]
        race: [
            timeout_is_never_answered_while_the_lock_is_held,
        ]
    }
}
