//! What PostgreSQL does to leases, and to the table that they are kept in.

mod corner;
mod cost;
mod pooler;
mod race;
mod roles;
mod rows;
mod set_up;
mod table;

dlock_tests::suite! {
    "lease" of postgres on [lease_postgres LeasePostgres] {
        race: [
            of_twenty_has_one_winner,
            for_what_has_run_out_has_one_winner,
            of_many_keys_knows_no_deadlock,
        ]
        roles: [
            settings_of_a_role_change_nothing,
            commits_are_not_left_for_later,
            functions_of_the_search_path_are_not_called,
            idle_connection_that_was_ended_is_replaced,
            rights_that_are_missing_are_named,
        ]
        rows: [
            locked_by_hand_only_delay,
            odd_names_and_owners_are_as_they_are,
            are_never_deleted_and_never_without_owner,
            are_shown_and_explained,
        ]
        table: [
            is_made_by_many_at_once,
            in_latin1_has_room_for_every_key,
            is_made_by_hand_from_the_ddl,
            is_in_the_schema_that_is_current_at_connect,
            is_made_again_when_it_was_dropped,
            of_another_kind_is_refused,
            of_django_is_never_made,
        ]
        cost: [
            acquire_and_release_are_a_round_trip_each,
            thousand_leases_are_renewed_by_one_statement,
            refusal_writes_nothing,
        ]
        pooler: [
            in_transaction_mode_is_no_obstacle,
            before_each_statement_leaks_nothing,
        ]
        set_up: [
            is_in_order,
            of_a_weak_kind_is_told,
            standby_is_refused,
            pool_is_left_to_the_application,
            after_connect_of_the_pool_is_run,
            after_connect_that_fails_is_told,
            schema_of_any_name,
        ]
    }
}
