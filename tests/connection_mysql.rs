//! Locks on the caller's own connection to MySQL and MariaDB.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "connection/mysql/autocommit.rs"]
mod autocommit;
#[path = "connection/basics.rs"]
mod basics;
#[path = "connection/db.rs"]
mod db;
#[path = "connection/deadlock.rs"]
mod deadlock;
#[path = "connection/given_up.rs"]
mod given_up;
#[path = "connection/mysql/interop.rs"]
mod interop;
#[path = "connection/locked.rs"]
mod locked;
#[path = "connection/loss.rs"]
mod loss;
#[path = "interop/peer.rs"]
#[allow(dead_code, reason = "not all libraries have such locks on every database")]
mod peer;
#[path = "connection/peers.rs"]
mod peers;
#[path = "connection/race.rs"]
mod race;
#[path = "connection/random.rs"]
mod random;
#[path = "connection/mysql/refused.rs"]
mod refused;
#[path = "connection/run.rs"]
mod run;
#[path = "connection/settings.rs"]
mod settings;
#[path = "connection/mysql/sql.rs"]
mod sql;
#[path = "connection/stopped.rs"]
mod stopped;
#[path = "connection/storm.rs"]
mod storm;
#[path = "connection/together.rs"]
mod together;
#[path = "connection/types.rs"]
mod types;

use sqlx::MySql as Db;

dlock_tests::suite! {
    "connection_mysql" on [mysql MySql, mariadb MariaDb, mariadb118 MariaDb118] {
        basics: [
            lock_is_that_of_a_locker,
            release_of_an_unheld_lock_is_false,
            same_key_twice_is_reentrant,
            nested_locks_release_their_own_count,
            timeout_is_exact,
            failed_body_is_rolled_back_and_released,
            a_round_trip_each,
            waits_and_bodies_cost_little_more,
        ]
        run: [
            body_runs_under_the_lock,
            error_of_the_body_comes_back_unchanged,
            what_the_body_left_open_is_rolled_back,
            rollback_can_be_turned_off,
            transaction_of_the_caller_is_left_open,
            transaction_may_end_in_the_body,
            works_in_sqlx_transactions,
            error_of_an_abandoned_statement_is_nobodys,
            success_with_a_transaction_open_is_refused,
            error_of_an_abandoned_statement_is_not_that_of_an_acquire,
        ]
        together: [
            all_are_held_and_released,
            busy_one_gives_back_the_others,
            have_one_deadline,
            cost_a_round_trip_each,
            cancelled_halfway_are_none,
        ]
        given_up: [
            connection_of_a_pool_is_closed,
            bare_connection_gives_it_back,
            bare_connection_of_a_pool_is_put_right,
            forgotten_lock_is_of_its_session_only,
            every_cancelled_count_is_given_back,
            nested_lock_that_is_dropped_leaves_the_outer_one,
            transaction_of_a_pool_leaves_none_in_it,
            cancelled_wait_is_settled_by_the_next_use,
            nested_lock_that_fails_leaves_the_outer_one,
        ]
        loss: [
            ended_session_is_lost,
            ended_session_under_a_body_is_lost,
            released_by_hand_is_lost,
            ended_session_does_not_come_back_to_a_pool,
        ]
        settings: [
            are_the_same_after_as_before,
            limits_of_statements_do_not_end_a_wait,
            times_without_end_are_waits,
        ]
        deadlock: [
            is_told_and_costs_nothing,
            leaves_the_transaction_as_it_was,
        ]
        race: [
            timeout_is_never_answered_while_the_lock_is_held,
            nor_inside_a_transaction,
        ]
        stopped: [
            are_errors_that_leave_nothing,
        ]
        autocommit: [
            off_makes_transactions_of_bodies,
            savepoints_of_the_caller_stay,
            character_sets_change_no_answer,
            holder_that_cannot_be_asked_for_is_left_out,
        ]
        storm: [
            leaves_nothing_behind,
        ]
        random: [
            programs_leave_what_they_hold,
        ]
        types: [
            futures_can_be_spawned,
            debug_shows_no_secrets,
        ]
        interop: [
            python_library_is_excluded_and_excludes,
            libraries_without_this_database_are_refused,
        ]
        peers: [
            fifth_of_a_second_takes_a_fifth_of_a_second,
            release_after_the_session_has_ended_says_lost,
            lock_of_a_transaction_has_no_release,
            timeout_of_zero_is_zero,
            failed_acquire_keeps_no_connection_and_no_setting,
            failed_try_does_not_count,
            second_acquire_is_told_and_the_unlock_is_looked_at,
            aborted_transaction_hides_no_error_and_keeps_no_lock,
            wait_without_end_has_none,
            error_and_panic_of_the_body_release,
            threads_exclude_each_other,
            body_never_runs_without_the_lock,
            connection_does_not_go_back_with_a_lock,
            all_keys_are_locks_of_their_own,
            commit_and_rollback_leave_a_lock_of_the_session,
            more_tasks_than_connections_all_succeed,
        ]
        refused: [
            locks_of_a_transaction,
            modes,
            replica,
        ]
        locked: [
            body_has_the_connection,
            error_of_the_body_comes_back,
            busy_lock_is_what_it_is_said_to_be,
            several_keys_and_one_key_again,
            methods_are_locked,
            cancelled_body_leaves_nothing,
        ]
    }
}

mod one {
    //! What needs more servers, of the machine's own version.
    dlock_tests::suite! {
        "connection_mysql" on [mariadb MariaDb] {
            refused: [
                galera_node,
            ]
        }
    }
}
