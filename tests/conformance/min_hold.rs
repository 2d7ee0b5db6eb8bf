//! Locks that nobody else is to have for a while.

use std::time::{Duration, Instant};

use dlock::{Error, Locker, LostReason, locked};
use dlock_tests::{Site, in_time, on_a_thread};
use tokio::time::timeout;

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

/// A lease is kept by its row, a session lock by whoever closes. Who had it had let go of it.
pub(crate) async fn close_keeps_what_is_left_of_it(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let asked = Instant::now();
    let guard = ours.lock("k").min_hold(HOLD).acquire().await.unwrap();
    let lost = guard.lost();
    guard.release().await.unwrap();
    let held = ours.lock("held").min_hold(HOLD).acquire().await.unwrap();
    let closing = tokio::spawn(ours.close());
    // Whoever still had one knows at once that it is lost, and nobody else has it yet.
    assert_eq!(in_time("the loss", PATIENT, held.lost()).await.reason, LostReason::Closed);
    for key in ["k", "held"] {
        let next = theirs.lock(key).timeout(PATIENT).acquire().await.unwrap();
        assert!(asked.elapsed() >= HOLD, "{key} after {:?}", asked.elapsed());
        next.release().await.unwrap();
    }
    in_time("the end of closing", PATIENT, closing).await.unwrap();
    assert!(timeout(Duration::from_millis(100), lost).await.is_err());
}

/// As long as the process lives.
pub(crate) async fn last_handle_keeps_what_is_left_of_it(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let asked = Instant::now();
    let guard = ours.lock("k").min_hold(HOLD).acquire().await.unwrap();
    drop(ours);
    on_a_thread(move || drop(guard));
    let next = theirs.lock("k").timeout(PATIENT).acquire().await.unwrap();
    assert!(asked.elapsed() >= HOLD, "after {:?}", asked.elapsed());
    next.release().await.unwrap();
}

#[locked(keys = ["a", "b"], locker = locker, timeout = 0, min_hold = 20)]
async fn both(locker: &Locker) -> Result<(), Error> {
    panic!("one of them is taken");
}

/// Nobody has held them.
pub(crate) async fn keys_that_were_not_had_together_are_free(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    for (taken, free) in [("a", "b"), ("b", "a")] {
        let held = theirs.lock(taken).acquire().await.unwrap();
        assert!(both(&ours).await.unwrap_err().is_timeout());
        let next = theirs.lock(free).timeout(PATIENT).acquire().await.unwrap();
        next.release().await.unwrap();
        held.release().await.unwrap();
    }
}
