//! What leases cost the server.

use std::time::Duration;

use dlock::{LeaseOptions, Locker};
use dlock_tests::{Proxy, Site, tabulate};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

pub(crate) async fn acquire_and_release_are_a_round_trip_each(site: Site) {
    let proxy = Proxy::to(&site.url).await;
    let locker = site.through(proxy.url()).locker().await;
    let rival = site.locker().await;
    let lock = locker.lock("k");
    for _ in 0..10 {
        let before = proxy.round_trips();
        let guard = lock.try_acquire().await.unwrap().unwrap();
        assert_eq!(proxy.round_trips() - before, 1);
        guard.release().await.unwrap();
        assert_eq!(proxy.round_trips() - before, 2);
        let theirs = rival.lock("k").acquire().await.unwrap();
        assert!(lock.try_acquire().await.unwrap().is_none());
        assert_eq!(proxy.round_trips() - before, 3, "refused in one, too");
        theirs.release().await.unwrap();
    }
}

/// Statements are counted by the server: an update, and a select that says what it came to.
pub(crate) async fn thousand_leases_are_renewed_in_one_round_trip(site: Site) {
    const ROUNDS: u64 = 4;
    let pause = Duration::from_secs(1);
    let proxy = Proxy::to(&site.url).await;
    let lease = LeaseOptions::new().ttl(3 * pause);
    let locker = Locker::builder(proxy.url()).lease_options(lease).connect().await.unwrap();
    let mut taking = JoinSet::new();
    for key in 0..1000 {
        let lock = locker.lock(key);
        taking.spawn(async move { lock.acquire().await.unwrap() });
    }
    let guards = taking.join_all().await;
    let (began, before) = (Instant::now(), proxy.round_trips());
    sleep(pause * u32::try_from(ROUNDS).unwrap() + pause / 2).await;
    let (took, asked) = (began.elapsed(), proxy.round_trips() - before);
    // A machine that stands still makes fewer rounds, and none makes more.
    assert!((1..=took.as_secs() + 1).contains(&asked), "{asked} round trips in {took:?}");
    assert!(guards.iter().all(|guard| !guard.is_lost()));
    let backend = site.backend.unwrap();
    tabulate(&format!("{backend}: 1,000 leases are renewed by 1 packet each third of the ttl"));
    locker.close().await;
}
