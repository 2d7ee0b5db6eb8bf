//! What leases cost those who share a database.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dlock_tests::{Backend, Proxy, Site, tabulate};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::rows::Rows;

const TIME: Duration = Duration::from_secs(6);
/// Nobody who asks the whole time waits longer than this for a lease that others pass around.
const STARVED: Duration = Duration::from_secs(5);

/// A process whose tasks want a key without pause leaves it to another one in time.
pub(crate) async fn others_have_theirs(site: Site) {
    let (busy, other) = (site.locker().await, site.locker().await);
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let (lock, stop) = (busy.lock("k"), Arc::clone(&stop));
        tasks.spawn(async move {
            let mut grants = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                drop(lock.acquire().await.unwrap());
                grants += 1;
            }
            grants
        });
    }
    let began = Instant::now();
    let mut waits = Vec::new();
    while began.elapsed() < TIME {
        let asked = Instant::now();
        other.lock("k").acquire().await.unwrap().release().await.unwrap();
        waits.push(asked.elapsed());
        // So that the busy one forgets.
        sleep(Duration::from_millis(fastrand::u64(..100))).await;
    }
    stop.store(true, Ordering::Relaxed);
    let grants: u64 = tasks.join_all().await.into_iter().sum();
    waits.sort();
    let at = |part: usize| waits[(waits.len() - 1) * part / 100].as_secs_f64() * 1000.0;
    tabulate(&format!(
        "turns on {}: another process waits {:.1} ms (p50), {:.1} (p99), {:.1} (most) in {} turns \
         beside 8 tasks with {grants} grants in {} s",
        site.backend.unwrap(),
        at(50),
        at(99),
        at(100),
        waits.len(),
        TIME.as_secs()
    ));
    assert!(waits.last().unwrap() < &STARVED, "{waits:?}");
}

/// However many a process holds, a round of renewals is one statement.
pub(crate) async fn thousand_leases_are_renewed_together(site: Site) {
    const TTL: Duration = Duration::from_secs(9);
    let proxy =
        if site.url.starts_with("sqlite") { None } else { Some(Proxy::to(&site.url).await) };
    let url = proxy.as_ref().map_or(&*site.url, |proxy| proxy.url());
    let locker = site.through(url).ttl(TTL).locker().await;
    let mut taking = JoinSet::new();
    for key in 0..1000 {
        let lock = locker.lock(key);
        taking.spawn(async move { lock.acquire().await.unwrap() });
    }
    let guards = taking.join_all().await;
    let (before, began) = (proxy.as_ref().map(Proxy::round_trips), Instant::now());
    sleep(TTL).await;
    assert!(guards.iter().all(|guard| !guard.is_lost()));
    let mut rows = Rows::of(&site).await;
    assert!(rows.row(&locker, "999").await.is_held());
    if let (Some(proxy), Some(before)) = (&proxy, before) {
        let (asked, time) = (proxy.round_trips() - before, began.elapsed().as_secs_f64());
        tabulate(&format!(
            "renewals on {}: {asked} statements in {time:.1} s for 1000 leases with a ttl of {} s",
            site.backend.unwrap(),
            TTL.as_secs()
        ));
        // A block of Oracle's takes 32,000 bytes, which are the rows of fewer.
        let most = if site.backend == Some(Backend::LeaseOracle) { 30 } else { 5 };
        assert!((2..=most).contains(&asked), "{asked} statements");
    }
}
