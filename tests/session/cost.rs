//! What locks cost the server.

use std::time::{Duration, Instant};

use dlock::Key;
use dlock_tests::{Backend, Proxy, Site, Witness, eventually_async, is_about};
use tokio::task::JoinSet;
use tokio::time::sleep;

const SOON: Duration = Duration::from_secs(5);

pub(crate) async fn acquire_and_release_are_a_round_trip_each(site: Site) {
    let proxy = Proxy::to(&site.url).await;
    let locker = site.through(proxy.url()).locker().await;
    let pair = locker.lock(Key::pair(fastrand::i32(..), fastrand::i32(..)));
    let mut locks = vec![locker.lock("k"), pair.clone()];
    if site.backend.is_some_and(Backend::is_postgres) {
        locks.extend([locker.lock("k").shared(), pair.shared()]);
    }
    for lock in locks {
        // The first time, the statement is prepared.
        lock.acquire().await.unwrap().release().await.unwrap();
        for _ in 0..10 {
            let before = proxy.round_trips();
            let guard = lock.acquire().await.unwrap();
            assert_eq!(proxy.round_trips() - before, 1);
            guard.release().await.unwrap();
            assert_eq!(proxy.round_trips() - before, 2);
            let guard = lock.try_acquire().await.unwrap().unwrap();
            guard.release().await.unwrap();
            assert_eq!(proxy.round_trips() - before, 4);
        }
    }
    assert_eq!(Witness::at(&site.url).await.sessions(&site).await, 1);
}

pub(crate) async fn keys_taken_together_are_one_round_trip(site: Site) {
    let proxy = Proxy::to(&site.url).await;
    let locker = site.through(proxy.url()).locker().await;
    let all = locker.lock_all(0..50);
    all.acquire().await.unwrap().release().await.unwrap();
    for _ in 0..5 {
        let before = proxy.round_trips();
        let guard = all.acquire().await.unwrap();
        assert_eq!(proxy.round_trips() - before, 1);
        guard.release().await.unwrap();
        assert_eq!(proxy.round_trips() - before, 2);
    }
}

pub(crate) async fn hundred_waiting_tasks_cost_one_connection_and_no_statement(site: Site) {
    let theirs = site.named("theirs").locker().await;
    let proxy = Proxy::to(&site.url).await;
    let ours = site.through(proxy.url()).locker().await;
    let mut witness = Witness::at(&site.url).await;
    let held = theirs.lock("k").acquire().await.unwrap();
    let before = witness.sessions(&site).await;
    let mut waiting = JoinSet::new();
    for _ in 0..100 {
        let lock = ours.lock("k").timeout(Duration::from_secs(20));
        waiting.spawn(async move { lock.acquire().await.unwrap().release().await.unwrap() });
    }
    eventually_async("the client waits", SOON, async || witness.waits(&site).await == 1).await;
    // What was asked with the first try has had its answer.
    sleep(Duration::from_millis(300)).await;
    assert_eq!(witness.sessions(&site).await, before + 1);
    let (round_trips, connections) = (proxy.round_trips(), proxy.connections());
    sleep(Duration::from_secs(2)).await;
    assert_eq!(proxy.round_trips(), round_trips);
    assert_eq!(proxy.connections(), connections);
    assert_eq!(witness.sessions(&site).await, before + 1);
    held.release().await.unwrap();
    waiting.join_all().await;
    assert!(witness.sessions(&site).await <= before + 1);
}

pub(crate) async fn thousand_keys_are_held_on_one_connection(site: Site) {
    let locker = site.locker().await;
    let mut witness = Witness::at(&site.url).await;
    let mut taking = JoinSet::new();
    for key in 0..1000 {
        let lock = locker.lock(key);
        taking.spawn(async move { lock.acquire().await.unwrap() });
    }
    let guards = taking.join_all().await;
    assert_eq!(witness.locks(&site).await, 1000);
    assert_eq!(witness.sessions(&site).await, 1);
    drop(guards);
    eventually_async("all are free", SOON, async || witness.locks(&site).await == 0).await;
    assert_eq!(witness.sessions(&site).await, 1);
}

/// A key that is taken is said to be taken, however many are.
pub(crate) async fn thousand_that_time_out_at_once_are_all_told_so(site: Site) {
    let theirs = site.named("theirs").locker().await;
    let ours = site.locker().await;
    let held = theirs.lock_all(0..1000).acquire().await.unwrap();
    let mut waiting = JoinSet::new();
    for key in 0..1000 {
        let lock = ours.lock(key).timeout(Duration::from_secs(2));
        waiting.spawn(async move { lock.acquire().await.map(drop) });
    }
    sleep(Duration::from_millis(1950)).await;
    let asked = Instant::now();
    ours.lock("free").acquire().await.unwrap().release().await.unwrap();
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    for answer in waiting.join_all().await {
        let error = answer.unwrap_err();
        assert!(error.is_timeout(), "{error}");
    }
    held.release().await.unwrap();
}

