//! How often the engine's thread is woken: each time it had gone to sleep of its own accord.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use dlock_tests::{Backend, Proxy, Site, eventually};

use crate::alone::has_passed_alone;
use crate::bounds::{
    WAKES, WAKES_BESIDES, WAKES_OF_A_CHAIN, WAKES_OF_A_HEARTBEAT, WAKES_OF_REFUSED_TRIES,
    assert_at_most,
};

const PAIRS: u64 = 200;
const TRIES: u64 = 1000;
/// Tasks that have the lock one after the other, within what may pass without the database.
const CHAIN: usize = 6;

/// The engine's thread, as the kernel knows it.
struct Thread(PathBuf);

impl Thread {
    /// Of the only engine in this process.
    fn of_engine() -> Self {
        let tasks = fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
        let is_engine = |task: &PathBuf| {
            fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "dlock-engine")
        };
        let engines: Vec<_> = tasks.filter(is_engine).collect();
        let [engine] = &engines[..] else { panic!("{} engines", engines.len()) };
        Thread(engine.join("status"))
    }

    fn sleeps(&self) -> u64 {
        let status = fs::read_to_string(&self.0).unwrap();
        let sleeps = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        sleeps.unwrap().trim().parse().unwrap()
    }
}

pub(crate) async fn of_a_pair(site: Site) {
    if has_passed_alone() {
        return;
    }
    let locker = site.locker().await;
    let engine = Thread::of_engine();
    // The first time, statements are prepared.
    locker.lock("first").acquire().await.unwrap().release().await.unwrap();
    let before = engine.sleeps();
    for key in 0..PAIRS {
        locker.lock(key).acquire().await.unwrap().release().await.unwrap();
    }
    let wakes = engine.sleeps() - before;
    // Oracle's driver is synchronous: the answer comes from a thread of its own, and may find the engine asleep once more.
    let each = if site.backend == Some(Backend::Oracle) { WAKES + 1 } else { WAKES };
    assert_at_most(each * PAIRS, wakes, &format!("wake-ups for {PAIRS} pairs"));
}

/// The caller's own thread sends it, and only the answer wakes the engine.
pub(crate) async fn of_what_one_caller_asks(site: Site) {
    const ASKED: u64 = 100;
    if has_passed_alone() {
        return;
    }
    // By a detour, so that no answer is there before the engine has fallen asleep.
    let proxy = Proxy::to(&site.url).await;
    let locker = site.through(proxy.url()).locker().await;
    let engine = Thread::of_engine();
    // Time enough for the engine to fall asleep again.
    let pause = || tokio::time::sleep(Duration::from_millis(2));
    locker.lock("first").acquire().await.unwrap().release().await.unwrap();
    pause().await;
    let before = engine.sleeps();
    for key in 0..ASKED / 2 {
        let guard = locker.lock(key).acquire().await.unwrap();
        pause().await;
        guard.release().await.unwrap();
        pause().await;
    }
    let wakes = engine.sleeps() - before;
    // Oracle's driver is synchronous, and its threads wake the engine as well; that of SQL Server reads in parts.
    let each = if matches!(site.backend, Some(Backend::Oracle | Backend::Mssql)) { 2 } else { 1 };
    let bound = ASKED * each + WAKES_BESIDES;
    assert_at_most(bound, wakes, &format!("wake-ups for {ASKED} statements"));
}

/// Every heartbeat is a round trip that can be counted.
pub(crate) async fn of_a_holder_who_does_nothing(site: Site) {
    const HEARTBEATS: u64 = 3;
    if has_passed_alone() {
        return;
    }
    let proxy = Proxy::to(&site.url).await;
    let locker = site.through(proxy.url()).ttl(Duration::from_secs(3)).locker().await;
    let engine = Thread::of_engine();
    let _guard = locker.lock("k").acquire().await.unwrap();
    let (round_trips, before) = (proxy.round_trips(), engine.sleeps());
    let beaten = || proxy.round_trips() - round_trips >= HEARTBEATS;
    eventually("the heart beats", Duration::from_secs(40), beaten).await;
    let wakes = engine.sleeps() - before;
    let beats = proxy.round_trips() - round_trips;
    // And once more, to fall asleep after the acquire.
    let bound = WAKES_OF_A_HEARTBEAT * beats + 1;
    assert_at_most(bound, wakes, &format!("wake-ups for {beats} heartbeats"));
}

/// The process knows that it has the key.
pub(crate) async fn of_a_refused_try(site: Site) {
    if has_passed_alone() {
        return;
    }
    let locker = site.locker().await;
    let engine = Thread::of_engine();
    let _guard = locker.lock("k").acquire().await.unwrap();
    let lock = locker.lock("k");
    let before = engine.sleeps();
    for _ in 0..TRIES {
        assert!(lock.try_acquire().await.unwrap().is_none());
    }
    let wakes = engine.sleeps() - before;
    assert_at_most(WAKES_OF_REFUSED_TRIES, wakes, &format!("wake-ups for {TRIES} refused tries"));
}

/// Each task that releases wakes the next one by itself. One of these chains has the machine for itself.
pub(crate) async fn of_a_lock_that_passes_on(site: Site) {
    const ROUNDS: usize = 20;
    if has_passed_alone() {
        return;
    }
    let locker = site.locker().await;
    let engine = Thread::of_engine();
    let mut least = u64::MAX;
    for _ in 0..ROUNDS {
        let guard = locker.lock("k").acquire().await.unwrap();
        let tasks: Vec<_> = (0..CHAIN)
            .map(|_| {
                let lock = locker.lock("k");
                tokio::spawn(async move { drop(lock.acquire().await.unwrap()) })
            })
            .collect();
        // Each is polled once, and stands in line then.
        tokio::task::yield_now().await;
        let before = engine.sleeps();
        drop(guard);
        for task in tasks {
            task.await.unwrap();
        }
        least = least.min(engine.sleeps() - before);
    }
    assert_at_most(WAKES_OF_A_CHAIN, least, &format!("wake-ups for a chain of {CHAIN}"));
}
