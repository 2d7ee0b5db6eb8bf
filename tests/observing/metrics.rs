//! Metrics: what is counted, by which labels, and that gauges return to 0.

use std::collections::BTreeSet;
use std::time::Duration;

use dlock::{LeaseOptions, Locker, Mode};
use dlock_tests::{Backend, Proxy, Site, eventually, in_time};

use crate::prometheus::{gauges, page, record, samples, sum};

const SOON: Duration = Duration::from_secs(20);
const TTL: Duration = Duration::from_millis(600);

/// Everything of this locker is back at 0, though something was counted.
async fn all_is_zero(locker: &str) {
    assert!(!gauges(locker).is_empty());
    let zero = || gauges(locker).iter().all(|gauge| gauge.value == 0.0);
    eventually(&format!("all is 0: {:?}", gauges(locker)), SOON, zero).await;
}

pub(crate) async fn count_how_calls_end(site: Site) {
    record();
    let name = &site.namespace;
    let locker = site.locker().await;
    let lock = locker.lock("k").label("kind").timeout(Duration::from_millis(100));
    let guard = lock.acquire().await.unwrap();
    assert_eq!(sum(name, "dlock_held", &[]), 1.0);
    assert_eq!(sum(name, "dlock_waiting", &[]), 0.0);
    assert!(lock.try_acquire().await.unwrap().is_none());
    assert!(lock.acquire().await.unwrap_err().is_timeout());
    let patient = lock.clone().timeout(SOON);
    let waiting = tokio::spawn(async move { patient.acquire().await });
    eventually("one waits", SOON, || sum(name, "dlock_waiting", &[]) == 1.0).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    guard.release().await.unwrap();
    in_time("the lock", SOON, waiting).await.unwrap().unwrap().release().await.unwrap();
    lock.clone().permits(0).acquire().await.unwrap_err();
    lock.run(async |_| lock.acquire().await.unwrap_err()).await.unwrap();

    let ended = |outcome| sum(name, "dlock_acquire_duration_count", &[("outcome", outcome)]);
    let outcomes = ["granted", "busy", "timeout", "lost", "error"].map(ended);
    assert_eq!(outcomes, [3.0, 1.0, 1.0, 0.0, 2.0]);
    assert!(sum(name, "dlock_acquire_duration_sum", &[("outcome", "timeout")]) >= 0.1);
    assert_eq!(sum(name, "dlock_hold_duration_count", &[]), 3.0);
    assert!(sum(name, "dlock_hold_duration_sum", &[]) >= 0.02);
    let backend = site.url.split(':').next().unwrap();
    let labels = [("backend", backend), ("lock", "kind"), ("mode", "exclusive")];
    assert_eq!(sum(name, "dlock_hold_duration_count", &labels), 3.0, "{:?}", samples(name));
    all_is_zero(name).await;
}

pub(crate) async fn gauges_return_to_zero(site: Site) {
    record();
    let name = &site.namespace.clone();
    let site = if site.backend.unwrap().is_lease() { site.ttl(TTL) } else { site };
    let (locker, other) = (site.locker().await, site.named("other").locker().await);
    // Dropped, in several ways.
    drop(locker.lock("dropped").acquire().await.unwrap());
    drop(locker.lock_all(["a", "b", "c"]).acquire().await.unwrap());
    assert!(
        tokio::spawn({
            let lock = locker.lock("panics");
            async move { lock.run(async |_| panic!("of the body")).await }
        })
        .await
        .is_err()
    );
    let permits = locker.lock("p").permits(3);
    drop([permits.acquire().await.unwrap(), permits.acquire().await.unwrap()]);
    all_is_zero(name).await;
    // Cancelled, at any moment.
    let held = other.lock("k").acquire().await.unwrap();
    for n in 0..30 {
        let lock = locker.lock("k");
        let waits = tokio::time::timeout(Duration::from_millis(n % 7), lock.acquire());
        assert!(waits.await.is_err());
        let lock = locker.lock(n);
        drop(tokio::time::timeout(Duration::from_micros(100 * n), lock.acquire()).await);
    }
    held.release().await.unwrap();
    all_is_zero(name).await;
    // Lost.
    let guard = locker.lock("lost").acquire().await.unwrap();
    assert!(other.break_lock("lost").await.unwrap());
    if site.backend == Some(Backend::Memory) {
        guard.verify().await.unwrap_err();
    }
    in_time("the loss", SOON, guard.lost()).await;
    all_is_zero(name).await;
    assert!(guard.release().await.unwrap_err().is_lost());
    // By a `break_lock` a session ends with all that it holds: nothing else was held.
    eventually("it is counted", SOON, || sum(name, "dlock_lost", &[]) == 1.0).await;
    all_is_zero(name).await;
    // Closed, while one waits, one is held and one is leaked.
    let guard = locker.lock("closed").acquire().await.unwrap();
    locker.lock("leaked").acquire().await.unwrap().leak();
    assert_eq!(sum(name, "dlock_held", &[]), 2.0);
    let held = other.lock("k").acquire().await.unwrap();
    let waiting = tokio::spawn({
        let lock = locker.lock("k");
        async move { lock.acquire().await.unwrap_err() }
    });
    eventually("one waits", SOON, || sum(name, "dlock_waiting", &[]) == 1.0).await;
    locker.close().await;
    in_time("an answer", SOON, waiting).await.unwrap();
    all_is_zero_but(name, 1.0).await;
    assert!(guard.is_lost());
    let closed = || sum(name, "dlock_lost", &[("reason", "closed")]) == 2.0;
    eventually("both are counted", SOON, closed).await;
    held.release().await.unwrap();
    other.close().await;
    all_is_zero(name).await;
    let closed = || samples(name).iter().all(|s| s.name != "dlock_sessions" || s.value == 0.0);
    eventually("no connection is open", SOON, closed).await;
}

