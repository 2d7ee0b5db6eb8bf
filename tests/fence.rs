//! Fencing tokens of session locks: what servers, clients and tables do to them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "fence/cost.rs"]
mod cost;
#[path = "fence/counter.rs"]
mod counter;
#[path = "fence/crash.rs"]
mod crash;
#[path = "fence/gate.rs"]
mod gate;
#[path = "fence/order.rs"]
mod order;
#[path = "fence/settings.rs"]
mod settings;
#[path = "fence/standby.rs"]
mod standby;
#[path = "fence/table.rs"]
mod table;
#[path = "fence/trouble.rs"]
mod trouble;

dlock_tests::suite! {
    "fence" on [postgres Postgres, postgres18 Postgres18, mysql MySql, mariadb MariaDb] {
        order: [
            of_tokens_is_that_of_grants,
            goes_on_after_a_killed_client,
        ]
        crash: [
            of_the_server_repeats_no_token,
        ]
        cost: [
            acquire_and_release_are_a_round_trip_each,
            fenced_locks_alone_need_one_connection,
            thousand_keys_are_taken_together,
            write_that_waits_stops_no_other_key,
        ]
        table: [
            is_made_when_the_first_token_is_wanted,
            that_cannot_be_made_is_told_with_its_text,
            that_cannot_be_written_is_told_with_the_grant,
            that_has_no_place_is_told,
            row_of_a_lease_stays_that_of_its_owner,
            that_is_emptied_gives_no_token_again,
        ]
        settings: [of_the_server_change_nothing]
        trouble: [
            table_that_was_dropped_keeps_no_lock,
            table_dropped_at_a_hand_off_keeps_no_lock,
            row_that_others_keep_is_waited_for,
            try_for_a_row_that_others_keep_leaks_nothing,
        ]
    }
}

mod postgres_alone {
    //! Where a commit can wait for another server.
    dlock_tests::suite! {
        "fence" on [postgres Postgres, postgres18 Postgres18] {
            standby: [
                that_is_away_keeps_tokens_back_and_nothing_else,
                that_is_away_costs_no_lock_without_a_token,
            ]
        }
    }
}

mod mysql_alone {
    //! What only these cannot be asked for by a session.
    dlock_tests::suite! {
        "fence" on [mysql MySql, mariadb MariaDb] {
            crash: [lazy_server_is_noted]
        }
    }
}
