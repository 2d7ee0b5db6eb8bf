//! Locks on the caller's own connection, and in the caller's transaction.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "caller/basics.rs"]
mod basics;
#[path = "caller/db.rs"]
mod db;
#[path = "caller/deadlock.rs"]
mod deadlock;
#[path = "caller/given_up.rs"]
mod given_up;
#[path = "caller/locked.rs"]
mod locked;
#[path = "caller/loss.rs"]
mod loss;
#[path = "caller/mssql.rs"]
mod mssql;
#[path = "caller/mysql/mod.rs"]
mod mysql;
#[path = "caller/oracle.rs"]
mod oracle;
#[path = "caller/peers.rs"]
mod peers;
#[path = "caller/postgres/mod.rs"]
mod postgres;
#[path = "caller/race.rs"]
mod race;
#[path = "caller/random.rs"]
mod random;
#[path = "caller/run.rs"]
mod run;
#[path = "caller/settings.rs"]
mod settings;
#[path = "caller/stopped.rs"]
mod stopped;
#[path = "caller/storm.rs"]
mod storm;
#[path = "caller/together.rs"]
mod together;
#[path = "caller/tokio_postgres/mod.rs"]
mod tokio_postgres;
#[path = "caller/types.rs"]
mod types;

mod all {
    //! On connections of sqlx to each database.
    dlock_tests::suite! {
        "caller" on [
            postgres Postgres with sqlx::PgConnection,
            postgres18 Postgres18 with sqlx::PgConnection,
            mysql MySql with sqlx::MySqlConnection,
            mariadb MariaDb with sqlx::MySqlConnection,
            mariadb118 MariaDb118 with sqlx::MySqlConnection,
        ] {
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
}
