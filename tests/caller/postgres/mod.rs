//! What is PostgreSQL's own: locks in transactions, shared ones, poolers.

mod cost;
mod failed;
mod hostile;
mod interop;
mod limits;
mod modes;
mod pooler;
mod rows;
mod sql;
mod transaction;
mod within;

use dlock_tests::{Proxy, Site};
use sqlx::{PgConnection, PgPool};

use crate::db;

type Conn = PgConnection;

/// A connection of the application's.
async fn connect(site: &Site) -> Conn {
    db::connect(site).await
}

/// A pool of so many.
async fn pool(site: &Site, size: u32) -> PgPool {
    db::pool::<Conn>(site, size).await
}

/// A connection whose round trips are counted.
async fn counted(site: &Site) -> (Proxy, Conn) {
    db::counted(site).await
}

dlock_tests::suite! {
    "caller" of postgres on [postgres Postgres, postgres18 Postgres18] {
        interop: [
            python_libraries_are_excluded_and_exclude,
        ]
        failed: [
            transaction_of_the_caller_goes_on,
            inner_bodies_go_back_to_their_own_beginning,
            failed_transaction_never_keeps_the_lock,
            release_in_a_failed_transaction_of_the_caller_is_an_error,
        ]
        within: [
            lock_ends_with_the_transaction,
            shared_and_exclusive_exclude_as_they_say,
            without_a_transaction_is_refused,
            transaction_is_as_usable_after_as_before,
            rollback_to_an_older_savepoint_frees_it,
            cost_is_one_round_trip,
            several_are_all_or_none,
            cancelled_wait_leaves_nothing,
        ]
        rows: [
            view_is_as_old_as_the_isolation_level_says,
            deadlock_with_a_row_is_told,
        ]
        modes: [
            go_together_as_they_say,
            another_mode_is_reentrant_too,
            wait_of_a_reader_to_write_leaves_the_reader,
            there_are_no_others,
        ]
        hostile: [
            functions_of_the_search_path_are_not_called,
            role_needs_no_rights,
        ]
        pooler: [
            transactions_lock_through_it,
            settings_stay_with_their_client,
        ]
        limits: [
            client_that_is_gone_leaves_the_queue,
            many_locks_of_others_break_no_transaction,
            limit_of_transactions_ends_no_wait,
            holder_that_may_not_be_seen_is_left_out,
            broken_transaction_of_the_body_keeps_nothing,
            pooler_is_refused_where_it_shows,
        ]
        cost: [
            of_an_acquire_is_told,
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

mod one {
    //! What needs more servers, of the machine's own version.
    dlock_tests::suite! {
        "caller" of postgres on [postgres Postgres] {
            pooler: [
                standby_is_refused,
            ]
        }
    }
}
