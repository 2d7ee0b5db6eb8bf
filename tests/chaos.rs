//! Everything goes wrong, one fault after the other and all at once, and still no two hold one key: sessions are
//! ended by the server, processes killed and frozen, while four of them fight over four keys.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

dlock_tests::suite! {
    "chaos" on [
        sqlite Sqlite, postgres Postgres, postgres18 Postgres18,
        mysql MySql, mariadb MariaDb,
        lease_postgres LeasePostgres, lease_mysql LeaseMySql, lease_mariadb LeaseMariaDb,
        mssql Mssql, lease_mssql LeaseMssql, oracle Oracle, lease_oracle LeaseOracle,
    ] {
        fight: [survives_kills_and_freezes]
    }
}

mod faults_of_holders {
    //! One by one.
    dlock_tests::suite! {
        "chaos" on [
            sqlite Sqlite, postgres Postgres, mysql MySql, mariadb MariaDb,
            lease_postgres LeasePostgres, lease_mysql LeaseMySql, lease_mariadb LeaseMariaDb,
            mssql Mssql, lease_mssql LeaseMssql, oracle Oracle, lease_oracle LeaseOracle,
        ] {
            faults: [of_holders_are_told_before_the_next_one_comes]
        }
    }
}

mod faults_of_servers {
    //! On a server of the test's own.
    dlock_tests::suite! {
        "chaos" on [
            postgres Postgres, mysql MySql, mariadb MariaDb,
            lease_postgres LeasePostgres, lease_mysql LeaseMySql, lease_mariadb LeaseMariaDb,
        ] {
            server_faults: [
                of_servers_that_end_are_told_before_the_next_one_comes,
                of_servers_that_stay_are_told_before_the_next_one_comes,
            ]
        }
    }
}

mod faults_between {
    //! Of the network before a server of the test's own, and of the disk behind it.
    dlock_tests::suite! {
        "chaos" on [
            postgres Postgres, mysql MySql, mariadb MariaDb,
            lease_postgres LeasePostgres, lease_mysql LeaseMySql, lease_mariadb LeaseMariaDb,
        ] {
            network: [
                cuts_are_told_before_the_next_one_comes,
                trouble_is_told_before_the_next_one_comes,
            ]
            disk: [full_under_a_server_is_told_before_the_next_one_comes]
        }
    }
}

mod faults_of_disks {
    //! Without a server.
    dlock_tests::suite! {
        "chaos" on [sqlite Sqlite] {
            disk: [full_under_a_file_is_told_before_the_next_one_comes]
        }
    }
}

mod faults_of_clusters {
    //! Session locks end with their server.
    dlock_tests::suite! {
        "chaos" on [lease_postgres LeasePostgres] {
            server_faults: [of_a_primary_are_told_before_the_next_one_comes]
        }
    }
}

mod leaders {
    //! Where a leader differs is above the databases: one of each kind is enough.
    dlock_tests::suite! {
        "chaos" on [sqlite Sqlite, postgres Postgres, mysql MySql, lease_postgres LeasePostgres] {
            fight: [no_two_lead]
        }
    }
}

mod sessions {
    //! Only a server can end them.
    dlock_tests::suite! {
        "chaos" on [
            postgres Postgres, postgres18 Postgres18, mysql MySql, mariadb MariaDb, mssql Mssql,
            oracle Oracle,
        ] {
            fight: [survives_ended_sessions]
        }
    }
}

#[path = "chaos/checker.rs"]
mod checker;
#[path = "chaos/disk.rs"]
mod disk;
#[path = "chaos/fault.rs"]
mod fault;
#[path = "chaos/faults.rs"]
mod faults;
#[path = "chaos/fight.rs"]
mod fight;
#[path = "chaos/figures.rs"]
mod figures;
#[path = "chaos/holder.rs"]
mod holder;
#[path = "chaos/network.rs"]
mod network;
#[path = "chaos/server_faults.rs"]
mod server_faults;
