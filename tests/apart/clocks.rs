//! Waits under a clock of tokio's that a test has paused.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::thread;
use std::time::{Duration, Instant};

use dlock::{Error, Locker};
use tokio::runtime::Handle;

/// How late a busy machine may be.
const SLACK: Duration = Duration::from_secs(5);

/// The engine has a thread and a clock of its own: a wait takes the time that it says.
#[tokio::test(start_paused = true)]
async fn wait_takes_real_time_beside_a_paused_clock() {
    let locker = Locker::connect("memory:paused-beside").await.unwrap();
    let held = locker.lock("k").acquire().await.unwrap();
    // However far the two clocks are apart.
    for moved in [0, 100, 10_000] {
        tokio::time::advance(Duration::from_secs(moved)).await;
        let asked = Instant::now();
        let wait = Duration::from_millis(300);
        let late = locker.lock("k").timeout(wait).acquire().await.unwrap_err();
        let Error::Timeout { waited, .. } = late else { panic!("{late}") };
        let took = asked.elapsed();
        assert!(took >= wait && took < wait + SLACK, "{moved}: {took:?}");
        assert!(waited >= wait && waited <= took, "{moved}: {waited:?} of {took:?}");
        // A single try is answered at once, and several keys are.
        assert!(locker.lock("k").try_acquire().await.unwrap().is_none());
        assert!(locker.lock_all(["j", "k"]).timeout(wait).acquire().await.is_err());
        assert!(asked.elapsed() < 3 * wait + SLACK, "{moved}: {:?}", asked.elapsed());
    }
    held.release().await.unwrap();
}

/// The same while real time passes and the paused clock stands still.
#[tokio::test(start_paused = true)]
async fn wait_takes_no_longer_because_a_clock_stands_still() {
    let locker = Locker::connect("memory:paused-still").await.unwrap();
    let held = locker.lock("k").acquire().await.unwrap();
    thread::sleep(Duration::from_millis(500));
    let asked = Instant::now();
    let wait = Duration::from_millis(200);
    assert!(locker.lock("k").timeout(wait).acquire().await.unwrap_err().is_timeout());
    assert!((wait..wait + SLACK).contains(&asked.elapsed()), "{:?}", asked.elapsed());
    held.release().await.unwrap();
}

/// An engine on the runtime of the test has its clock: waits end in its time.
#[tokio::test(start_paused = true)]
async fn wait_follows_the_paused_clock_of_the_engines_runtime() {
    let builder = Locker::builder("memory:paused-inside").runtime(Handle::current());
    let locker = builder.connect().await.unwrap();
    let held = locker.lock("k").acquire().await.unwrap();
    let (real, virtual_) = (Instant::now(), tokio::time::Instant::now());
    let hour = Duration::from_secs(3600);
    let late = locker.lock("k").timeout(hour).acquire().await.unwrap_err();
    let Error::Timeout { waited, .. } = late else { panic!("{late}") };
    assert!(real.elapsed() < SLACK, "{:?}", real.elapsed());
    // What has passed in truth until the call came to the engine counts as well.
    assert!(waited >= hour && virtual_.elapsed() + SLACK >= hour, "{waited:?}");
    // A release is in time for one who waits.
    let next = locker.lock("k").timeout(hour);
    let waiting = tokio::spawn(async move { next.acquire().await });
    tokio::time::sleep(Duration::from_secs(60)).await;
    held.release().await.unwrap();
    waiting.await.unwrap().unwrap().release().await.unwrap();
}
