//! What PostgreSQL does to locks and those who hold them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "sessions/cost.rs"]
mod cost;
#[path = "postgres/ddl.rs"]
mod ddl;
#[path = "postgres/hostile.rs"]
mod hostile;
#[path = "postgres/ids.rs"]
mod ids;
#[path = "postgres/log.rs"]
mod log;
#[path = "sessions/lost.rs"]
mod lost;
#[path = "postgres/modes.rs"]
mod modes;
#[path = "sessions/out_of_touch.rs"]
mod out_of_touch;
#[path = "sessions/polled.rs"]
mod polled;
#[path = "postgres/pool.rs"]
mod pool;
#[path = "postgres/pooler.rs"]
mod pooler;
#[path = "postgres/queue.rs"]
mod queue;
#[path = "postgres/race.rs"]
mod race;
#[path = "postgres/reborn.rs"]
mod reborn;
#[path = "sessions/restart.rs"]
mod restart;
#[path = "postgres/set_up.rs"]
mod set_up;
#[path = "postgres/status.rs"]
mod status;

use std::time::Duration;

use dlock_tests::{Site, Witness, eventually_async};

/// Waits until so many of the site's sessions wait for a lock.
async fn until_waiting(witness: &mut Witness, site: &Site, sessions: i64) {
    let waits = async || witness.waits(site).await == sessions;
    eventually_async("they wait", Duration::from_secs(5), waits).await;
}

dlock_tests::suite! {
    "postgres" on [postgres Postgres, postgres18 Postgres18] {
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
        polled: [
            key_is_had_and_no_statement_waits,
            permits_and_several_keys_are_too,
            pause_is_kept,
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
        reborn: [orders_say_which_session_they_mean]
        race: [
            timeout_is_never_answered_while_the_lock_is_held,
        ]
    }
}

mod one {
    //! What needs more servers, of the machine's own version.
    dlock_tests::suite! {
        "postgres" on [postgres Postgres] {
            pooler: [
                standby_is_refused,
            ]
        }
    }
}
