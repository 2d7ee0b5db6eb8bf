//! Everything goes wrong at once, and still no two hold one key: sessions are ended by the server,
//! processes killed and frozen, while four of them fight over four keys.

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
        mssql Mssql, lease_mssql LeaseMssql,
    ] {
        fight: [survives_kills_and_freezes]
    }
}

mod sessions {
    //! Only a server can end them.
    dlock_tests::suite! {
        "chaos" on [postgres Postgres, postgres18 Postgres18, mysql MySql, mariadb MariaDb, mssql Mssql] {
            fight: [survives_ended_sessions]
        }
    }
}

#[path = "chaos/checker.rs"]
mod checker;
#[path = "chaos/fight.rs"]
mod fight;
