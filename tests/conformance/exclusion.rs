//! One holder at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use dlock_tests::Site;
use tokio::task::{JoinSet, spawn_blocking};

pub(crate) async fn try_on_a_held_key_is_refused_at_once(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let guard = ours.lock("k").acquire().await.unwrap();
    for locker in [&ours, &theirs] {
        let start = Instant::now();
        assert!(locker.lock("k").try_acquire().await.unwrap().is_none());
        assert!(start.elapsed() < Duration::from_secs(4), "took {:?}", start.elapsed());
    }
    guard.release().await.unwrap();
    for locker in [&theirs, &ours] {
        locker.lock("k").try_acquire().await.unwrap().unwrap().release().await.unwrap();
    }
}

pub(crate) async fn other_keys_are_free(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let _held = ours.lock("k").acquire().await.unwrap();
    for locker in [&ours, &theirs] {
        let other = locker.lock("other").try_acquire().await.unwrap();
        other.expect("free").release().await.unwrap();
    }
}

pub(crate) async fn fifty_workers_count_to_a_thousand(site: Site) {
    const CLIENTS: usize = 5;
    let mut lockers = Vec::new();
    for _ in 0..CLIENTS {
        lockers.push(site.locker().await);
    }
    let counter = Arc::new(AtomicU32::new(0));
    let mut workers = JoinSet::new();
    for worker in 0..50 {
        let lock = lockers[worker % CLIENTS].lock("counter");
        let counter = Arc::clone(&counter);
        workers.spawn(async move {
            for _ in 0..20 {
                let guard = lock.acquire().await.unwrap();
                // Two at a time would both read the same number here.
                let number = counter.load(Ordering::SeqCst);
                tokio::task::yield_now().await;
                counter.store(number + 1, Ordering::SeqCst);
                guard.release().await.unwrap();
            }
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker.unwrap();
    }
    assert_eq!(counter.load(Ordering::SeqCst), 1000);
}

/// Threads that share a locker pass the lock on among themselves, and now and then give it back.
pub(crate) async fn threads_of_one_locker_exclude_each_other(site: Site) {
    const THREADS: u32 = 4;
    const ROUNDS: u32 = 60;
    let locker = site.locker().await;
    let inside = Arc::new(AtomicU32::new(0));
    let done = Arc::new(AtomicU32::new(0));
    let work = |number: u32| {
        let (lock, inside, done) = (locker.lock("k"), Arc::clone(&inside), Arc::clone(&done));
        move || {
            for round in 0..ROUNDS {
                let guard = match (number + round) % 3 {
                    0 => lock.try_acquire_blocking().unwrap(),
                    _ => Some(lock.acquire_blocking().unwrap()),
                };
                let Some(guard) = guard else { continue };
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "somebody else is inside");
                std::thread::yield_now();
                inside.fetch_sub(1, Ordering::SeqCst);
                done.fetch_add(1, Ordering::SeqCst);
                match round % 2 {
                    0 => drop(guard),
                    _ => guard.release_blocking().unwrap(),
                }
            }
        }
    };
    let threads: Vec<_> = (0..THREADS).map(|number| spawn_blocking(work(number))).collect();
    for thread in threads {
        thread.await.unwrap();
    }
    // Two rounds of three wait for it.
    assert!(done.load(Ordering::SeqCst) >= THREADS * ROUNDS * 2 / 3);
    locker.lock("k").try_acquire().await.unwrap().expect("free").release().await.unwrap();
}

/// Whoever knows that the lock was dropped finds it free, on whatever thread.
pub(crate) async fn try_after_a_dropped_guard_is_granted(site: Site) {
    let locker = site.locker().await;
    let lock = locker.lock("k");
    for round in 0..100 {
        let guard = lock.acquire().await.unwrap();
        // Refused by the process alone, just before.
        assert!(lock.try_acquire().await.unwrap().is_none(), "round {round}");
        let other = lock.clone();
        let next = spawn_blocking(move || {
            drop(guard);
            other.try_acquire_blocking().unwrap()
        });
        drop(next.await.unwrap().expect("nobody has it"));
        let guard = lock.try_acquire().await.unwrap();
        drop(guard.expect("nobody has it"));
    }
}
