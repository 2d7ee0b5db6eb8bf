//! Once in a period.

use std::time::{Duration, Instant};

use dlock::{Error, Stage};
use dlock_tests::Site;

const DAY: Duration = Duration::from_secs(86_400);

/// Whether this is what they get who come too early.
fn is_done(error: &Error) -> bool {
    matches!(error, Error::Timeout { stage: Stage::Done, holder: None, .. })
}

pub(crate) async fn success_keeps_it_over_the_end_of_the_locker(site: Site) {
    let locker = site.locker().await;
    let lock = locker.lock("k").once_per(DAY);
    let guard = lock.acquire().await.unwrap();
    guard.complete().await.unwrap();
    for timeout in [Duration::ZERO, Duration::from_millis(100)] {
        // In this process, and then in any other.
        let error = lock.clone().timeout(timeout).acquire().await.unwrap_err();
        assert!(is_done(&error), "{error}");
        assert!(error.to_string().contains("done already in this period"), "{error}");
    }
    assert!(lock.try_acquire().await.unwrap().is_none());
    locker.close().await;
    let other = site.locker().await;
    let lock = other.lock("k").once_per(DAY).timeout(Duration::ZERO);
    assert!(is_done(&lock.acquire().await.unwrap_err()));
    // Without the period it is as taken: the row says so.
    assert!(other.lock("k").try_acquire().await.unwrap().is_none());
}

pub(crate) async fn failure_frees_it(site: Site) {
    let (one, two) = (site.locker().await, site.locker().await);
    for by_drop in [true, false] {
        let guard = one.lock("k").once_per(DAY).acquire().await.unwrap();
        let busy = two.lock("k").once_per(DAY).timeout(Duration::ZERO).acquire().await.unwrap_err();
        assert!(busy.is_timeout() && !is_done(&busy), "somebody is at it: {busy}");
        if by_drop {
            drop(guard)
        } else {
            guard.release().await.unwrap()
        }
        two.lock("k").acquire().await.unwrap().release().await.unwrap();
    }
}

pub(crate) async fn next_period_begins_with_the_grant(site: Site) {
    const PERIOD: Duration = Duration::from_secs(2);
    let (one, two) = (site.locker().await, site.locker().await);
    let mut fence = 0;
    for locker in [&one, &two, &one] {
        let guard = locker.lock("k").once_per(PERIOD).acquire().await.unwrap();
        // By the server's clock, which may have been read some time ago.
        let granted = Instant::now();
        let next = guard.fence().unwrap();
        assert!(next > fence);
        fence = next;
        guard.complete().await.unwrap();
        let guard = two.lock("k").acquire().await.unwrap();
        let after = granted.elapsed();
        assert!(after > PERIOD - Duration::from_millis(500), "{after:?}");
        guard.release().await.unwrap();
    }
}

pub(crate) async fn period_is_refused_where_it_makes_no_sense(site: Site) {
    let locker = site.locker().await;
    for period in [Duration::ZERO, 400 * DAY] {
        let error = locker.lock("k").once_per(period).acquire().await.unwrap_err();
        assert!(matches!(error, Error::Config { .. }), "{error}");
    }
    let sessions = dlock::Locker::connect("memory:once").await.unwrap();
    let error = sessions.lock("k").once_per(DAY).acquire().await.unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    assert!(error.to_string().contains("lease+"), "{error}");
}
