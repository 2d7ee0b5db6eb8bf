//! What a lock may cost, as measured. To cost less is welcome: then the numbers here go down too.

use std::fmt::Display;

use dlock_tests::Backend::{self, *};

/// Allocations that an acquire and its release, a pair, may take: the caller's, ours, the driver's.
pub(crate) struct Allocations {
    on: &'static [Backend],
    /// Of the same [`Lock`](dlock::Lock) again and again.
    pub(crate) one_key: usize,
    /// Of a new one each time.
    pub(crate) many_keys: usize,
}

#[rustfmt::skip]
const ALLOCATIONS: [Allocations; 10] = [
    Allocations { on: &[Memory], one_key: 18, many_keys: 23 },
    // One more than measured: here the file's own threads are not in step with ours.
    Allocations { on: &[Sqlite], one_key: 58, many_keys: 63 },
    // 18 of them are the driver's: four for reading the two answers row by row, within bounds.
    Allocations { on: &[Postgres, Postgres18], one_key: 23, many_keys: 25 },
    Allocations { on: &[MySql, MariaDb, MariaDb118], one_key: 53, many_keys: 58 },
    Allocations { on: &[LeasePostgres], one_key: 109, many_keys: 114 },
    Allocations { on: &[LeaseMySql, LeaseMariaDb], one_key: 129, many_keys: 134 },
    Allocations { on: &[Mssql], one_key: 79, many_keys: 84 },
    Allocations { on: &[LeaseMssql], one_key: 167, many_keys: 172 },
    Allocations { on: &[Oracle], one_key: 213, many_keys: 220 },
    Allocations { on: &[LeaseOracle], one_key: 190, many_keys: 195 },
];

/// So many tasks do it side by side.
pub(crate) const TASKS: u64 = 64;
/// Statements that a pair of theirs may take (measured: 0.063; two for all of them would be 0.031).
pub(crate) const STATEMENTS_IN_A_CROWD: f64 = 0.2;

/// How often the engine may be woken for a pair: by each answer, and not by what is asked (measured: 1.6
/// to 2.2; a heartbeat may fall between),
pub(crate) const WAKES: u64 = 3;
/// beside the answers to a single caller, for some tenths of a second: by what it does of its own accord
/// (measured: 22 on PostgreSQL, 29 to 48 on MySQL; more on a busy machine; messages would be 100 more),
pub(crate) const WAKES_BESIDES: u64 = 80;
/// and for a heartbeat, when a lock is held and nothing happens (measured: 3.0 to 3.4).
pub(crate) const WAKES_OF_A_HEARTBEAT: u64 = 4;

/// How often the engine is woken for tries of a key that another task of the process has: by nothing but
/// its own heartbeats,
pub(crate) const WAKES_OF_REFUSED_TRIES: u64 = 20;
/// and for a lock that passes from task to task and then goes back to the database: for that (measured:
/// 0 to 1).
pub(crate) const WAKES_OF_A_CHAIN: u64 = 2;

impl Allocations {
    pub(crate) fn on(backend: Backend) -> &'static Self {
        ALLOCATIONS.iter().find(|bound| bound.on.contains(&backend)).unwrap()
    }
}

/// Says in any case what was measured: `cargo nextest run --no-capture` shows it.
#[track_caller]
pub(crate) fn assert_at_most<N: PartialOrd + Display>(bound: N, measured: N, what: &str) {
    eprintln!("{measured} {what}, where {bound} are allowed");
    assert!(measured <= bound, "{measured} {what}, where {bound} are allowed");
}
