//! Locks that nobody else is to have for a while.

use std::time::{Duration, Instant};

use dlock::LostReason;
use dlock_tests::{Backend, Site};

const HOLD: Duration = Duration::from_secs(2);
const PATIENT: Duration = Duration::from_secs(20);

/// Neither another process nor another task of this one.
pub(crate) async fn release_returns_and_others_wait(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    for next in [&theirs, &ours] {
        let asked = Instant::now();
        let guard = ours.lock("k").min_hold(HOLD).timeout(PATIENT).acquire().await.unwrap();
        let released = Instant::now();
        guard.release().await.unwrap();
        assert!(released.elapsed() < HOLD / 2, "it took {:?}", released.elapsed());
        assert!(next.lock("k").try_acquire().await.unwrap().is_none());
        let guard = next.lock("k").timeout(PATIENT).acquire().await.unwrap();
        assert!(asked.elapsed() >= HOLD, "only after {:?}", asked.elapsed());
        guard.release().await.unwrap();
    }
}

/// What has been held so long already is free at once.
pub(crate) async fn later_release_frees_at_once(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let guard = ours.lock("k").min_hold(Duration::from_millis(100)).acquire().await.unwrap();
    tokio::time::sleep(Duration::from_millis(150)).await;
    guard.release().await.unwrap();
    theirs.lock("k").try_acquire().await.unwrap().expect("it is free").release().await.unwrap();
}

/// A session lock goes with its session, a lease stays for its time.
pub(crate) async fn closed_locker_keeps_leases_only(site: Site) {
    let leases = site.backend.is_some_and(Backend::is_lease);
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let asked = Instant::now();
    let lock = ours.lock("k").min_hold(Duration::from_secs(2));
    lock.acquire().await.unwrap().release().await.unwrap();
    ours.close().await;
    let guard = theirs.lock("k").timeout(PATIENT).acquire().await.unwrap();
    assert_eq!(asked.elapsed() >= Duration::from_secs(2), leases, "after {:?}", asked.elapsed());
    guard.release().await.unwrap();
    // Who had it had let go of it.
    let again = theirs.lock("k").min_hold(HOLD).acquire().await.unwrap();
    let lost = again.lost();
    drop(again);
    theirs.close().await;
    let lost = tokio::time::timeout(Duration::from_millis(100), lost).await;
    assert!(!lost.is_ok_and(|lost| lost.reason != LostReason::Closed));
}
