//! How long an acquire waits: exactly as long as it was told.

use std::time::{Duration, Instant};

use dlock::{Error, Guard, Result, Wait};
use dlock_tests::{Site, in_time};
use tokio::time::sleep;

const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// A wait must never be too short. That it is too long can be the machine's fault, but not each time.
async fn assert_lasts(least: u64, most: u64, wait: impl AsyncFn() -> Result<Guard>) {
    for attempt in 1.. {
        let start = Instant::now();
        let error = wait().await.unwrap_err();
        let took = start.elapsed();
        let Error::Timeout { waited, .. } = &error else { panic!("{error}") };
        assert!(took >= Duration::from_millis(least), "it took only {took:?}");
        assert!(*waited <= took && *waited >= Duration::from_millis(least), "{waited:?}, {took:?}");
        if took <= Duration::from_millis(most) {
            return;
        }
        assert!(attempt < 10, "it took {took:?}, more than {most} ms");
    }
}

pub(crate) async fn timeout_is_exact(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let _held = theirs.lock("k").acquire().await.unwrap();
    let lock = ours.lock("k").timeout(Duration::from_millis(300));
    assert_lasts(300, 450, async || lock.acquire().await).await;
    // That is how long connecting may take as well, and the machine may be busy.
    let mut default = Err(Error::Closed);
    for _ in 0..10 {
        if default.is_err() {
            default = site.builder().timeout(Duration::from_millis(300)).connect().await;
        }
    }
    let default = default.unwrap();
    assert_lasts(300, 450, async || default.lock("k").acquire().await).await;
}

pub(crate) async fn timeout_is_exact_within_one_client(site: Site) {
    let locker = site.locker().await;
    let _held = locker.lock("k").acquire().await.unwrap();
    let lock = locker.lock("k").timeout(Duration::from_millis(300));
    assert_lasts(300, 450, async || lock.acquire().await).await;
}

pub(crate) async fn timeout_is_exact_behind_a_patient_one(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let held = theirs.lock("k").acquire().await.unwrap();
    let patient = tokio::spawn({
        let lock = ours.lock("k");
        async move { lock.acquire().await }
    });
    sleep(Duration::from_millis(50)).await;
    let lock = ours.lock("k").timeout(Duration::from_millis(300));
    assert_lasts(300, 450, async || lock.acquire().await).await;
    assert!(!patient.is_finished());
    held.release().await.unwrap();
    drop(in_time("the patient one", Duration::from_secs(5), patient).await.unwrap().unwrap());
}

pub(crate) async fn timeout_of_zero_is_one_try(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let held = theirs.lock("k").acquire().await.unwrap();
    for wait in [Duration::ZERO.into(), Wait::For(Duration::ZERO), Wait::NoWait] {
        let lock = ours.lock("k").timeout(wait);
        assert_lasts(0, 200, async || lock.acquire().await).await;
    }
    held.release().await.unwrap();
    ours.lock("k").timeout(Duration::ZERO).acquire().await.unwrap().release().await.unwrap();
}

pub(crate) async fn timeout_of_a_century_is_forever(site: Site) {
    assert_eq!(Wait::from(CENTURY), Wait::Forever);
    assert_eq!(Wait::from(Duration::MAX), Wait::Forever);
    let less = CENTURY - Duration::from_nanos(1);
    assert_eq!(Wait::from(less), Wait::For(less));
    // Times too long for some clock on the way still wait, and end when the lock is free.
    let (ours, theirs) = (site.locker().await, site.locker().await);
    for wait in [CENTURY.into(), less.into(), Wait::Forever, Wait::For(Duration::MAX)] {
        let held = theirs.lock("k").acquire().await.unwrap();
        let lock = ours.lock("k").timeout(wait);
        let waiting = tokio::spawn(async move { lock.acquire().await });
        sleep(Duration::from_millis(100)).await;
        assert!(!waiting.is_finished(), "{wait:?}");
        held.release().await.unwrap();
        let guard = in_time("the lock", Duration::from_secs(5), waiting).await.unwrap();
        guard.unwrap().release().await.unwrap();
    }
}

pub(crate) async fn waiter_gets_the_lock_soon_after_release(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    for attempt in 1.. {
        let held = theirs.lock("k").acquire().await.unwrap();
        let lock = ours.lock("k");
        let waiting =
            tokio::spawn(async move { lock.acquire().await.map(|g| (g, Instant::now())) });
        sleep(Duration::from_millis(200)).await;
        let released = Instant::now();
        held.release().await.unwrap();
        let (guard, granted) = waiting.await.unwrap().unwrap();
        guard.release().await.unwrap();
        let took = granted - released;
        if took < Duration::from_millis(100) {
            return;
        }
        assert!(attempt < 10, "the waiter had to wait for {took:?}");
    }
}

pub(crate) async fn waiters_of_all_clients_get_their_turn(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let held = ours.lock("k").acquire().await.unwrap();
    let mut waiting = tokio::task::JoinSet::new();
    for locker in [&ours, &theirs].into_iter().cycle().take(20) {
        let lock = locker.lock("k").timeout(Duration::from_secs(10));
        waiting.spawn(async move { lock.acquire().await.unwrap().release().await.unwrap() });
    }
    sleep(Duration::from_millis(100)).await;
    held.release().await.unwrap();
    in_time("everybody's turn", Duration::from_secs(10), waiting.join_all()).await;
}
