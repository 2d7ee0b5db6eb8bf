//! One holder at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use dlock_tests::Site;
use tokio::task::JoinSet;

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
