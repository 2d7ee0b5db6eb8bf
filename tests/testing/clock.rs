//! Whose time it is.

use std::time::Duration;

use dlock::testing::Locker;
use tokio::time::{Instant, sleep, timeout};

const LONG: Duration = Duration::from_secs(3600);

/// tokio moves a paused clock on when nothing runs: an answer that came from another thread would be
/// too late for this.
#[tokio::test(start_paused = true)]
async fn answer_comes_before_the_paused_clock_moves_on() {
    let dlock = Locker::new();
    for _ in 0..200 {
        let taken = timeout(Duration::from_millis(1), dlock.lock("k").acquire()).await;
        taken.expect("no time has passed").unwrap().release().await.unwrap();
        timeout(Duration::from_millis(1), dlock.ping()).await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn callers_own_timeout_counts_too() {
    let dlock = Locker::new();
    dlock.busy("k");
    let began = Instant::now();
    let late = timeout(Duration::from_secs(2), dlock.lock("k").timeout(LONG).acquire()).await;
    assert!(late.is_err());
    assert_eq!(began.elapsed().as_secs(), 2);
    // Nobody waits any more.
    dlock.free("k");
    assert!(dlock.lock("k").try_acquire().await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn delay_takes_the_time_it_takes() {
    let dlock = Locker::new();
    dlock.delay(Duration::from_secs(2));
    let began = Instant::now();
    let guard = dlock.lock("k").acquire().await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 2);
    guard.release().await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 4);
    let late = dlock.lock("k").timeout(Duration::from_secs(1)).acquire().await.unwrap_err();
    assert!(matches!(late, dlock::Error::Unavailable { .. }), "{late:?}");
    assert_eq!(began.elapsed().as_secs(), 5);
    dlock.delay(Duration::ZERO);
    sleep(Duration::from_secs(5)).await;
    // What was late is not held.
    assert!(dlock.lock("k").try_acquire().await.unwrap().is_some());
    assert_eq!(began.elapsed().as_secs(), 10);
}

/// Without a paused clock, time is real, and `advance` adds to it.
#[tokio::test]
async fn advance_ends_waits() {
    let dlock = Locker::new();
    dlock.busy("k");
    let locker = dlock.locker();
    let waiting = tokio::spawn(async move { locker.lock("k").timeout(LONG).acquire().await });
    while dlock.history().is_empty() {
        tokio::task::yield_now().await;
    }
    dlock.advance(LONG / 2);
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    dlock.advance(LONG / 2);
    assert!(waiting.await.unwrap().unwrap_err().is_timeout());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_time_passes_on_a_runtime_with_workers() {
    let dlock = Locker::new();
    dlock.busy("k");
    let began = std::time::Instant::now();
    let short = Duration::from_millis(50);
    let locker = dlock.locker();
    let waiting = tokio::spawn(async move { locker.lock("k").timeout(short).acquire().await });
    assert!(waiting.await.unwrap().unwrap_err().is_timeout());
    assert!(began.elapsed() >= short);
}

/// The locker outlives the runtime whose clock it has followed.
#[test]
fn clock_goes_on_after_its_runtime() {
    let dlock = Locker::new();
    dlock.busy("k");
    for _ in 0..3 {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let refused = runtime.unwrap().block_on(dlock.lock("k").timeout(LONG).acquire());
        assert!(refused.unwrap_err().is_timeout());
    }
    let refused = dlock.lock("k").timeout(Duration::from_millis(30)).acquire_blocking();
    assert!(refused.unwrap_err().is_timeout());
    // It has never gone back.
    let at: Vec<_> = dlock.history().into_iter().map(|event| event.at).collect();
    assert!(at.is_sorted() && *at.last().unwrap() >= LONG * 3, "{at:?}");
}

#[test]
fn runtime_without_timers_is_enough() {
    let dlock = Locker::new();
    dlock.busy("k");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let wait = Duration::from_millis(30);
    let refused = runtime.block_on(dlock.lock("k").timeout(wait).acquire());
    assert!(refused.unwrap_err().is_timeout());
}

#[test]
fn other_executor_is_enough() {
    let dlock = Locker::new();
    dlock.busy("k");
    let wait = Duration::from_millis(30);
    let lock = dlock.lock("k").timeout(wait);
    let began = std::time::Instant::now();
    let refused = crate::poll_to_end(lock.acquire());
    assert!(refused.unwrap_err().is_timeout());
    assert!(began.elapsed() >= wait);
}

/// What a guard says of its time is by the test's clock, too.
#[tokio::test(start_paused = true)]
async fn guards_time_is_by_the_clock_of_the_test() {
    let dlock = Locker::new();
    let ttl = Duration::from_secs(30);
    let renewed = dlock.lock("renewed").ttl(ttl).acquire().await.unwrap();
    let guard = dlock.lock("k").ttl(ttl).auto_renew(false).acquire().await.unwrap();
    assert_eq!((renewed.valid_for(), guard.valid_for()), (ttl, ttl));
    sleep(Duration::from_secs(10)).await;
    dlock.advance(Duration::from_secs(5));
    assert_eq!(guard.valid_for().as_secs(), 15);
    assert_eq!(renewed.valid_for(), ttl);
    assert_eq!(dlock.lose("k"), 1);
    assert_eq!(guard.valid_for(), Duration::ZERO);
    let error = guard.release().await.unwrap_err();
    let dlock::Error::Lost { held_for, .. } = error else { panic!("{error:?}") };
    assert_eq!(held_for.as_secs(), 15);
}
