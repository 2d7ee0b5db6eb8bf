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
#[path = "connection/locked.rs"]
mod locked;
#[path = "connection/transaction.rs"]
mod transaction;

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
        locked: [
            body_has_the_connection,
            error_of_the_body_comes_back,
            busy_lock_is_what_it_is_said_to_be,
            several_keys_and_one_key_again,
            methods_are_locked,
            cancelled_body_leaves_nothing,
        ]
        transaction: [
            transfers_lose_nothing,
            the_transaction_holds_it,
            there_must_be_a_transaction,
            busy_lock_leaves_the_transaction_usable,
            methods_are_locked,
        ]
    }
}
