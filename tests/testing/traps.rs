//! What the page on testing warns of is true.

use std::time::Duration;

use dlock::Locker;
use dlock::testing::Locker as TestLocker;
use tokio::time::{Instant, timeout};

async fn is_free(dlock: &TestLocker) -> bool {
    dlock.lock("k").try_acquire().await.unwrap().is_some()
}

#[tokio::test]
async fn guard_in_a_condition_is_gone_in_the_block() {
    let dlock = TestLocker::new();
    let lock = dlock.lock("k");
    if lock.try_acquire().await.unwrap().is_some() {
        assert!(is_free(&dlock).await);
    }
    if let Some(_guard) = lock.try_acquire().await.unwrap() {
        assert!(!is_free(&dlock).await);
    }
}

#[tokio::test]
async fn underscore_keeps_nothing() {
    let dlock = TestLocker::new();
    let _ = dlock.lock("k").acquire().await.unwrap();
    assert!(is_free(&dlock).await);
    let _ = dlock.install_scoped();
    assert!(dlock::registry::default().is_err());
    let _guard = dlock.lock("k").acquire().await.unwrap();
    assert!(!is_free(&dlock).await);
}

/// A real engine answers from another thread, and a paused clock does not wait for that.
#[tokio::test(start_paused = true)]
async fn paused_clock_is_too_fast_for_a_real_engine() {
    let locker = Locker::connect("memory:paused").await.unwrap();
    let mut late = 0;
    for _ in 0..50 {
        let lock = locker.lock("k");
        late += u32::from(timeout(Duration::from_secs(3600), lock.acquire()).await.is_err());
    }
    assert!(late > 0, "an hour was always enough");
    // And the other way round: what the lock itself waits is real.
    let held = locker.lock("held").acquire().await.unwrap();
    let (real, paused) = (std::time::Instant::now(), Instant::now());
    let lock = locker.lock("held").timeout(Duration::from_millis(100));
    assert!(lock.acquire().await.unwrap_err().is_timeout());
    assert!(real.elapsed() >= Duration::from_millis(100));
    assert!(paused.elapsed() < Duration::from_millis(100));
    held.release().await.unwrap();
}

#[tokio::test]
async fn what_is_spawned_does_not_run_under_the_lock() {
    let dlock = TestLocker::new();
    let lock = dlock.lock("k");
    let spawned = lock.run(async |_| tokio::spawn(async { dlock::assert_locked!("k") }).await);
    assert!(spawned.await.unwrap().unwrap_err().is_panic());
}
