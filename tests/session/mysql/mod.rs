//! What MySQL and MariaDB do to locks and those who hold them.

mod group;
mod killed;
mod limits;
mod names;
mod pool;
mod proxied;
mod race;
mod reborn;
mod refused;
mod views;
mod waits;

dlock_tests::suite! {
    "session" of mysql on [mysql MySql, mariadb MariaDb] {
        names: [
            are_apart_whatever_the_server_thinks,
            exclude_locks_taken_by_hand,
            of_another_database_are_said_to_be,
            that_are_one_to_the_server_exclude_each_other,
        ]
        waits: [
            are_exact_below_a_second,
            cancelled_wait_frees_its_place,
            cancelled_at_any_moment_leave_no_place_taken,
            stopped_from_outside_go_on,
        ]
        limits: [
            of_the_server_end_no_wait_and_no_hold,
            of_prepared_statements_are_not_needed,
        ]
        killed: [
            carrier_is_noticed_by_heartbeat,
            carrier_ends_the_body,
        ]
        refused: [
            wrong_password_and_unknown_database,
            user_without_a_right,
            replica,
            primary_that_becomes_read_only_is_given_up,
            replica_that_takes_writes,
            lazy_server_is_told_to_every_user,
            names_of_others_end_no_line,
        ]
        views: [
            show_holders_and_waiters,
            do_without_rights,
            do_without_views,
            name_the_holder_of_a_wait_that_ran_out,
        ]
        race: [
            timeout_is_never_answered_while_the_lock_is_held,
        ]
        pool: [
            is_left_to_the_application,
            rotated_options_are_followed,
        ]
        reborn: [
            session_of_the_same_user_is_left_alone,
            session_of_another_user_is_left_alone,
        ]
    }
}

mod mysql_alone {
    //! What MariaDB does not have.
    dlock_tests::suite! {
        "session" of mysql on [mysql MySql] {
            group: [primary_without_its_majority_is_given_up]
        }
    }
}
