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

/// What this takes each time, when it has been done often. To the nearest: there is a new block of a
/// queue, or a larger table, every so many times.
async fn of_each(mut pair: impl AsyncFnMut()) -> usize {
    let mut least = usize::MAX;
    // The first round is for what is only prepared.
    for _ in 0..=ROUNDS {
        let before = allocations();
        for _ in 0..PAIRS {
            pair().await;
        }
        least = least.min(allocations() - before);
    }
    (least + PAIRS / 2) / PAIRS
}

pub(crate) async fn of_one_key(site: Site) {
    if has_passed_alone() {
        return;
    }
    let lock = site.locker().await.lock("k");
    let measured = of_each(async || {
        lock.acquire().await.unwrap().release().await.unwrap();
    })
    .await;
    let bound = Allocations::on(site.backend.unwrap()).one_key;
    assert_at_most(bound, measured, "allocations a pair");
}

pub(crate) async fn of_many_keys(site: Site) {
    if has_passed_alone() {
        return;
    }
    let locker = site.locker().await;
    let mut keys = 0..;
    let measured = of_each(async || {
        let lock = locker.lock(keys.next().unwrap());
        lock.acquire().await.unwrap().release().await.unwrap();
    })
    .await;
    let bound = Allocations::on(site.backend.unwrap()).many_keys;
    assert_at_most(bound, measured, "allocations a pair");
}

/// Not to wait for the release costs no more than to wait for it.
pub(crate) async fn of_dropped_guards(site: Site) {
    if has_passed_alone() {
        return;
    }
    let locker = site.locker().await;
    let mut keys = 0..;
    let measured = of_each(async || {
        drop(locker.lock(keys.next().unwrap()).acquire().await.unwrap());
    })
    .await;
    let bound = Allocations::on(site.backend.unwrap()).many_keys;
    assert_at_most(bound, measured, "allocations a pair");
}
