//! What locks cost, in what can be counted without noise: no test here looks at a clock.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "counters/allocations.rs"]
mod allocations;
#[path = "counters/alone.rs"]
mod alone;
#[path = "counters/bounds.rs"]
mod bounds;
#[path = "counters/connections.rs"]
mod connections;
#[path = "counters/statements.rs"]
mod statements;
#[cfg(target_os = "linux")]
#[path = "counters/wakes.rs"]
mod wakes;
#[path = "counters/wire.rs"]
mod wire;

dlock_tests::suite! {
    "counters" on [
        memory Memory, sqlite Sqlite, postgres Postgres, postgres18 Postgres18, mysql MySql,
        mariadb MariaDb, mariadb118 MariaDb118, lease_postgres LeasePostgres,
        lease_mysql LeaseMySql, lease_mariadb LeaseMariaDb, mssql Mssql,
        lease_mssql LeaseMssql, oracle Oracle, lease_oracle LeaseOracle,
    ] {
        allocations: [of_one_key, of_many_keys]
    }
}

mod dropped {
    //! Not leases on a server: there it is by chance who shares a statement with whom.
    dlock_tests::suite! {
        "counters" on [
            memory Memory, sqlite Sqlite, postgres Postgres, postgres18 Postgres18, mysql MySql,
            mariadb MariaDb, mariadb118 MariaDb118, mssql Mssql, oracle Oracle,
        ] {
            allocations: [of_dropped_guards]
        }
    }
}

mod servers {
    //! What can be counted on the way there, or there.
    dlock_tests::suite! {
        "counters" on [
            postgres Postgres, postgres18 Postgres18, mysql MySql, mariadb MariaDb,
            mariadb118 MariaDb118, mssql Mssql, oracle Oracle,
        ] {
            statements: [
                acquire_and_release_are_one_each,
                all_of_many_are_one,
                fifty_keys_are_one_each_way,
                single_try_is_one,
                contended_wait_is_two,
                release_in_the_background_goes_with_the_next_acquire,
                tasks_in_step_share_each,
                tasks_in_a_crowd_share_most,
            ]
            connections: [
                one_holds_a_thousand_keys,
                two_have_a_hundred_wait_for_a_key,
            ]
        }
    }
}

mod converting {
    //! Where a guard can change the mode of its lock.
    dlock_tests::suite! {
        "counters" on [mssql Mssql, oracle Oracle] { statements: [upgrade_is_one] }
    }
}

#[cfg(target_os = "linux")]
mod linux {
    //! What the kernel counts.
    dlock_tests::suite! {
        "counters" on [
            postgres Postgres, postgres18 Postgres18, mysql MySql, mariadb MariaDb,
            mariadb118 MariaDb118, mssql Mssql, oracle Oracle,
        ] {
            wakes: [of_a_pair, of_what_one_caller_asks, of_a_holder_who_does_nothing]
        }
    }
}

#[cfg(target_os = "linux")]
mod linux_alone {
    //! What the process decides without the database.
    dlock_tests::suite! {
        "counters" on [
            memory Memory, postgres Postgres, postgres18 Postgres18, mysql MySql, mariadb MariaDb,
            mariadb118 MariaDb118, mssql Mssql, oracle Oracle,
        ] {
            wakes: [of_a_refused_try, of_a_lock_that_passes_on]
        }
    }
}
