//! Locks on connections of tokio-postgres: a client of its own, one of a pool, a transaction.

mod client;
mod db;
mod drops;
mod pool;
mod random;
mod transaction;

dlock_tests::suite! {
    "caller" of tokio_postgres on [postgres Postgres, postgres18 Postgres18] {
        client: [
            lock_is_that_of_a_locker,
            several_are_one,
            waiter_gets_it_at_the_release,
            timeout_is_exact_and_names_the_holder,
            same_key_twice_is_reentrant,
            run_passes_the_connection,
            failed_body_is_rolled_back_and_released,
            lost_session_is_told,
        ]
        transaction: [
            lock_ends_with_the_transaction,
            timeout_leaves_the_transaction_as_it_was,
            savepoint_takes_the_lock_back,
            without_a_transaction_is_refused,
            failed_transaction_is_refused,
            lock_on_a_transaction_outlives_it,
            lock_on_a_failed_transaction_cannot_be_released,
        ]
        drops: [
            first_poll_sends,
            unpolled_acquire_leaves_nothing,
            held_lock_is_given_back,
            held_lock_is_given_back_without_a_runtime,
            cancelled_acquire_is_given_back,
            cancelled_nested_acquire_leaves_the_outer_lock,
            cancelled_acquire_in_a_transaction_is_given_back,
            cancelled_acquire_in_a_transaction_leaves_the_outer_lock,
            cancelled_release_takes_its_own_count_only,
            cancelled_release_in_a_failed_transaction_lets_go,
            cancelled_within_is_given_back,
            cancelled_run_is_rolled_back_and_released,
            lock_dropped_in_a_failed_transaction_stays,
        ]
        random: [
            programs_leave_what_they_hold,
        ]
        pool: [
            deadpool_client_locks,
            deadpool_transaction_locks,
            deadpool_of_one_survives_a_drop,
            deadpool_of_one_survives_a_cancel,
            deadpool_of_one_survives_a_cancelled_transaction,
            bb8_of_one_survives_a_drop_and_a_cancel,
            pgbouncer_passes_locks_of_a_transaction,
        ]
    }
}
