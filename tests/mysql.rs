//! What MySQL and MariaDB do to locks and those who hold them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "sessions/cost.rs"]
mod cost;
#[path = "mysql/group.rs"]
mod group;
#[path = "mysql/killed.rs"]
mod killed;
#[path = "mysql/limits.rs"]
mod limits;
#[path = "sessions/lost.rs"]
#[allow(dead_code, reason = "what is known at once on PostgreSQL takes a heartbeat here")]
mod lost;
#[path = "mysql/names.rs"]
mod names;
#[path = "sessions/out_of_touch.rs"]
mod out_of_touch;
#[path = "sessions/polled.rs"]
mod polled;
#[path = "mysql/pool.rs"]
mod pool;
#[path = "mysql/proxied.rs"]
mod proxied;
#[path = "mysql/race.rs"]
mod race;
#[path = "mysql/reborn.rs"]
mod reborn;
#[path = "mysql/refused.rs"]
mod refused;
#[path = "sessions/restart.rs"]
mod restart;
#[path = "mysql/views.rs"]
mod views;
#[path = "mysql/waits.rs"]
mod waits;

dlock_tests::suite! {
    "mysql" on [mysql MySql, mariadb MariaDb] {
        names: [
            are_apart_whatever_the_server_thinks,
            exclude_locks_taken_by_hand,
            of_another_database_are_said_to_be,
            that_are_one_to_the_server_exclude_each_other,
        ]
        waits: [
            are_exact_below_a_second,
            cancelled_wait_frees_its_place,
            cancelled_at_any_moment_leave_no_place_taken,
            stopped_from_outside_go_on,
        ]
        limits: [
            of_the_server_end_no_wait_and_no_hold,
        ]
        killed: [
            carrier_is_noticed_by_heartbeat,
            carrier_ends_the_body,
        ]
        refused: [
            wrong_password_and_unknown_database,
            user_without_a_right,
            replica,
            primary_that_becomes_read_only_is_given_up,
            replica_that_takes_writes,
            lazy_server_is_told_to_every_user,
            names_of_others_end_no_line,
        ]
        views: [
            show_holders_and_waiters,
            do_without_rights,
            do_without_views,
            name_the_holder_of_a_wait_that_ran_out,
        ]
        race: [
            timeout_is_never_answered_while_the_lock_is_held,
        ]
        pool: [
            is_left_to_the_application,
            rotated_options_are_followed,
        ]
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
            terminated_session_of_a_waiter_does_not_end_the_wait,
            release_after_termination_does_not_free_the_next_holder,
            all_guards_of_a_terminated_session_know_at_once,
            terminated_sessions_end_no_question,
        ]
        out_of_touch: [
            frozen_holder_loses_the_lock_and_knows_before_it_runs_on,
            holder_that_is_cut_off_knows_before_the_next_one_comes,
            server_that_does_not_answer_is_unavailable_in_time,
            questions_to_a_silent_server_end_in_time,
            release_on_a_silent_server_ends_with_the_validity,
            wait_given_up_while_nothing_answers_leaves_the_line,
        ]
        reborn: [
            session_of_the_same_user_is_left_alone,
            session_of_another_user_is_left_alone,
        ]
        restart: [
            while_waiting_never_grants_falsely,
            after_a_crash_never_grants_falsely,
        ]
    }
}

mod mysql_alone {
    //! What MariaDB does not have.
    dlock_tests::suite! {
        "mysql" on [mysql MySql] {
            group: [primary_without_its_majority_is_given_up]
        }
    }
}