/// One more is told so at once; what is held or wanted already is not one more.
pub(crate) async fn max_keys_is_respected(site: Site) {
    let locker = site.builder().max_keys(3).connect().await.unwrap();
    let mut held = Vec::new();
    for key in 0..3 {
        held.push(locker.lock(key).acquire().await.unwrap());
    }
    let before = Instant::now();
    for one_too_many in [locker.lock(3), locker.lock(4).timeout(SOON)] {
        let error = one_too_many.acquire().await.unwrap_err();
        assert!(error.is_retryable(), "{error:?}");
        is_about(&error, one_too_many.key().as_str().unwrap());
        for word in ["3 keys", "max_keys"] {
            assert!(error.to_string().contains(word), "{error}");
        }
        let setting = error.to_string().contains("max_locks_per_transaction");
        assert_eq!(setting, site.backend.is_some_and(Backend::is_postgres), "{error}");
    }
    // Some of several are no more than that.
    let several = locker.lock_all([3, 4]).acquire().await.unwrap_err();
    assert!(several.is_retryable(), "{several:?}");
    assert!(before.elapsed() < SOON);
    assert!(locker.lock(0).try_acquire().await.unwrap().is_none());
    assert_eq!(Witness::at(&site.url).await.locks(&site).await, 3);
    held.pop().unwrap().release().await.unwrap();
    locker.lock(3).acquire().await.unwrap().release().await.unwrap();
    let none = site.builder().max_keys(0).connect().await.unwrap_err();
    assert!(none.to_string().contains("max_keys"), "{none}");
}

pub(crate) async fn max_sessions_is_respected(site: Site) {
    let theirs = site.named("theirs").locker().await;
    let ours = site.builder().max_sessions(3).connect().await.unwrap();
    let mut witness = Witness::at(&site.url).await;
    let mut held = Vec::new();
    for key in 0..30 {
        held.push(theirs.lock(key).acquire().await.unwrap());
    }
    let mut waiting = JoinSet::new();
    for key in 0..30 {
        let lock = ours.lock(key).timeout(Duration::from_secs(20));
        waiting.spawn(async move { lock.acquire().await.unwrap() });
    }
    for _ in 0..20 {
        assert!(witness.sessions(&site).await <= 3);
        sleep(Duration::from_millis(20)).await;
    }
    assert!(waiting.try_join_next().is_none());
    drop(held);
    let guards = waiting.join_all().await;
    assert_eq!(witness.locks(&site).await, 30);
    assert!(witness.sessions(&site).await <= 3);
    drop(guards);
    eventually_async("all are free", SOON, async || witness.locks(&site).await == 0).await;
    // With one session there is nothing to wait on, and it still works.
    let single = site.builder().max_sessions(1).connect().await.unwrap();
    let guard = theirs.lock(0).acquire().await.unwrap();
    let waiting = tokio::spawn(async move { single.lock(0).timeout(SOON).acquire().await });
    sleep(Duration::from_millis(100)).await;
    guard.release().await.unwrap();
    drop(waiting.await.unwrap().unwrap());
}

pub(crate) async fn closed_locker_leaves_no_connection(site: Site) {
    let theirs = site.named("theirs").locker().await;
    let mut witness = Witness::at(&site.url).await;
    for how in ["close", "drop"] {
        let ours = site.locker().await;
        let held = theirs.lock("held").acquire().await.unwrap();
        let guard = ours.lock("k").acquire().await.unwrap();
        let lock = ours.lock("held");
        let waiting = tokio::spawn(async move { lock.acquire().await.map(drop) });
        eventually_async("it waits", SOON, async || witness.waits(&site).await == 1).await;
        if how == "close" {
            ours.close().await;
            assert_eq!(witness.locks(&site).await, 0);
            assert!(waiting.await.unwrap().is_err());
        } else {
            waiting.abort();
            drop((ours, guard));
        }
        let gone = async || witness.sessions(&site).await == 0;
        eventually_async("no connection is left", SOON, gone).await;
        held.release().await.unwrap();
    }
}

/// Callers who give up sooner than a connection takes do not keep those after them from having one.
pub(crate) async fn connecting_longer_than_anybody_waits(site: Site) {
    let theirs = site.named("theirs").locker().await;
    let proxy = Proxy::to(&site.url).await;
    let ours = site.through(proxy.url()).locker().await;
    let before = proxy.connections();
    proxy.delay_connections(Duration::from_millis(200));
    let held = theirs.lock("k").acquire().await.unwrap();
    let hurried = ours.lock("k").timeout(Duration::from_millis(50));
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        assert!(hurried.acquire().await.unwrap_err().is_timeout());
    }
    held.release().await.unwrap();
    let got = async || hurried.acquire().await.is_ok();
    eventually_async("a hurried one has the lock", SOON, got).await;
    // One session to wait on, one for the search of holders, and each time what it takes to find
    // out whether anybody listens.
    let connections = proxy.connections() - before;
    assert!(connections <= 4, "{connections} connections were made");
}