/// Locks of the other locker, which has the same name, are held.
async fn all_is_zero_but(locker: &str, held: f64) {
    let is = || sum(locker, "dlock_held", &[]) == held && sum(locker, "dlock_waiting", &[]) == 0.0;
    eventually("nothing else is counted", SOON, is).await;
}

pub(crate) async fn gauges_follow_a_change_of_mode(site: Site) {
    record();
    let name = &site.namespace;
    let locker = site.locker().await;
    let held = |mode: Mode| sum(name, "dlock_held", &[("mode", &mode.to_string())]);
    let mut guard = locker.lock("k").shared().acquire().await.unwrap();
    assert_eq!((held(Mode::Shared), held(Mode::Exclusive)), (1.0, 0.0));
    guard.upgrade().await.unwrap();
    assert_eq!((held(Mode::Shared), held(Mode::Exclusive)), (0.0, 1.0));
    guard.release().await.unwrap();
    all_is_zero(name).await;
}

/// Connections, and how long the server takes to confirm that they hold what they hold.
pub(crate) async fn count_sessions_and_renewals(site: Site) {
    record();
    let name = &site.namespace;
    let ttl = if site.backend.unwrap().is_lease() { TTL } else { Duration::from_secs(1) };
    let locker = site.ttl(ttl).locker().await;
    let guard = locker.lock("k").acquire().await.unwrap();
    assert!(sum(name, "dlock_sessions", &[("state", "open")]) >= 1.0);
    let renewed = || sum(name, "dlock_renew_duration_count", &[]) >= 2.0;
    eventually("it is renewed", SOON, renewed).await;
    guard.release().await.unwrap();
    locker.close().await;
    let closed = || samples(name).iter().all(|s| s.name != "dlock_sessions" || s.value == 0.0);
    eventually("no connection is open", SOON, closed).await;
}

/// The server does not answer any more: what was let go is not known to be released.
pub(crate) async fn count_releases_that_fail(site: Site) {
    record();
    let name = &site.namespace;
    let proxy = Proxy::to(&site.url).await;
    let site = site.through(proxy.url()).ttl(Duration::from_secs(1));
    let locker = site.locker().await;
    let awaited = locker.lock("awaited").acquire().await.unwrap();
    let dropped = locker.lock("dropped").acquire().await.unwrap();
    proxy.go_silent();
    drop(dropped);
    assert!(in_time("an answer", SOON, awaited.release()).await.is_err());
    let failed = || sum(name, "dlock_release_failed", &[]) == 2.0;
    eventually("both have failed", SOON, failed).await;
    assert_eq!(sum(name, "dlock_lost", &[]), 0.0);
    all_is_zero(name).await;
}

/// Many keys of one kind are one series each.
pub(crate) async fn have_few_series_for_many_keys(site: Site) {
    record();
    let name = &site.namespace;
    let locker = site.locker().await;
    for part in 0..10_u32 {
        let keys = part * 1000..(part + 1) * 1000;
        let guard = locker.lock_all(keys).label("kind").acquire().await.unwrap();
        assert_eq!(sum(name, "dlock_held", &[]), 1000.0);
        guard.release().await.unwrap();
    }
    assert_eq!(sum(name, "dlock_acquire_duration_count", &[("lock", "kind")]), 10_000.0);
    few_series(name, "kind");
    all_is_zero(name).await;
}

#[dlock::locked(key = "user:<id>", locker = locker)]
async fn template(locker: &Locker, id: u32) -> dlock::Result<()> {
    Ok(())
}

pub(crate) async fn have_one_series_for_a_template(site: Site) {
    record();
    let locker = site.locker().await;
    for id in 0..10_000 {
        template(&locker, id).await.unwrap();
    }
    few_series(&site.namespace, "user:<id>");
}

fn few_series(locker: &str, label: &str) {
    let samples = samples(locker);
    let labels: BTreeSet<_> =
        samples.iter().filter_map(|sample| sample.labels.get("lock")).collect();
    assert_eq!(labels.into_iter().collect::<Vec<_>>(), [label]);
    // Two histograms of four lines and a sum, two gauges, and those of connections.
    assert!(samples.len() < 24, "{} series", samples.len());
}

/// A lease that is not renewed runs out.
pub(crate) async fn tell_why_locks_are_lost(site: Site) {
    record();
    let leases = LeaseOptions::new().ttl(TTL);
    let locker = site.builder().lease_options(leases).connect().await.unwrap();
    let guard = locker.lock("k").auto_renew(false).acquire().await.unwrap();
    in_time("its end", SOON, guard.lost()).await;
    let expired = || sum(&site.namespace, "dlock_lost", &[("reason", "expired")]) == 1.0;
    eventually("it is counted", SOON, expired).await;
    drop(guard);
    all_is_zero(&site.namespace).await;
}

#[tokio::test]
async fn are_described() {
    record();
    let locker = Locker::connect("memory:described").await.unwrap();
    locker.lock("k").acquire().await.unwrap().release().await.unwrap();
    let page = page();
    for name in ["acquire_duration", "hold_duration", "held", "waiting", "sessions"] {
        assert!(page.contains(&format!("# HELP dlock_{name} ")), "{name} in {page}");
    }
}
