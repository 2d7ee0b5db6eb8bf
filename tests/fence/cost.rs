//! What tokens cost.

use std::time::Duration;

use dlock_tests::{Backend, Proxy, Site, Witness, eventually_async, in_time};

use crate::counter::Counter;

const SOON: Duration = Duration::from_secs(5);

pub(crate) async fn acquire_and_release_are_a_round_trip_each(site: Site) {
    let proxy = Proxy::to(&site.url).await;
    let locker = site.through(proxy.url()).locker().await;
    let lock = locker.lock("k").fenced();
    // The first time, the table is looked for, and statements are prepared.
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
    // Those who come together go together.
    let locks: Vec<_> = (0..20).map(|n| locker.lock(format!("many {n}")).fenced()).collect();
    let before = proxy.round_trips();
    let taking = locks.into_iter().map(|lock| tokio::spawn(async move { lock.acquire().await }));
    for taking in taking.collect::<Vec<_>>() {
        let _guard = taking.await.unwrap().unwrap();
    }
    let trips = proxy.round_trips() - before;
    assert!(trips < 30, "{trips} round trips for 20 locks");
}

/// And with others beside them, two.
pub(crate) async fn fenced_locks_alone_need_one_connection(site: Site) {
    let locker = site.locker().await;
    let mut witness = Witness::at(&site.url).await;
    let mut guards = Vec::new();
    for n in 0..20 {
        guards.push(locker.lock(n).fenced().acquire().await.unwrap());
    }
    assert_eq!(witness.sessions(&site).await, 1);
    for n in 20..40 {
        guards.push(locker.lock(n).acquire().await.unwrap());
        guards.push(locker.lock(n + 20).fenced().acquire().await.unwrap());
    }
    assert_eq!(witness.locks(&site).await, 60);
    assert_eq!(witness.sessions(&site).await, 2);
    drop(guards);
    eventually_async("all are free", SOON, async || witness.locks(&site).await == 0).await;
}

/// They go out in a few statements.
pub(crate) async fn thousand_keys_are_taken_together(site: Site) {
    let locker = site.locker().await;
    let mut witness = Witness::at(&site.url).await;
    let mut before = std::collections::HashMap::new();
    for _ in 0..2 {
        let mut taking = tokio::task::JoinSet::new();
        for key in 0..1000 {
            let lock = locker.lock(key).fenced();
            taking.spawn(async move { lock.acquire().await.unwrap() });
        }
        let guards = taking.join_all().await;
        for guard in &guards {
            let token = guard.fence().unwrap();
            let last = before.insert(guard.key().clone(), token);
            assert!(last.is_none_or(|last| token == last + 1), "{token} after {last:?}");
        }
        assert_eq!(witness.locks(&site).await, 1000);
        assert_eq!(witness.sessions(&site).await, 1);
        drop(guards);
        eventually_async("all are free", SOON, async || witness.locks(&site).await == 0).await;
    }
}

/// A transaction that keeps a row of the table keeps no plain lock from anybody.
pub(crate) async fn write_that_waits_stops_no_other_key(site: Site) {
    let counter = Counter::new(&site);
    let locker = counter.locker(&site).await;
    let first = locker.lock("k").fenced().acquire().await.unwrap();
    let token = first.fence().unwrap();
    first.release().await.unwrap();
    let held = locker.lock("held").acquire().await.unwrap();
    let mut keeper = Witness::at(&site.url).await;
    keeper
        .run(&format!(
            "BEGIN; UPDATE {} SET acquired_at = acquired_at, fence = fence + 0, owner = 'x'",
            counter.name
        ))
        .await;
    let lock = locker.lock("k").fenced().timeout(Duration::from_secs(20));
    let waiting = tokio::spawn(async move { lock.acquire().await });
    let mut witness = Witness::at(&site.url).await;
    if site.backend.is_some_and(Backend::is_postgres) {
        let stuck = "SELECT count(*) FROM pg_stat_activity \
            WHERE application_name = $1 AND wait_event_type = 'Lock'";
        let waits = async || witness.number(stuck, &site).await == 1;
        eventually_async("the write waits", SOON, waits).await;
    } else {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for _ in 0..20 {
        let lock = locker.lock("plain");
        let plain = in_time("a plain lock", SOON, lock.acquire()).await.unwrap();
        plain.release().await.unwrap();
    }
    in_time("the server's word", SOON, held.verify()).await.unwrap();
    assert!(!waiting.is_finished());
    keeper.run("ROLLBACK").await;
    assert!(waiting.await.unwrap().unwrap().fence().unwrap() > token);
}
