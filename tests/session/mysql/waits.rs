//! Waits: their end, and what they leave behind.

use std::time::{Duration, Instant};

use dlock_tests::{Site, Witness, eventually_async, in_time, once_within};
use tokio::time::sleep;

const SOON: Duration = Duration::from_secs(10);

/// MySQL counts in whole seconds.
pub(crate) async fn are_exact_below_a_second(site: Site) {
    let theirs = site.named("theirs").locker().await;
    let ours = site.locker().await;
    let held = theirs.lock("k").acquire().await.unwrap();
    for millis in [300, 40, 1, 1400, 500, 999, 1001] {
        let time = Duration::from_millis(millis);
        once_within(time + Duration::from_millis(450), async || {
            let start = Instant::now();
            let error = ours.lock("k").timeout(time).acquire().await.unwrap_err();
            let took = start.elapsed();
            assert!(error.is_timeout(), "{error}");
            assert!(took >= time, "{took:?} instead of {time:?}");
            took
        })
        .await;
    }
    held.release().await.unwrap();
}

pub(crate) async fn cancelled_wait_frees_its_place(site: Site) {
    let theirs = site.named("theirs").locker().await;
    let gone = site.named("gone");
    let leaving = gone.locker().await;
    let ours = site.locker().await;
    let mut witness = Witness::at(&site.url).await;
    for _ in 0..5 {
        let held = theirs.lock("k").acquire().await.unwrap();
        let lock = leaving.lock("k");
        let first = tokio::spawn(async move { lock.acquire().await });
        eventually_async("the first waits", SOON, async || witness.waits(&gone).await == 1).await;
        let lock = ours.lock("k");
        let second = tokio::spawn(async move { lock.acquire().await });
        eventually_async("the second waits", SOON, async || witness.waits(&site).await == 1).await;
        first.abort();
        eventually_async("the first has gone", SOON, async || witness.waits(&gone).await == 0)
            .await;
        held.release().await.unwrap();
        let guard = in_time("the lock", SOON, second).await.unwrap().unwrap();
        assert_eq!(witness.locks(&gone).await, 0);
        guard.release().await.unwrap();
    }
}

/// The order to stop may reach the server before the wait that it is about.
pub(crate) async fn cancelled_at_any_moment_leave_no_place_taken(site: Site) {
    let theirs = site.named("theirs").locker().await;
    let ours = site.locker().await;
    let mut witness = Witness::at(&site.url).await;
    let held = theirs.lock("k").acquire().await.unwrap();
    for _ in 0..300 {
        let lock = ours.lock("k");
        let soon = Duration::from_micros(fastrand::u64(0..2000));
        assert!(tokio::time::timeout(soon, lock.acquire()).await.is_err());
        eventually_async("nobody waits", SOON, async || witness.waits(&site).await == 0).await;
    }
    held.release().await.unwrap();
}

/// What somebody's `KILL QUERY` ends is begun again, and never taken for a grant.
pub(crate) async fn stopped_from_outside_go_on(site: Site) {
    let theirs = site.named("theirs").locker().await;
    let ours = site.locker().await;
    let mut witness = Witness::at(&site.url).await;
    let held = theirs.lock("k").acquire().await.unwrap();
    let waiting = tokio::spawn(async move { ours.lock("k").acquire().await });
    let id = "SELECT CAST(MAX(id) AS SIGNED) FROM information_schema.processlist \
              WHERE state = 'User lock' AND db = ?";
    for _ in 0..5 {
        eventually_async("it waits", SOON, async || witness.waits(&site).await == 1).await;
        let id = witness.number(id, &site).await;
        witness.run(&format!("KILL QUERY {id}")).await;
        sleep(Duration::from_millis(100)).await;
        assert!(!waiting.is_finished());
        assert_eq!(witness.locks(&site).await, 0);
    }
    held.release().await.unwrap();
    let guard = in_time("the lock", SOON, waiting).await.unwrap().unwrap();
    assert_eq!(witness.locks(&site).await, 1);
    guard.release().await.unwrap();
}
