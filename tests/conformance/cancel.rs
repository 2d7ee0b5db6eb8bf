//! An acquire that is dropped leaves nothing behind.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use dlock::Locker;
use dlock_tests::{Site, Witness, eventually_async, in_time};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(10);

/// Nothing is locked, by the database's own word where it has one.
async fn assert_nothing_is_locked(site: &Site) {
    let other = site.named("other").locker().await;
    for key in ["0", "1", "2"] {
        let guard = other.lock(key).timeout(PATIENCE).acquire().await.unwrap();
        guard.release().await.unwrap();
    }
    if site.url.starts_with("postgres") {
        let mut witness = Witness::at(&site.url).await;
        eventually_async("pg_locks shows nothing of ours", PATIENCE, async || {
            witness.locks(site).await + witness.waits(site).await == 0
        })
        .await;
    }
}

/// Cancels acquires at random moments, and drops the guards of those that were faster.
async fn hurry(locker: &Locker, times: u32) {
    for _ in 0..times {
        let lock = locker.lock(fastrand::u32(0..3)).timeout(PATIENCE);
        let patience = Duration::from_micros(fastrand::u64(0..4000));
        if let Ok(guard) = timeout(patience, lock.acquire()).await {
            let guard = guard.unwrap();
            if fastrand::bool() {
                sleep(Duration::from_micros(fastrand::u64(0..2000))).await;
            }
            drop(guard);
        }
    }
}

pub(crate) async fn five_hundred_at_random_moments(site: Site) {
    let mut lockers = Vec::new();
    for _ in 0..3 {
        lockers.push(site.locker().await);
    }
    let mut hasty = JoinSet::new();
    for n in 0..10 {
        let locker = lockers[n % 3].clone();
        hasty.spawn(async move { hurry(&locker, 50).await });
    }
    // Those who are patient get their turn meanwhile.
    for n in 0..10 {
        let lock = lockers[n % 3].lock(n as u64 % 3).timeout(PATIENCE);
        lock.acquire().await.unwrap().release().await.unwrap();
    }
    hasty.join_all().await;
    assert_nothing_is_locked(&site).await;
}

pub(crate) async fn waiters_that_leave_do_not_take_the_lock_with_them(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    for _ in 0..20 {
        let held = theirs.lock("0").acquire().await.unwrap();
        let mut waiting = JoinSet::new();
        for _ in 0..3 {
            let lock = ours.lock("0").timeout(PATIENCE);
            waiting.spawn(async move { lock.acquire().await.map(drop) });
        }
        sleep(Duration::from_millis(fastrand::u64(0..20))).await;
        // The release and the cancels meet on their way.
        let released = held.release();
        waiting.abort_all();
        released.await.unwrap();
        let guard = theirs.lock("0").timeout(PATIENCE).acquire().await.unwrap();
        guard.release().await.unwrap();
    }
    assert_nothing_is_locked(&site).await;
}

/// The cancelled one was the only waiter of its client; the next one of that client can wait again.
pub(crate) async fn client_can_wait_again_at_once(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let held = theirs.lock("0").acquire().await.unwrap();
    for _ in 0..10 {
        let lock = ours.lock("0").timeout(PATIENCE);
        assert!(timeout(Duration::from_millis(20), lock.acquire()).await.is_err());
    }
    let lock = ours.lock("0").timeout(PATIENCE);
    let waiting = tokio::spawn(async move { lock.acquire().await });
    sleep(Duration::from_millis(20)).await;
    held.release().await.unwrap();
    let guard = in_time("the lock", PATIENCE, waiting).await.unwrap().unwrap();
    guard.release().await.unwrap();
    assert_nothing_is_locked(&site).await;
}

/// Futures that were never polled, and connecting that is given up half-way.
pub(crate) async fn futures_dropped_early(site: Site) {
    for n in 0..20 {
        let connecting = site.builder().connect();
        if let Ok(locker) = timeout(Duration::from_micros(200 * n), connecting).await {
            let locker = locker.unwrap();
            drop(locker.lock("0").acquire());
            let lock = locker.lock("0");
            // Polled once: the request is on its way, the answer finds nobody.
            let _ = timeout(Duration::ZERO, lock.acquire()).await;
        }
    }
    assert_nothing_is_locked(&site).await;
    if site.url.starts_with("postgres") {
        let mut witness = Witness::at(&site.url).await;
        eventually_async("no session of ours is left", PATIENCE, async || {
            witness.sessions(&site).await == 0
        })
        .await;
    }
}

/// What is dropped just when it is granted is free for the next one who asks.
pub(crate) async fn try_after_a_dropped_acquire_is_granted(site: Site) {
    let locker = site.locker().await;
    let lock = locker.lock("k");
    for n in 0..300_u64 {
        let _ = timeout(Duration::from_micros(n * 7 % 1500), lock.acquire()).await;
        let guard = lock.try_acquire().await.unwrap();
        guard.expect("nobody has it").release().await.unwrap();
    }
}

/// A grant that meets its caller's going has no holder, whose terms would keep the key.
pub(crate) async fn never_leaves_a_min_hold(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let mut cancelled = 0;
    for n in 0..120_u64 {
        let lock = ours.lock(n).min_hold(Duration::from_secs(60));
        let patience = Duration::from_micros(n * 37 % 2500);
        let gone = if n % 2 == 0 {
            timeout(patience, lock.acquire()).await.is_err()
        } else {
            // The answer comes, and is not looked at before its caller goes.
            let mut asking = pin!(lock.acquire());
            let asked = asking.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            sleep(patience).await;
            asked.is_pending()
        };
        if gone {
            cancelled += 1;
            let next = theirs.lock(n).timeout(PATIENCE).acquire().await;
            next.unwrap_or_else(|error| panic!("round {n}: {error}")).release().await.unwrap();
        }
    }
    assert!(cancelled >= 40);
}
