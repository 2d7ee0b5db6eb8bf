//! Who holds a lease.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use dlock_tests::{Signal, Site, eventually_async, taker};
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

/// Those who look at the table, or wait in vain, read who it is.
pub(crate) async fn token_says_which_process_it_is(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let guard = ours.lock("k").acquire().await.unwrap();
    let owner = Rows::of(&site).await.row(&ours, "k").await.owner;
    let process = format!("{}@", site.name);
    assert!(owner.starts_with(&process), "{owner}");
    assert!(owner.contains(&format!(":{}/", std::process::id())), "{owner}");
    let who = format!("owner {owner}, fence {}", guard.fence().unwrap());
    let native = ours.explain("k").native;
    let status = theirs.status().await.unwrap();
    let status = status.into_iter().find(|status| status.native == native).unwrap();
    assert_eq!(status.holders[0].who, who);
    assert_eq!(status.holders[0].data, None);
    eventually_async("the holder is named", SOON, async || {
        let waited = theirs.lock("k").timeout(Duration::from_millis(50)).acquire().await;
        waited.unwrap_err().to_string().contains(&*who)
    })
    .await;
    guard.release().await.unwrap();
}

pub(crate) async fn data_are_shown_while_it_is_held(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let said = format!("{{\"page\": 7}}\n'é' {}", "x".repeat(100 - 17));
    assert_eq!(said.len(), 100);
    let of_this = async |locker: &dlock::Locker| {
        let native = locker.explain("k").native;
        let status = locker.status().await.unwrap();
        status.into_iter().find(|status| status.native == native).map(|status| status.holders)
    };
    let lock = ours.lock("k").data(&*said).timeout(SOON);
    let guard = lock.acquire().await.unwrap();
    for locker in [&ours, &theirs] {
        let holders = of_this(locker).await.unwrap();
        assert_eq!(holders[0].data.as_deref(), Some(&*said));
        assert!(!holders[0].who.contains("page") && !holders[0].to_string().contains('\n'));
        assert!(holders[0].to_string().contains("page"), "{}", holders[0]);
    }
    eventually_async("they are in the error", SOON, async || {
        let waited = theirs.lock("k").timeout(Duration::from_millis(50)).acquire().await;
        waited.unwrap_err().to_string().contains("page")
    })
    .await;
    guard.verify().await.unwrap();
    // The next holder of this process has its own.
    let next = ours.lock("k").data("next").timeout(SOON);
    let next = tokio::spawn(async move { next.acquire().await.unwrap() });
    eventually_async("it waits", SOON, async || {
        let seen = ours.status().await.unwrap();
        seen.iter().any(|status| !status.waiters.is_empty())
    })
    .await;
    guard.release().await.unwrap();
    let next = next.await.unwrap();
    let data = of_this(&theirs).await.unwrap()[0].data.clone();
    assert_eq!(data.as_deref(), Some("next"));
    next.release().await.unwrap();
    let after = lock.acquire().await.unwrap();
    assert_eq!(of_this(&theirs).await.unwrap()[0].data.as_deref(), Some(&*said));
    // It ends like any other.
    assert!(theirs.break_lock("k").await.unwrap());
    assert!(after.verify().await.unwrap_err().is_lost());
}
