//! Time to live, renewal, the least time a lock is held.

use std::time::{Duration, Instant};

use dlock::LeaseOptions;
use dlock_tests::{Site, eventually_async, taker};
use tokio::time::sleep;

use crate::rows::Rows;

const MS: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);
/// What comes at all has come by then.
const SOON: Duration = Duration::from_secs(15);

pub(crate) async fn ttl_is_the_lockers_or_the_locks_own(site: Site) {
    let locker = site.ttl(MINUTE).locker().await;
    let mut rows = Rows::of(&site).await;
    let guard = locker.lock("k").acquire().await.unwrap();
    let left = rows.row(&locker, "k").await.left;
    assert!((30_000.0..=60_100.0).contains(&left), "{left}");
    guard.release().await.unwrap();
    assert!(!rows.row(&locker, "k").await.is_held());
    let guard = locker.lock("k").ttl(10 * MINUTE).acquire().await.unwrap();
    let left = rows.row(&locker, "k").await.left;
    assert!((570_000.0..=600_100.0).contains(&left), "{left}");
    drop(guard);
}

pub(crate) async fn ttl_for_ever_ends_with_the_release(site: Site) {
    let locker = site.ttl(2 * Duration::from_secs(1)).locker().await;
    let mut rows = Rows::of(&site).await;
    let guard = locker.lock("k").ttl(Duration::MAX).acquire().await.unwrap();
    let hundred_years = 100.0 * 365.0 * 86_400_000.0;
    assert!(rows.row(&locker, "k").await.left > hundred_years);
    guard.verify().await.unwrap();
    guard.release().await.unwrap();
    assert!(!rows.row(&locker, "k").await.is_held());
    // The next one's is its own again.
    let guard = locker.lock("k").acquire().await.unwrap();
    assert!(rows.row(&locker, "k").await.left <= 2100.0);
    drop(guard);
}

pub(crate) async fn ttl_for_ever_outlasts_its_process(site: Site) {
    let site = site.ttl(2 * Duration::from_secs(1));
    let mut holder = taker!(site, "hold", "k", "ttl=max", "owner=ada");
    holder.says("waits").await;
    assert!(holder.line().await.starts_with("held"));
    holder.kill();
    sleep(3 * Duration::from_secs(1)).await;
    let locker = site.locker().await;
    assert!(locker.lock("k").try_acquire().await.unwrap().is_none());
    let before = Rows::of(&site).await.row(&locker, "k").await.fence;
    // Who has its name has its lease.
    let guard = locker.lock("k").owner("ada").ttl(Duration::MAX).try_acquire().await.unwrap();
    let guard = guard.expect("it is its own");
    assert_eq!(guard.fence().map(|fence| fence as i64), Some(before + 1));
    guard.release().await.unwrap();
    assert!(locker.lock("k").try_acquire().await.unwrap().is_some());
}

/// Between two renewals of a default locker, this one has several.
pub(crate) async fn renew_before_says_when(site: Site) {
    let lease = LeaseOptions::new().ttl(MINUTE).renew_before(MINUTE - 500 * MS);
    let locker = site.builder().lease_options(lease).connect().await.unwrap();
    let mut rows = Rows::of(&site).await;
    let _guard = locker.lock("k").acquire().await.unwrap();
    let began = Instant::now();
    let mut end = async || {
        let end = rows.row(&locker, "k").await.left;
        end + began.elapsed().as_secs_f64() * 1000.0
    };
    for _ in 0..3 {
        let before = end().await;
        eventually_async("it is renewed", SOON, async || end().await > before + 100.0).await;
    }
}

pub(crate) async fn renewals_that_fail_are_survived(site: Site) {
    let locker = site.ttl(6 * Duration::from_secs(1)).locker().await;
    let mut rows = Rows::of(&site).await;
    let guard = locker.lock("k").acquire().await.unwrap();
    rows.lock(&locker, "k").await;
    // The first renewal comes after two seconds.
    sleep(Duration::from_millis(3500)).await;
    rows.unlock().await;
    sleep(4 * Duration::from_secs(1)).await;
    guard.verify().await.unwrap();
    guard.release().await.unwrap();
}

pub(crate) async fn min_hold_keeps_others_out_after_the_release(site: Site) {
    let (locker, other) = (site.locker().await, site.locker().await);
    let mut rows = Rows::of(&site).await;
    let lock = locker.lock("k").min_hold(MINUTE);
    let guard = lock.acquire().await.unwrap();
    // It does not wait for the end of that time.
    tokio::time::timeout(SOON, guard.release()).await.unwrap().unwrap();
    assert!(rows.row(&locker, "k").await.left > 40_000.0);
    assert!(other.lock("k").try_acquire().await.unwrap().is_none());
    assert!(lock.try_acquire().await.unwrap().is_none(), "not here either");

    let guard = locker.lock("short").min_hold(700 * MS).acquire().await.unwrap();
    let held = dlock_tests::clock::now();
    guard.release().await.unwrap();
    let here = async {
        let _guard = locker.lock("short").timeout(SOON).acquire().await.unwrap();
        dlock_tests::clock::now()
    };
    let there = async {
        let _guard = other.lock("short").timeout(SOON).acquire().await.unwrap();
        dlock_tests::clock::now()
    };
    let (here, there) = tokio::join!(here, there);
    // It was granted a little before we knew.
    for next in [here, there] {
        assert!(next - held > 600_000_000, "after {} ms", (next - held) / 1_000_000);
    }
}

pub(crate) async fn min_hold_outlasts_its_process(site: Site) {
    let site = site.ttl(Duration::from_secs(1));
    let mut holder = taker!(site, "hold", "k", "min_hold=60000");
    holder.says("waits").await;
    assert!(holder.line().await.starts_with("held"));
    holder.kill();
    sleep(2 * Duration::from_secs(1)).await;
    let locker = site.locker().await;
    assert!(locker.lock("k").try_acquire().await.unwrap().is_none());
    assert!(Rows::of(&site).await.row(&locker, "k").await.left > 30_000.0);
}

pub(crate) async fn min_hold_outlasts_its_locker(site: Site) {
    let (locker, other) = (site.locker().await, site.locker().await);
    let lock = locker.lock("held").min_hold(MINUTE);
    let held = lock.acquire().await.unwrap();
    locker.lock("released").min_hold(MINUTE).acquire().await.unwrap().release().await.unwrap();
    let plain = locker.lock("plain").acquire().await.unwrap();
    drop(lock);
    locker.close().await;
    let mut rows = Rows::of(&site).await;
    for key in ["held", "released"] {
        assert!(rows.row(&other, key).await.left > 40_000.0, "{key}");
        assert!(other.lock(key).try_acquire().await.unwrap().is_none(), "{key}");
    }
    assert!(other.lock("plain").try_acquire().await.unwrap().is_some());
    assert!(held.is_lost() && plain.is_lost());
}

pub(crate) async fn switched_off_it_asks_nobody(site: Site) {
    let locker = site.locker().await;
    let guard = locker.lock("k").acquire().await.unwrap();
    let fence = guard.fence().unwrap() as i64;
    let mut other = taker!(site, "disabled", "k");
    other.says("granted None").await;
    guard.release().await.unwrap();
    assert_eq!(Rows::of(&site).await.row(&locker, "k").await.fence, fence);
}
