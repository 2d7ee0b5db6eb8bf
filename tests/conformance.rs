//! What every backend does, from the user's side.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "conformance/blocking.rs"]
mod blocking;
#[path = "conformance/callbacks.rs"]
mod callbacks;
#[path = "conformance/cancel.rs"]
mod cancel;
#[path = "conformance/conversions.rs"]
mod conversions;
#[path = "conformance/ends.rs"]
mod ends;
#[path = "conformance/exclusion.rs"]
mod exclusion;
#[path = "conformance/fencing.rs"]
mod fencing;
#[path = "conformance/keys.rs"]
mod keys;
#[path = "conformance/leader.rs"]
mod leader;
#[path = "conformance/loss.rs"]
mod loss;
#[path = "conformance/min_hold.rs"]
mod min_hold;
#[path = "conformance/modes.rs"]
mod modes;
#[path = "conformance/permits.rs"]
mod permits;
#[path = "conformance/processes.rs"]
mod processes;
#[path = "conformance/readers.rs"]
mod readers;
#[path = "conformance/reentrancy.rs"]
mod reentrancy;
#[path = "conformance/release.rs"]
mod release;
#[path = "conformance/status.rs"]
mod status;
#[path = "conformance/together.rs"]
mod together;
#[path = "conformance/waiting.rs"]
mod waiting;

dlock_tests::suite! {
    "conformance" on [
        memory Memory, sqlite Sqlite, postgres Postgres, postgres18 Postgres18,
        mysql MySql, mariadb MariaDb, mariadb118 MariaDb118,
        lease_postgres LeasePostgres, lease_mysql LeaseMySql, lease_mariadb LeaseMariaDb,
        mssql Mssql, lease_mssql LeaseMssql, oracle Oracle, lease_oracle LeaseOracle,
    ] {
        status: [
            held_key_is_shown_with_its_holder,
            waiter_is_shown,
            shown_key_is_the_one_that_locks,
            long_name_of_its_own_is_shown_whole,
            each_caller_who_waits_is_shown,
            permits_are_shown_as_one_lock,
            timeout_names_the_holder,
            set_up_is_in_order,
            closed_locker_says_so,
        ]
        exclusion: [
            try_on_a_held_key_is_refused_at_once,
            other_keys_are_free,
            fifty_workers_count_to_a_thousand,
            threads_of_one_locker_exclude_each_other,
            try_after_a_dropped_guard_is_granted,
        ]
        waiting: [
            timeout_is_exact,
            timeout_is_exact_within_one_client,
            timeout_is_exact_behind_a_patient_one,
            timeout_of_zero_is_one_try,
            timeout_of_a_century_is_forever,
            waiter_gets_the_lock_soon_after_release,
            waiters_of_all_clients_get_their_turn,
        ]
        release: [
            double_release_is_harmless,
            error_of_the_body_comes_out_unchanged,
            panic_passes_on,
            dropped_guard_frees_without_further_use,
            dropped_run_frees,
            guard_dropped_on_a_current_thread_runtime,
            guard_dropped_after_its_runtime_is_gone,
            guard_dropped_on_a_plain_thread,
            guard_outlives_the_engines_runtime,
            leaked_guard_holds_until_the_end,
        ]
        cancel: [
            five_hundred_at_random_moments,
            waiters_that_leave_do_not_take_the_lock_with_them,
            client_can_wait_again_at_once,
            futures_dropped_early,
            try_after_a_dropped_acquire_is_granted,
            never_leaves_a_min_hold,
        ]
        ends: [of_a_locker_do_not_overtake_a_release]
        loss: [
            lost_stays_pending_on_a_normal_release,
            close_tells_the_guards,
            release_after_loss_does_not_free_the_next_holder,
            body_is_dropped_when_the_lock_is_lost,
            sync_body_learns_of_the_loss,
            panic_of_the_callback_harms_nobody,
        ]
        leader: [
            next_one_follows,
            loss_begins_a_new_campaign,
            stop_ends_each_run,
            blocking_run_does_the_same,
            what_no_repetition_mends_ends_the_run,
        ]
        callbacks: [
            slow_ones_do_not_delay_the_news,
            what_they_have_captured_goes_on_a_thread_of_its_own,
        ]
        keys: [
            of_any_content_are_distinct_locks,
            of_equal_content_are_one_lock,
            of_different_namespaces_are_apart,
        ]
        reentrancy: [
            same_key_inside_run,
            same_key_inside_run_blocking,
            siblings_wait_for_each_other,
            spawned_task_waits,
            spawned_thread_waits,
            guard_by_hand_is_waited_for,
            counts_where_it_may,
            terms_of_the_inner_one_count,
            under_a_lost_lock_is_lost,
        ]
        blocking: [
            on_a_plain_thread,
            on_a_worker_of_a_runtime,
            in_a_current_thread_runtime,
            in_a_local_set,
            in_spawn_blocking,
            in_a_task_without_budget,
            while_unwinding,
            inside_the_engines_own_thread,
            on_workers_of_the_engines_runtime,
        ]
        permits: [
            as_many_as_they_are_hold_at_once,
            never_exceed_their_number,
            that_nobody_waits_for_any_more_are_free,
            of_one_are_the_plain_lock,
            that_cannot_be_are_refused,
            are_refused_under_themselves,
            free_one_is_found_by_every_try,
            are_granted_at_once_though_each_is_kept,
            that_are_lost_are_told_of_once,
            exclude_the_plain_lock_inside,
        ]
        together: [
            are_all_held_or_none,
            count_once_and_are_not_nothing,
            in_any_order_never_wait_for_each_other,
            behind_the_one_that_is_waited_for_are_free,
            that_are_not_wanted_any_more_are_free,
            are_refused_under_themselves,
            are_lost_together,
            are_taken_without_await_too,
        ]
        modes: [
            one_that_is_missing_is_refused_before_anything_is_asked,
            guard_says_its_own,
        ]
        conversions: [change_of_mode_is_refused_where_there_is_none]
        fencing: [
            token_grows_with_each_grant,
            token_is_fresh_at_each_hand_off,
            fenced_and_plain_callers_share_a_key,
            one_connection_is_enough,
            token_of_several_holders_makes_no_sense,
            dropped_acquire_leaves_nothing,
        ]
        min_hold: [
            release_returns_and_others_wait,
            later_release_frees_at_once,
            close_keeps_what_is_left_of_it,
            last_handle_keeps_what_is_left_of_it,
            keys_that_were_not_had_together_are_free,
        ]
    }
}

