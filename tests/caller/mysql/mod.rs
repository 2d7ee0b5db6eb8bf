//! What is MySQL's and MariaDB's own: `autocommit`, and what they do not have.

mod autocommit;
mod interop;
mod refused;
mod sql;

use dlock_tests::{Proxy, Site};
use sqlx::MySqlConnection;

use crate::db;

type Conn = MySqlConnection;

/// A connection of the application's.
async fn connect(site: &Site) -> Conn {
    db::connect(site).await
}

/// A connection whose round trips are counted.
async fn counted(site: &Site) -> (Proxy, Conn) {
    db::counted(site).await
}

dlock_tests::suite! {
    "caller" of mysql on [mysql MySql, mariadb MariaDb, mariadb118 MariaDb118] {
        autocommit: [
            off_makes_transactions_of_bodies,
            savepoints_of_the_caller_stay,
            character_sets_change_no_answer,
            holder_that_cannot_be_asked_for_is_left_out,
        ]
        interop: [
            python_library_is_excluded_and_excludes,
            libraries_without_this_database_are_refused,
        ]
        refused: [
            locks_of_a_transaction,
            modes,
            replica,
        ]
    }
}

mod one {
    //! What needs more servers, of the machine's own version.
    dlock_tests::suite! {
        "caller" of mysql on [mariadb MariaDb] {
            refused: [
                galera_node,
            ]
        }
    }
}
