//! Fencing tokens.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dlock::Error;
use dlock_tests::{Backend, Site};
use tokio::task::JoinSet;

const PATIENT: Duration = Duration::from_secs(20);

/// Whoever it is granted to, at once or after a wait.
pub(crate) async fn token_grows_with_each_grant(site: Site) {
    let (one, two) = (site.locker().await, site.locker().await);
    let mut last = 0;
    for round in 0..12 {
        let (ours, theirs) = if round % 2 == 0 { (&one, &two) } else { (&two, &one) };
        let guard = match round % 3 {
            0 => ours.lock("k").fenced().try_acquire().await.unwrap().unwrap(),
            1 => ours.lock("k").fenced().acquire().await.unwrap(),
            _ => {
                let held = theirs.lock("k").fenced().acquire().await.unwrap();
                let token = held.fence().unwrap();
                assert!(token > last, "{token} after {last}");
                last = token;
                let lock = ours.lock("k").fenced().timeout(PATIENT);
                let waiting = tokio::spawn(async move { lock.acquire().await.unwrap() });
                tokio::time::sleep(Duration::from_millis(30)).await;
                held.release().await.unwrap();
                waiting.await.unwrap()
            }
        };
        let token = guard.fence().unwrap();
        assert!(token > last, "{token} after {last}");
        last = token;
        guard.release().await.unwrap();
    }
    // Each key counts for itself.
    let other = one.lock("other").fenced().acquire().await.unwrap();
    let first = other.fence().unwrap();
    other.release().await.unwrap();
    let other = two.lock("other").fenced().acquire().await.unwrap();
    assert_eq!(other.fence(), Some(first + 1));
}

/// Who takes it from a task of the same process has a token of their own.
pub(crate) async fn token_is_fresh_at_each_hand_off(site: Site) {
    let locker = site.locker().await;
    let tokens = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = JoinSet::new();
    for _ in 0..40 {
        let (lock, tokens) = (locker.lock("k").fenced().timeout(PATIENT), Arc::clone(&tokens));
        tasks.spawn(async move {
            let guard = lock.acquire().await.unwrap();
            tokens.lock().unwrap().push(guard.fence().unwrap());
        });
    }
    tasks.join_all().await;
    let tokens = tokens.lock().unwrap();
    assert_eq!(tokens.len(), 40);
    assert!(tokens.is_sorted_by(|earlier, later| earlier < later), "{tokens:?}");
}

/// Each gets what it asked for, whoever had the lock before.
pub(crate) async fn fenced_and_plain_callers_share_a_key(site: Site) {
    let locker = site.locker().await;
    let leases = site.backend.is_some_and(Backend::is_lease);
    let tokens = Arc::new(Mutex::new(Vec::new()));
    let held = locker.lock("k").acquire().await.unwrap();
    assert_eq!(held.fence().is_some(), leases);
    let mut tasks = JoinSet::new();
    for n in 0..24 {
        let lock = locker.lock("k").timeout(PATIENT);
        let fenced = n % 3 != 0;
        let lock = if fenced { lock.fenced() } else { lock };
        let tokens = Arc::clone(&tokens);
        tasks.spawn(async move {
            let guard = lock.acquire().await.unwrap();
            assert_eq!(guard.fence().is_some(), fenced || leases);
            tokens.lock().unwrap().extend(guard.fence());
        });
    }
    held.release().await.unwrap();
    tasks.join_all().await;
    let tokens = tokens.lock().unwrap();
    assert_eq!(tokens.len(), if leases { 24 } else { 16 });
    assert!(tokens.is_sorted_by(|earlier, later| earlier < later), "{tokens:?}");
}

/// However few connections there may be.
pub(crate) async fn one_connection_is_enough(site: Site) {
    for sessions in [1, 2] {
        let ours = site.builder().max_sessions(sessions).connect().await.unwrap();
        let theirs = site.builder().max_sessions(sessions).connect().await.unwrap();
        let plain = ours.lock("plain").acquire().await.unwrap();
        let guard = ours.lock("k").fenced().acquire().await.unwrap();
        let other = ours.lock("other").fenced().acquire().await.unwrap();
        let lock = theirs.lock("k").fenced().timeout(PATIENT);
        let waiting = tokio::spawn(async move { lock.acquire().await.unwrap() });
        tokio::time::sleep(Duration::from_millis(50)).await;
        let token = guard.fence().unwrap();
        for guard in [guard, other, plain] {
            guard.release().await.unwrap();
        }
        assert!(waiting.await.unwrap().fence().unwrap() > token);
    }
}

pub(crate) async fn token_of_several_holders_makes_no_sense(site: Site) {
    let locker = site.locker().await;
    let error = locker.lock("k").fenced().shared().acquire().await.unwrap_err();
    let shared = site.backend.is_some_and(Backend::is_sharing);
    assert!(
        matches!(&error, Error::Config { .. } if shared)
            || matches!(&error, Error::Unsupported { .. } if !shared),
        "{error}"
    );
}

/// A caller that goes while its token is drawn leaves the lock to the next one.
pub(crate) async fn dropped_acquire_leaves_nothing(site: Site) {
    let locker = site.locker().await;
    let lock = locker.lock("k").fenced();
    for _ in 0..60 {
        let hurried = Duration::from_micros(fastrand::u64(0..3000));
        let taking = tokio::time::timeout(hurried, lock.acquire()).await;
        drop(taking.map(Result::unwrap));
    }
    lock.acquire().await.unwrap().release().await.unwrap();
    let other = site.locker().await;
    other.lock("k").fenced().timeout(PATIENT).acquire().await.unwrap().release().await.unwrap();
}