mod several {
    //! What needs several processes, so nothing for `memory:`.
    dlock_tests::suite! {
        "conformance" on [
            sqlite Sqlite, postgres Postgres, postgres18 Postgres18, mysql MySql, mariadb MariaDb,
            lease_postgres LeasePostgres, lease_mysql LeaseMySql, lease_mariadb LeaseMariaDb,
            mssql Mssql, lease_mssql LeaseMssql, oracle Oracle, lease_oracle LeaseOracle,
        ] {
            processes: [
                four_processes_count_right,
                exclude_each_other_at_every_moment,
                killed_holder_frees_the_lock,
                killed_waiter_is_forgotten,
                release_of_one_is_the_turn_of_another,
                child_of_a_fork_harms_nobody,
            ]
            ends: [leave_nothing_behind]
        }
    }
}

mod leases {
    //! Where locks are leases.
    dlock_tests::suite! {
        "conformance" on [
            sqlite Sqlite, lease_postgres LeasePostgres, lease_mysql LeaseMySql,
            lease_mariadb LeaseMariaDb, lease_mssql LeaseMssql, lease_oracle LeaseOracle,
        ] {
            callbacks: [may_take_locks_of_the_same_locker]
        }
    }
}

mod sharing {
    //! Where there are shared locks.
    dlock_tests::suite! {
        "conformance" on [
            memory Memory, postgres Postgres, postgres18 Postgres18, mssql Mssql, oracle Oracle,
        ] {
            modes: [readers_share_and_keep_writers_out, writer_keeps_readers_out]
            reentrancy: [reader_does_not_become_a_writer]
            readers: [
                and_writers_are_never_at_it_together,
                writer_has_its_turn_among_readers,
                one_behind_a_writer_of_its_process_is_told_so,
                reader_has_its_turn_among_others,
                fifty_readers_hold_at_once,
                release_of_one_reader_leaves_the_others,
                same_key_inside_run_of_a_reader,
                dropped_reader_frees_for_a_writer,
                cancelled_at_random_moments,
            ]
        }
    }
}

mod converting {
    //! Where a guard can change the mode of its lock.
    dlock_tests::suite! {
        "conformance" on [mssql Mssql, oracle Oracle] {
            conversions: [
                upgrade_waits_for_readers_and_lets_no_writer_between,
                upgrade_that_runs_out_leaves_what_was_held,
                upgrades_of_two_readers_are_a_deadlock,
                upgrade_waits_for_readers_of_its_own_process,
                upgraded_lock_is_not_handed_on_unasked,
                upgrade_that_is_dropped_leaves_what_was_held,
                upgrade_that_waits_keeps_nobody_else,
                upgrade_of_what_is_lost_meanwhile_is_lost,
                upgrade_under_itself_is_refused,
                holders_go_together_whatever_becomes_of_upgrades,
            ]
        }
    }
}

mod updating {
    //! Where there are update locks that can become exclusive.
    dlock_tests::suite! {
        "conformance" on [mssql Mssql] { conversions: [update_lock_becomes_exclusive] }
    }
}

mod way_back {
    //! Where an exclusive lock can become a shared one again.
    dlock_tests::suite! {
        "conformance" on [oracle Oracle] {
            conversions: [downgrade_lets_readers_in_and_no_writer_between]
        }
    }
}

mod all_modes {
    //! Where there is every mode.
    dlock_tests::suite! {
        "conformance" on [memory Memory] {
            modes: [go_together_as_the_table_says, holders_always_go_together]
        }
    }
}
