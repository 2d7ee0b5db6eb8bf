//! Allocations, in the whole process.

use std::alloc::System;

use dlock_tests::Site;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use crate::alone::has_passed_alone;
use crate::bounds::{Allocations, assert_at_most};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const PAIRS: usize = 200;
/// What else goes on now and then only adds to it, so the least is what a pair takes.
const ROUNDS: usize = 3;

fn allocations() -> usize {
    let stats = ALLOCATOR.stats();
    stats.allocations + stats.reallocations
}

/// This takes at most so many each time, when it has been done often. To the nearest: there is a new
/// block of a queue, or a larger table, every so many times.
async fn assert_each(bound: usize, mut pair: impl AsyncFnMut()) {
    let mut least = usize::MAX;
    // The first round is for what is only prepared.
    for _ in 0..=ROUNDS {
        let before = allocations();
        for _ in 0..PAIRS {
            pair().await;
        }
        least = least.min(allocations() - before);
    }
    assert_at_most(bound, (least + PAIRS / 2) / PAIRS, "allocations a pair");
}

pub(crate) async fn of_one_key(site: Site) {
    if has_passed_alone() {
        return;
    }
    let lock = site.locker().await.lock("k");
    assert_each(Allocations::on(site.backend.unwrap()).one_key, async || {
        lock.acquire().await.unwrap().release().await.unwrap();
    })
    .await;
}

pub(crate) async fn of_many_keys(site: Site) {
    if has_passed_alone() {
        return;
    }
    let locker = site.locker().await;
    let mut keys = 0..;
    assert_each(Allocations::on(site.backend.unwrap()).many_keys, async || {
        let lock = locker.lock(keys.next().unwrap());
        lock.acquire().await.unwrap().release().await.unwrap();
    })
    .await;
}

/// Not to wait for the release costs no more than to wait for it.
pub(crate) async fn of_dropped_guards(site: Site) {
    if has_passed_alone() {
        return;
    }
    let locker = site.locker().await;
    let mut keys = 0..;
    assert_each(Allocations::on(site.backend.unwrap()).many_keys, async || {
        drop(locker.lock(keys.next().unwrap()).acquire().await.unwrap());
    })
    .await;
}
