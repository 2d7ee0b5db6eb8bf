//! What `#[locked]` costs beside the same calls written by hand, on `memory:`.
//!
//! `cargo bench -p dlock-tests --bench macros`

#![allow(clippy::unwrap_used, missing_docs, reason = "a measurement ends when it fails")]

use criterion::{Criterion, criterion_group, criterion_main};
use dlock::{Error, Locker, locked};

#[locked(key = "user:<id>", locker = at)]
async fn by_attribute(at: &Locker, id: u64) -> Result<u64, Error> {
    Ok(id)
}

async fn by_hand(at: &Locker, id: u64) -> Result<u64, Error> {
    let guard = at.lock(format!("user:{id}")).acquire().await?;
    let done = Ok(id);
    guard.release().await?;
    done
}

#[locked(key = "user:<id>", locker = at)]
fn by_attribute_sync(at: &Locker, id: u64) -> Result<u64, Error> {
    Ok(id)
}

fn by_hand_sync(at: &Locker, id: u64) -> Result<u64, Error> {
    let guard = at.lock(format!("user:{id}")).acquire_blocking()?;
    guard.release_blocking()?;
    Ok(id)
}

fn overhead(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    // On the same runtime, so that no hop between threads hides what is compared.
    let builder = Locker::builder("memory:bench-macros").runtime(runtime.handle().clone());
    let at = runtime.block_on(builder.connect()).unwrap();
    let mut group = criterion.benchmark_group("async");
    group.bench_function("by hand", |bencher| {
        bencher.iter(|| runtime.block_on(by_hand(&at, 7)).unwrap());
    });
    group.bench_function("by attribute", |bencher| {
        bencher.iter(|| runtime.block_on(by_attribute(&at, 7)).unwrap());
    });
    group.finish();
    let at = Locker::connect_blocking("memory:bench-macros-sync").unwrap();
    let mut group = criterion.benchmark_group("sync");
    group.bench_function("by hand", |bencher| {
        bencher.iter(|| by_hand_sync(&at, 7).unwrap());
    });
    group.bench_function("by attribute", |bencher| {
        bencher.iter(|| by_attribute_sync(&at, 7).unwrap());
    });
    group.finish();
}

criterion_group!(benches, overhead);
criterion_main!(benches);
