//! Locks on the caller's own connection to PostgreSQL, and in the caller's transaction.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "connection/basics.rs"]
mod basics;
#[path = "connection/db.rs"]
mod db;
#[path = "connection/deadlock.rs"]
mod deadlock;
#[path = "connection/given_up.rs"]
mod given_up;
#[path = "connection/loss.rs"]
mod loss;
#[path = "connection/race.rs"]
mod race;
#[path = "connection/run.rs"]
mod run;
#[path = "connection/settings.rs"]
mod settings;
#[path = "connection/postgres/sql.rs"]
mod sql;
#[path = "connection/storm.rs"]
mod storm;
#[path = "connection/together.rs"]
mod together;

use sqlx::Postgres as Db;

dlock_tests::suite! {
    "connection_postgres" on [postgres Postgres, postgres18 Postgres18] {
        basics: [
            lock_is_that_of_a_locker,
            release_of_an_unheld_lock_is_false,
            same_key_twice_is_reentrant,
            nested_locks_release_their_own_count,
            timeout_is_exact,
            failed_body_is_rolled_back_and_released,
            a_round_trip_each,
        ]
        run: [
            body_runs_under_the_lock,
            error_of_the_body_comes_back_unchanged,
            what_the_body_left_open_is_rolled_back,
            rollback_can_be_turned_off,
            transaction_of_the_caller_is_left_open,
            transaction_may_end_in_the_body,
            works_in_sqlx_transactions,
        ]
        together: [
            all_are_held_and_released,
            busy_one_gives_back_the_others,
            have_one_deadline,
            cost_a_round_trip_each,
        ]
        given_up: [
            connection_of_a_pool_is_closed,
            bare_connection_lets_go,
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
        storm: [
            leaves_nothing_behind,
        ]
    }
}
