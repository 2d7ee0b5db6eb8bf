//! What a lock costs inside the process: the table's decisions, the key's id, the way to the engine.
//!
//! `cargo bench -p dlock-tests --bench inside`

#![allow(clippy::unwrap_used, missing_docs, reason = "a measurement ends when it fails")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use dlock::engine::lock_table::{Action, Event, GrantId, Shareable, Table};
use dlock::{Locker, Wait};
use tokio::runtime::{Builder, Runtime};

/// A key that nobody shares.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Plain(u64);

impl Shareable for Plain {
    fn is_shareable(&self) -> bool {
        false
    }
}

/// A table and the database that says yes to everything.
#[derive(Default)]
struct Desk {
    table: Table<Plain>,
    actions: Vec<Action<Plain>>,
    requests: u64,
}

impl Desk {
    fn acquire(&mut self, key: u64) {
        self.requests += 1;
        let (request, key) = (self.requests, Plain(key));
        self.step(Event::Acquire { request, key, patient: true, budget_spent: true });
    }

    fn step(&mut self, event: Event<Plain>) {
        self.table.step(event, false, &mut self.actions);
    }

    /// Answers what was asked until nothing is; the newest grant, if there was one.
    fn settle(&mut self) -> Option<GrantId> {
        let mut granted = None;
        while let Some(action) = self.actions.pop() {
            match action {
                Action::Try { key, ticket } => self.step(Event::Granted { key, ticket }),
                Action::Unlock { key, ticket, .. } => {
                    self.step(Event::Unlocked { key, ticket, clean: true });
                }
                Action::Grant { hold, .. } => granted = Some(hold),
                _ => {}
            }
        }
        granted
    }

    /// Four events: a caller, the database's yes, a release, the database's word on it.
    fn pair(&mut self, key: u64) {
        self.acquire(key);
        let hold = self.settle().unwrap();
        self.step(Event::Release { hold, budget_spent: true });
        self.settle();
    }
}

fn table(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("table step");
    for held in [0, 5_000] {
        let mut desk = Desk::default();
        for key in 1..=held {
            desk.acquire(key);
            desk.settle().unwrap();
        }
        group.bench_function(format!("a pair beside {held} held keys"), |bencher| {
            bencher.iter(|| desk.pair(black_box(0)));
        });
    }
    // From one caller of this process to the next, and the last one gets in line again.
    let mut desk = Desk::default();
    (0..64).for_each(|_| desk.acquire(0));
    let mut hold = desk.settle().unwrap();
    group.bench_function("a hand-over among 64 callers", |bencher| {
        bencher.iter(|| {
            desk.acquire(0);
            desk.step(Event::Release { hold, budget_spent: false });
            hold = desk.settle().unwrap();
        });
    });
    group.finish();
}

/// What `Locker::lock` makes of a key, with all that it does besides.
fn keys(criterion: &mut Criterion) {
    let runtime = current_thread();
    let long = "k".repeat(300);
    let keys = [("a short key", "user:42"), ("a key of 300 bytes", &*long)];
    let mut group = criterion.benchmark_group("key");
    let memory = runtime.block_on(Locker::connect("memory:bench-keys")).unwrap();
    for (what, key) in keys {
        // A long name ends in a hash.
        group.bench_function(format!("{what}, to a name"), |bencher| {
            bencher.iter(|| memory.lock(black_box(key)));
        });
    }
    // An id is always a hash. Only PostgreSQL has ids.
    #[cfg(feature = "postgres")]
    if let Some(server) = dlock_tests::Server::start(dlock_tests::Backend::Postgres, &[]) {
        let postgres = runtime.block_on(Locker::connect(server.url())).unwrap();
        for (what, key) in keys {
            group.bench_function(format!("{what}, to an id"), |bencher| {
                bencher.iter(|| postgres.lock(black_box(key)));
            });
        }
        runtime.block_on(postgres.close());
    }
    group.finish();
}

/// Acquire and release on `memory:`, whose locks cost next to nothing: what is left is the way to the
/// engine and back, twice.
fn mailbox(criterion: &mut Criterion) {
    let runtime = current_thread();
    let mut group = criterion.benchmark_group("mailbox hop");
    let own = runtime.block_on(Locker::connect("memory:bench-own")).unwrap();
    let builder = Locker::builder("memory:bench-here").runtime(runtime.handle().clone());
    let here = runtime.block_on(builder.connect()).unwrap();
    for (what, at) in [("to a thread of its own", &own), ("on the caller's runtime", &here)] {
        group.bench_function(format!("a pair, {what}"), |bencher| {
            bencher.iter(|| runtime.block_on(pair(at)));
        });
    }
    group.finish();
}

async fn pair(at: &Locker) {
    let guard = at.lock("key").timeout(Wait::Forever).acquire().await.unwrap();
    guard.release().await.unwrap();
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

criterion_group!(benches, table, keys, mailbox);
criterion_main!(benches);
