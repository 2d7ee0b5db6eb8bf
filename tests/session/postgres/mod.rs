//! What PostgreSQL does to locks and those who hold them.

mod ddl;
mod hostile;
mod ids;
mod log;
mod modes;
mod pool;
mod pooler;
mod queue;
mod race;
mod reborn;
mod set_up;
mod status;

use std::time::Duration;

use dlock_tests::{Site, Witness, eventually_async};

/// Waits until so many of the site's sessions wait for a lock.
async fn until_waiting(witness: &mut Witness, site: &Site, sessions: i64) {
    let waits = async || witness.waits(site).await == sessions;
    eventually_async("they wait", Duration::from_secs(5), waits).await;
}

dlock_tests::suite! {
    "session" of postgres on [postgres Postgres, postgres18 Postgres18] {
        ids: [
            are_pinned,
            exclude_locks_taken_by_hand,
            are_those_of_the_key_scheme,
            without_an_id_there_is_no_lock,
        ]
        modes: [
            go_together_as_mode_says,
            exclude_what_is_taken_by_hand,
            waits_are_in_the_mode_that_was_asked_for,
            pairs_and_ids_never_meet,
            are_shown_as_the_manual_says,
        ]
        queue: [
            writer_is_not_starved_by_readers,
            readers_elsewhere_have_their_turn,
            writer_is_next_after_a_long_reader,
            writer_is_not_starved_by_slow_readers,
            two_readers_share_an_only_session,
        ]
        log: [
            ends_of_waits_are_no_errors,
            without_blocks_waits_are_errors_there_only,
        ]
        ddl: [
            index_is_built_beside_those_who_wait,
            connections_that_build_under_one_lock_make_no_deadlock,
            connection_that_tries_has_its_time,
            victim_of_a_deadlock_goes_on,
        ]
        status: [
            names_holders_and_waiters_in_line,
            shows_each_reader_once,
            is_about_this_database_only,
            can_be_asked_without_rights,
            timeout_names_the_holder,
            explained_by_a_statement,
        ]
        set_up: [
            is_in_order,
            full_lock_table_is_a_problem,
            few_connections_left_are_told,
            encryption_that_one_side_lacks_is_told,
            timeouts_of_the_role_are_noted,
        ]
        pooler: [
            in_transaction_mode_is_refused_and_leaks_nothing,
            in_transaction_mode_is_refused_under_load,
            in_session_mode_works,
            that_refuses_a_parameter_is_named,
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
        reborn: [orders_say_which_session_they_mean]
        race: [
            timeout_is_never_answered_while_the_lock_is_held,
        ]
    }
}

mod one {
    //! What needs more servers, of the machine's own version.
    dlock_tests::suite! {
        "session" of postgres on [postgres Postgres] {
            pooler: [
                standby_is_refused,
            ]
        }
    }
}
