//! Sync code, with a runtime and without one.

use std::thread;
use std::time::{Duration, Instant};

use dlock::testing::Locker;
use dlock::testing::What::{Refused, Released, Taken, Waited};
use dlock::{Result, locked};

#[locked(key = "user:<id>", timeout = 10)]
fn rename(id: i64) -> Result<i64> {
    Ok(id)
}

#[locked(key = "short", timeout = "50ms")]
fn short() -> Result<()> {
    Ok(())
}

#[test]
fn sync_code_needs_no_runtime() {
    let dlock = Locker::new();
    let _default = dlock.install_scoped();
    assert_eq!(rename(7).unwrap(), 7);
    dlock.busy("short");
    let began = Instant::now();
    assert!(short().unwrap_err().is_timeout());
    let waited = began.elapsed();
    assert!((50..5000).contains(&waited.as_millis()), "{waited:?}");
    assert_eq!(
        dlock.history(),
        [(Taken, "user:7"), (Released, "user:7"), (Waited, "short"), (Refused, "short")]
    );
}

#[test]
fn waits_are_skipped_on_demand() {
    let dlock = Locker::new();
    let _default = dlock.install_scoped();
    dlock.busy("user:7");
    dlock.skip_waits(true);
    let began = Instant::now();
    let error = rename(7).unwrap_err();
    assert!(
        matches!(error, dlock::Error::Timeout { waited, .. } if waited == Duration::from_secs(10)),
        "{error:?}"
    );
    assert!(began.elapsed() < Duration::from_secs(5));
    // The locker's clock has moved on.
    assert!(dlock.history().last().unwrap().at >= Duration::from_secs(10));
}

#[test]
fn other_thread_frees_what_this_one_waits_for() {
    let dlock = Locker::new();
    let _default = dlock.install_scoped();
    dlock.busy("user:7");
    let other = dlock.clone();
    let freeing = thread::spawn(move || {
        while other.history().is_empty() {
            thread::yield_now();
        }
        other.free("user:7");
    });
    rename(7).unwrap();
    freeing.join().unwrap();
}

/// A blocked thread cannot move the paused clock: its wait takes real time.
#[tokio::test(start_paused = true)]
async fn blocking_wait_ends_under_a_paused_clock() {
    let dlock = Locker::new();
    let _default = dlock.install_scoped();
    assert_eq!(rename(7).unwrap(), 7);
    dlock.busy("short");
    let began = Instant::now();
    assert!(short().unwrap_err().is_timeout());
    let waited = began.elapsed();
    assert!((50..5000).contains(&waited.as_millis()), "{waited:?}");
    let refused = tokio::task::spawn_blocking(short).await.unwrap();
    assert!(refused.unwrap_err().is_timeout());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocking_calls_work_on_workers() {
    let dlock = Locker::new();
    let _default = dlock.install_scoped();
    dlock.busy("short");
    let on_worker = tokio::spawn(async { short() }).await.unwrap();
    assert!(on_worker.unwrap_err().is_timeout());
    let beside = tokio::task::spawn_blocking(short).await.unwrap();
    assert!(beside.unwrap_err().is_timeout());
    dlock.free("short");
    tokio::spawn(async { short() }).await.unwrap().unwrap();
}
