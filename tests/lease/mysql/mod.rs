//! Leases on MySQL and MariaDB: what these servers, and people who work on them, do to leases.

mod address;
mod cost;
mod django;
mod race;
mod rights;
mod settings;
mod table;
mod warnings;

use dlock_tests::{Backend, Server, Site};
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

dlock_tests::suite! {
    "lease" of mysql on [lease_mysql LeaseMySql, lease_mariadb LeaseMariaDb] {
        race: [
            has_one_winner_and_fences_grow_by_one,
            of_batches_grants_each_key_once,
            of_two_who_swap_grants_both,
            named_owners_have_fences_of_their_own,
        ]
        cost: [
            acquire_and_release_are_a_round_trip_each,
            thousand_leases_are_renewed_in_one_round_trip,
        ]
        settings: [
            of_the_server_change_nothing,
            log_of_statements,
            that_weaken_leases_are_found,
            primary_that_becomes_read_only_is_given_up,
            primary_that_is_read_only_for_a_moment_costs_no_lease,
            limits_of_the_server_are_kept,
        ]
        table: [
            row_locked_by_hand_delays_only_itself,
            dropped_takes_its_leases_with_it,
            commits_that_fail_may_be_asked_again,
            made_by_hand,
            that_cannot_hold_leases_is_refused,
            rows_stay_and_are_free,
            stolen_row_is_noticed,
            endless_lease,
        ]
        rights: [table_that_may_not_be_made, table_that_may_not_be_written]
        address: [
            without_a_database_is_refused,
            of_a_pool,
            of_a_pool_with_after_connect,
            of_several_hosts,
            of_which_three_are_silent,
        ]
        django: [
            table_is_never_made,
            lease_is_a_row_as_django_writes_it,
            names_that_differ_in_case_are_one_lock,
            numbers_of_rows_are_not_used_up,
        ]
    }
}

/// The test's own connection.
struct Raw(MySqlConnection);

impl Raw {
    async fn to(url: &str) -> Self {
        let url = url.strip_prefix("lease+").unwrap_or(url);
        Raw(MySqlConnection::connect(url).await.unwrap())
    }

    async fn run(&mut self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut self.0).await.unwrap();
    }

    /// The columns of the only row, as text.
    async fn row(&mut self, sql: &str) -> Vec<Option<String>> {
        let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_all(&mut self.0);
        let rows = rows.await.unwrap();
        assert_eq!(rows.len(), 1, "{sql}");
        let column = |at| {
            let bytes: Option<Vec<u8>> = rows[0].get_unchecked(at);
            bytes.map(|bytes| String::from_utf8(bytes).unwrap())
        };
        (0..rows[0].len()).map(column).collect()
    }

    async fn number(&mut self, sql: &str) -> i64 {
        self.row(sql).await[0].as_deref().unwrap().parse().unwrap()
    }
}

/// A private server of the same kind.
fn server(site: &Site, settings: &[&str]) -> Option<Server> {
    let kind = match site.backend {
        Some(Backend::LeaseMySql) => Backend::MySql,
        _ => Backend::MariaDb,
    };
    Server::start(kind, settings)
}
