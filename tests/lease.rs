//! Leases, from the user's side: what their terms mean, and that no two ever hold one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "lease/clocks.rs"]
mod clocks;
#[path = "lease/endings.rs"]
mod endings;
#[path = "lease/fight.rs"]
mod fight;
#[path = "lease/handover.rs"]
mod handover;
#[path = "lease/late.rs"]
mod late;
#[path = "lease/mysql/mod.rs"]
mod mysql;
#[path = "lease/once.rs"]
mod once;
#[path = "lease/owners.rs"]
mod owners;
#[path = "lease/postgres/mod.rs"]
mod postgres;
#[path = "lease/prune.rs"]
mod prune;
#[path = "lease/refusals.rs"]
mod refusals;
#[path = "lease/rows.rs"]
mod rows;
#[path = "lease/sqlite/mod.rs"]
mod sqlite;
#[path = "lease/tables.rs"]
mod tables;
#[path = "lease/terms.rs"]
mod terms;
#[path = "lease/turns.rs"]
mod turns;

mod all {
    //! On each database.
    dlock_tests::suite! {
        "lease" on [
            sqlite Sqlite, lease_postgres LeasePostgres, lease_mysql LeaseMySql,
            lease_mariadb LeaseMariaDb, lease_mssql LeaseMssql, lease_oracle LeaseOracle,
        ] {
            terms: [
                ttl_is_the_lockers_or_the_locks_own,
                ttl_for_ever_ends_with_the_release,
                ttl_for_ever_outlasts_its_process,
                renew_before_says_when,
                renewals_that_fail_are_survived,
                min_hold_keeps_others_out_after_the_release,
                min_hold_outlasts_its_process,
                min_hold_outlasts_its_locker,
                switched_off_it_asks_nobody,
            ]
            once: [
                success_keeps_it_over_the_end_of_the_locker,
                failure_frees_it,
                next_period_begins_with_the_grant,
                period_is_refused_where_it_makes_no_sense,
                attribute_completes_what_succeeds,
                end_of_the_whole_body_decides,
                what_does_not_end_well_is_no_success,
                success_outlasts_its_process,
            ]
            endings: [
                without_renewal_it_expires,
                protected_body_is_dropped_when_it_expires,
                next_holder_comes_after_the_loss,
                clock_that_was_set_forward_is_noticed,
                try_that_was_dropped_with_its_locker_keeps_nothing,
            ]
            late: [statements_of_one_owner_end_no_other_grant_of_it]
            owners: [
                named_one_gets_its_own_lease_back,
                earlier_one_of_the_name_is_told,
                min_hold_is_kept_against_the_same_one,
                without_a_name_each_grant_has_its_own,
                next_holder_has_its_own,
                each_holder_has_a_fence_of_its_own,
                token_says_which_process_it_is,
                data_are_shown_while_it_is_held,
            ]
            tables: [
                of_another_name_is_made,
                made_by_hand_is_used,
                that_is_emptied_gives_no_fence_again,
            ]
            fight: [histories]
            turns: [others_have_theirs, thousand_leases_are_renewed_together]
            prune: [
                removes_what_nobody_has_and_fences_go_on,
                takes_beside_it_have_fences_that_grow,
            ]
            handover: [
                outlasts_the_process_that_took_it,
                adopted_guard_is_renewed_and_passes_on,
                token_that_is_not_adopted_runs_out,
                others_cannot_make_it,
                inner_guard_cannot_be_handed_over,
                dropped_halfway_leaves_nothing,
            ]
        }
    }
}

mod servers {
    //! On servers.
    dlock_tests::suite! {
        "lease" on [
            lease_postgres LeasePostgres, lease_mysql LeaseMySql, lease_mariadb LeaseMariaDb,
            lease_mssql LeaseMssql, lease_oracle LeaseOracle,
        ] {
            endings: [
                waiter_is_woken_by_the_end_of_a_lease,
                silent_connection_is_replaced_in_time,
                release_that_nobody_confirms_is_not_ok,
                server_that_stands_still_costs_nothing,
            ]
            once: [clocks_of_hosts_do_not_matter]
            handover: [server_that_does_not_answer_is_told_later]
        }
    }
}

mod large {
    //! Where a hundred thousand rows are no double's.
    dlock_tests::suite! {
        "lease" on [
            sqlite Sqlite, lease_postgres LeasePostgres, lease_mysql LeaseMySql,
            lease_mariadb LeaseMariaDb,
        ] {
            prune: [very_many_are_noted_and_removed_beside_the_work]
        }
    }
}

mod clock_of_ours {
    //! Where the database's clock is the process's own.
    dlock_tests::suite! {
        "lease" on [sqlite Sqlite] {
            clocks: [forward_jump_is_a_loss, backward_jump_keeps_others_out]
        }
    }
}

mod sessions {
    //! What only leases have.
    dlock_tests::suite! {
        "lease" on [memory Memory, postgres Postgres, mysql MySql, mssql Mssql, oracle Oracle] {
            refusals: [sessions_have_no_such_terms]
        }
    }
}
