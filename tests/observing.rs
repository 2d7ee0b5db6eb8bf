//! What is told of locks: events in the caller's span, and warnings.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "observing/dashboard.rs"]
mod dashboard;
#[path = "observing/events.rs"]
mod events;
#[path = "observing/labels.rs"]
mod labels;
#[path = "observing/metrics.rs"]
mod metrics;
#[path = "observing/observer.rs"]
mod observer;
#[path = "observing/prometheus.rs"]
mod prometheus;
#[path = "observing/recorder.rs"]
mod recorder;
#[path = "observing/warnings.rs"]
mod warnings;

dlock_tests::suite! {
    "observing" on [
        memory Memory, sqlite Sqlite, postgres Postgres, postgres18 Postgres18,
        mysql MySql, mariadb MariaDb, mariadb118 MariaDb118,
        lease_postgres LeasePostgres, lease_mysql LeaseMySql, lease_mariadb LeaseMariaDb,
        mssql Mssql, lease_mssql LeaseMssql, oracle Oracle, lease_oracle LeaseOracle,
    ] {
        events: [
            of_a_guard_are_in_its_callers_span,
            of_a_wait_in_vain_name_the_holder,
            of_a_loss_are_in_the_span_of_the_guard,
            of_several_keys_are_one_for_each,
            of_permits_are_of_the_callers_only,
            of_a_lock_taken_again_are_of_the_first,
            keep_no_span_open,
        ]
        warnings: [
            slow_wait_names_the_holder,
            slow_wait_within_a_process_names_it,
            quick_ones_are_not_warned_of,
            long_hold_is_told_while_it_is_held,
        ]
        metrics: [count_how_calls_end, gauges_return_to_zero]
        observer: [is_told_what_happens, that_panics_harms_nobody, that_blocks_delays_nobody]
    }
}

mod asked {
    //! Where a holder has to be confirmed.
    dlock_tests::suite! {
        "observing" on [
            sqlite Sqlite, postgres Postgres, mysql MySql, mariadb MariaDb, mssql Mssql, oracle Oracle,
            lease_postgres LeasePostgres, lease_mysql LeaseMySql, lease_mssql LeaseMssql,
            lease_oracle LeaseOracle,
        ] {
            metrics: [count_sessions_and_renewals]
        }
    }
}

mod leases {
    //! Where locks are leases.
    dlock_tests::suite! {
        "observing" on [
            sqlite Sqlite, lease_postgres LeasePostgres, lease_mysql LeaseMySql,
            lease_mssql LeaseMssql, lease_oracle LeaseOracle,
        ] {
            metrics: [tell_why_locks_are_lost]
        }
    }
}

mod dashboards {
    //! Once, where everything can happen without a server.
    dlock_tests::suite! {
        "observing" on [sqlite Sqlite] { dashboard: [names_what_there_is] }
    }
}

mod servers {
    //! Where there is a way to the server that can be cut.
    dlock_tests::suite! {
        "observing" on [postgres Postgres, mysql MySql, mariadb MariaDb, mssql Mssql] {
            metrics: [count_releases_that_fail]
        }
    }
}

mod one {
    //! What has nothing to do with the server, but needs a quick one.
    dlock_tests::suite! {
        "observing" on [memory Memory, sqlite Sqlite, postgres Postgres] {
            metrics: [have_few_series_for_many_keys]
        }
    }
    mod template {
        dlock_tests::suite! {
            "observing" on [memory Memory] { metrics: [have_one_series_for_a_template] }
        }
    }
}

mod converting {
    //! Where a guard can change the mode of its lock.
    dlock_tests::suite! {
        "observing" on [mssql Mssql, oracle Oracle] { metrics: [gauges_follow_a_change_of_mode] }
    }
}
