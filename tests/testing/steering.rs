//! What a test can have happen.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dlock::testing::What::{Lost, Refused, Released, Taken};
use dlock::testing::{Locker, What};
use dlock::{Error, Mode};
use tokio::time::sleep;

#[tokio::test]
async fn holder_keeps_what_is_busy_afterwards() {
    let dlock = Locker::new();
    let guard = dlock.lock("k").acquire().await.unwrap();
    dlock.busy("k");
    guard.verify().await.unwrap();
    guard.release().await.unwrap();
    assert!(dlock.lock("k").try_acquire().await.unwrap().is_none());
    dlock.free("k");
    assert!(dlock.lock("k").try_acquire().await.unwrap().is_some());
}

#[tokio::test]
async fn loss_is_told_to_all_who_have_the_lock() {
    let dlock = Locker::new();
    let told = Arc::new(AtomicU32::new(0));
    let count = told.clone();
    let lock = dlock.lock("k").shared().on_lost(move |info| {
        assert_eq!(info.key.as_str(), Some("k"));
        count.fetch_add(1, Ordering::SeqCst);
    });
    let (a, b) = (lock.acquire().await.unwrap(), lock.acquire().await.unwrap());
    assert_eq!(dlock.lose("k"), 2);
    // No wait: the callbacks have run.
    assert_eq!(told.load(Ordering::SeqCst), 2);
    assert!(a.is_lost() && b.is_lost());
    a.lost().await;
    assert!(a.release().await.unwrap_err().is_lost());
    assert!(b.verify().await.unwrap_err().is_lost());
    assert_eq!(dlock.lose("k"), 0);
    let pool = dlock.lock("pool").permits(3);
    let _permits = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    assert_eq!(dlock.lose("pool"), 2);
}

fn outage() -> Error {
    let source = std::io::Error::other("the database is down");
    Error::Unavailable { key: None, backend: "postgres".into(), source: Arc::new(source) }
}

#[tokio::test]
async fn failures_come_in_their_order() {
    let dlock = Locker::new();
    let busy = Error::Timeout {
        key: "k".into(),
        waited: Duration::ZERO,
        stage: dlock::Stage::Database,
        holder: None,
    };
    dlock.fail_next(outage());
    dlock.fail_next(busy);
    let error = dlock.lock("k").acquire().await.unwrap_err();
    assert!(error.is_retryable() && error.to_string().starts_with("\"k\": postgres"), "{error}");
    assert!(dlock.lock("k").try_acquire().await.unwrap().is_none());
    dlock.lock("k").acquire().await.unwrap().release().await.unwrap();
    for take in 0..3 {
        dlock.fail_next(outage());
        let failed = match take {
            0 => dlock.lock("pool").permits(3).acquire().await.is_err(),
            1 => dlock.lock_all(["a", "b"]).acquire().await.is_err(),
            _ => dlock.ping().await.is_err(),
        };
        assert!(failed, "{take}");
    }
    dlock.ping().await.unwrap();
    let guard = dlock.lock("k").acquire().await.unwrap();
    dlock.fail_next(outage());
    assert!(guard.verify().await.is_err());
    guard.verify().await.unwrap();
}

#[tokio::test]
async fn status_shows_who_holds_and_who_waits() {
    let dlock = Locker::new();
    dlock.busy("k");
    let lock = dlock.lock("k");
    let mut waiting = Box::pin(lock.acquire());
    assert!(crate::poll_once(waiting.as_mut()).is_none());
    let status = dlock.status().await.unwrap();
    assert_eq!((status.len(), status[0].waiters.len()), (1, 1), "{status:?}");
    assert!(status[0].holders[0].who.starts_with("somebody else"), "{status:?}");
    drop(waiting);
    assert!(dlock.break_lock("k").await.unwrap());
    let guard = dlock.lock("k").data("page 3").acquire().await.unwrap();
    let status = dlock.status().await.unwrap();
    assert_eq!(status[0].holders[0].data.as_deref(), Some("page 3"));
    assert!(dlock.break_lock("k").await.unwrap());
    assert!(guard.is_lost());
    assert!(dlock.status().await.unwrap().is_empty());
    assert!(dlock.check().await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn history_says_what_when_and_how() {
    let dlock = Locker::new();
    let guard = dlock.lock("k").shared().acquire().await.unwrap();
    sleep(Duration::from_secs(2)).await;
    drop(guard);
    dlock.busy("k");
    assert!(dlock.lock("k").try_acquire().await.unwrap().is_none());
    let history = dlock.history();
    assert_eq!(history, [(Taken, "k"), (Released, "k"), (Refused, "k")]);
    assert_eq!((history[0].mode, history[2].mode), (Mode::Shared, Mode::Exclusive));
    assert_eq!((history[0].at.as_secs(), history[1].at.as_secs()), (0, 2));
    assert!(history[0].to_string().starts_with("taken \"k\" (shared) after "), "{}", history[0]);
}

/// Of permits and of several keys, the history has what the caller has, not how it was come by.
#[tokio::test(start_paused = true)]
async fn history_is_that_of_the_callers() {
    let dlock = Locker::new();
    let pool = dlock.lock("pool").permits(2);
    pool.run(async |_| ()).await.unwrap();
    dlock.busy("b");
    assert!(dlock.lock_all(["a", "b"]).acquire().await.unwrap_err().is_timeout());
    let history = dlock.history();
    let calls: Vec<_> = history.iter().map(|event| (event.what, event.key.to_string())).collect();
    let call = |what: What, key: &str| (what, key.to_owned());
    assert_eq!(
        calls,
        [call(Taken, "pool"), call(Released, "pool"), call(What::Waited, "b"), call(Refused, "b"),]
    );
}

#[tokio::test]
async fn cancelled_calls_leave_nothing() {
    let dlock = Locker::new();
    dlock.busy("k");
    let lock = dlock.lock("k");
    for _ in 0..10 {
        let mut waiting = Box::pin(lock.acquire());
        assert!(crate::poll_once(waiting.as_mut()).is_none());
    }
    dlock.free("k");
    // One that is granted and never looked at goes back.
    let guard = lock.acquire().await.unwrap();
    let mut waiting = Box::pin(lock.acquire());
    assert!(crate::poll_once(waiting.as_mut()).is_none());
    drop(guard);
    drop(waiting);
    assert!(lock.try_acquire().await.unwrap().is_some());
    assert!(!dlock.history().iter().any(|event| event.what == Lost));
}

#[tokio::test]
async fn closed_locker_is_closed() {
    let dlock = Locker::new();
    let guard = dlock.lock("k").acquire().await.unwrap();
    let lock = dlock.lock("k");
    let mut waiting = Box::pin(lock.acquire());
    assert!(crate::poll_once(waiting.as_mut()).is_none());
    dlock.locker().close().await;
    assert!(guard.is_lost());
    assert!(matches!(waiting.await.unwrap_err(), Error::Closed));
    assert!(matches!(dlock.lock("k").try_acquire().await.unwrap_err(), Error::Closed));
}
