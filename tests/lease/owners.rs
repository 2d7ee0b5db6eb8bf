//! Who holds a lease.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use dlock_tests::{Signal, Site, taker};
use tokio::task::JoinSet;

use crate::rows::Rows;

const SOON: Duration = Duration::from_secs(15);
const MINUTE: Duration = Duration::from_secs(60);

pub(crate) async fn named_one_gets_its_own_lease_back(site: Site) {
    let site = site.ttl(MINUTE);
    let mut holder = taker!(site, "hold", "k", "owner=ada");
    holder.says("waits").await;
    assert!(holder.line().await.starts_with("held"));
    let locker = site.locker().await;
    let row = Rows::of(&site).await.row(&locker, "k").await;
    assert_eq!(row.owner, "ada");
    holder.kill();
    for other in [locker.lock("k"), locker.lock("k").owner("eve")] {
        assert!(other.try_acquire().await.unwrap().is_none());
    }
    let guard = locker.lock("k").owner("ada").timeout(SOON).acquire().await.unwrap();
    assert_eq!(guard.fence().map(|fence| fence as i64), Some(row.fence + 1));
    guard.release().await.unwrap();
}

/// It must not go on working when it comes back.
pub(crate) async fn earlier_one_of_the_name_is_told(site: Site) {
    let site = site.ttl(3 * Duration::from_secs(1));
    let mut earlier = taker!(site, "hold", "k", "owner=ada");
    earlier.says("waits").await;
    assert!(earlier.line().await.starts_with("held"));
    earlier.signal(Signal::STOP);
    let locker = site.locker().await;
    let guard = locker.lock("k").owner("ada").acquire().await.unwrap();
    earlier.signal(Signal::CONT);
    let told = earlier.line().await;
    assert!(told.starts_with("lost: "), "{told}");
    guard.verify().await.unwrap();
    guard.release().await.unwrap();
}

/// Once it is released: a process that was killed finds its own lease again.
pub(crate) async fn min_hold_is_kept_against_the_same_one(site: Site) {
    const HOLD: Duration = Duration::from_secs(2);
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let kept = ours.lock("k").owner("cron").min_hold(HOLD);
    let asked = Instant::now();
    kept.acquire().await.unwrap().release().await.unwrap();
    let again = theirs.lock("k").owner("cron").timeout(SOON);
    drop(again.acquire().await.unwrap());
    assert!(asked.elapsed() >= HOLD, "after {:?}", asked.elapsed());
    // And by the engine that keeps it.
    let asked = Instant::now();
    kept.clone().timeout(SOON).acquire().await.unwrap().release().await.unwrap();
    kept.clone().timeout(SOON).acquire().await.unwrap().release().await.unwrap();
    assert!(asked.elapsed() >= HOLD, "after {:?}", asked.elapsed());
}

pub(crate) async fn without_a_name_each_grant_has_its_own(site: Site) {
    let lockers = [site.locker().await, site.locker().await];
    let mut rows = Rows::of(&site).await;
    let mut owners = HashSet::new();
    for round in 0..6 {
        let locker = &lockers[round % 2];
        let guard = locker.lock("k").acquire().await.unwrap();
        owners.insert(rows.row(locker, "k").await.owner);
        guard.release().await.unwrap();
    }
    assert_eq!(owners.len(), 6);
}

/// Also when it gets the lease from another task of its process.
pub(crate) async fn next_holder_has_its_own(site: Site) {
    let locker = site.ttl(MINUTE).locker().await;
    let mut rows = Rows::of(&site).await;
    let mut owned = JoinSet::new();
    for owner in ["ada", "eve", "ada", "eve"] {
        let lock = locker.lock("k").owner(owner).ttl(10 * MINUTE);
        owned.spawn(async move { (lock.acquire().await.unwrap(), owner) });
    }
    let mut last = 0;
    while let Some(grant) = owned.join_next().await {
        let (guard, owner) = grant.unwrap();
        let row = rows.row(&locker, "k").await;
        assert_eq!(row.owner, owner);
        assert!(row.left > 60_100.0, "{}", row.left);
        assert_eq!(u64::try_from(row.fence).ok(), guard.fence());
        assert!(row.fence > last);
        last = row.fence;
        drop(guard);
    }
}

pub(crate) async fn each_holder_has_a_fence_of_its_own(site: Site) {
    let lockers = [site.locker().await, site.locker().await];
    let mut tasks = JoinSet::new();
    for n in 0..16 {
        let lock = lockers[n % 2].lock("k").timeout(MINUTE);
        tasks.spawn(async move {
            let mut fences = Vec::new();
            for _ in 0..20 {
                let guard = lock.acquire().await.unwrap();
                fences.push(guard.fence().unwrap());
                drop(guard);
            }
            fences
        });
    }
    let each = tasks.join_all().await;
    assert!(each.iter().all(|fences| fences.is_sorted()));
    let all: HashSet<u64> = each.into_iter().flatten().collect();
    assert_eq!(all.len(), 16 * 20);
}
