//! A guard knows whether its lock is still held.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dlock::{Error, LostReason, Wait};
use dlock_tests::{Site, eventually, in_time};
use tokio::time::{sleep, timeout};

const SOON: Duration = Duration::from_secs(10);

pub(crate) async fn lost_stays_pending_on_a_normal_release(site: Site) {
    let locker = site.locker().await;
    let guard = locker.lock("k").acquire().await.unwrap();
    let lost = guard.lost();
    let watching = tokio::spawn(guard.lost());
    assert!(!guard.is_lost());
    guard.release().await.unwrap();
    assert!(timeout(Duration::from_millis(200), lost).await.is_err());
    let guard = locker.lock("k").acquire().await.unwrap();
    let lost = guard.lost();
    drop(guard);
    assert!(timeout(Duration::from_millis(200), lost).await.is_err());
    assert!(!watching.is_finished());
    // Nor does the end of a locker without guards count as a loss.
    locker.close().await;
    sleep(Duration::from_millis(100)).await;
    assert!(!watching.is_finished());
}

pub(crate) async fn close_tells_the_guards(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let calls = Arc::new(AtomicU32::new(0));
    let lock = ours.lock("k").on_lost({
        let calls = Arc::clone(&calls);
        move |info| {
            assert_eq!(info.reason, LostReason::Closed);
            calls.fetch_add(1, Ordering::SeqCst);
        }
    });
    let guard = lock.acquire().await.unwrap();
    let waiting = tokio::spawn({
        let lock = ours.lock("k");
        async move { lock.acquire().await.map(drop) }
    });
    sleep(Duration::from_millis(50)).await;
    ours.clone().close().await;
    // It is free when `close` has returned.
    theirs.lock("k").try_acquire().await.unwrap().unwrap().release().await.unwrap();
    let info = in_time("the loss", SOON, guard.lost()).await;
    assert_eq!(info.reason, LostReason::Closed);
    assert!(guard.is_lost());
    assert!(guard.verify().await.unwrap_err().is_lost());
    assert!(guard.protect(sleep(SOON)).await.unwrap_err().is_lost());
    assert!(guard.release().await.unwrap_err().is_lost());
    eventually("the callback is called", SOON, || calls.load(Ordering::SeqCst) == 1).await;
    let error = in_time("the waiter's answer", SOON, waiting).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Closed), "{error}");
    let error = ours.lock("k").acquire().await.unwrap_err();
    assert!(matches!(error, Error::Closed), "{error}");
    // Closing again is no error.
    ours.close().await;
}

pub(crate) async fn release_after_loss_does_not_free_the_next_holder(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let lost = ours.lock("k").acquire().await.unwrap();
    let dropped = ours.lock("other").acquire().await.unwrap();
    ours.close().await;
    let next = theirs.lock("k").acquire().await.unwrap();
    let other = theirs.lock("other").acquire().await.unwrap();
    drop(dropped);
    let error = lost.release().await.unwrap_err();
    assert!(matches!(error, Error::Lost { .. }), "{error}");
    let third = site.locker().await;
    for (key, guard) in [("k", next), ("other", other)] {
        assert!(third.lock(key).try_acquire().await.unwrap().is_none());
        guard.verify().await.unwrap();
        guard.release().await.unwrap();
    }
}

pub(crate) async fn body_is_dropped_when_the_lock_is_lost(site: Site) {
    let ours = site.locker().await;
    let lock = ours.lock("k").timeout(Wait::NoWait);
    let (begun, begin) = tokio::sync::oneshot::channel();
    let running = tokio::spawn(async move {
        lock.run(async |guard| {
            begun.send(()).unwrap();
            // A body that ends by itself in spite of the loss would be told apart by its value.
            guard.lost().await;
            sleep(Duration::from_millis(100)).await;
        })
        .await
    });
    begin.await.unwrap();
    ours.close().await;
    let error = in_time("the end of the body", SOON, running).await.unwrap().unwrap_err();
    assert!(error.is_lost(), "{error}");
}

/// A sync body cannot be dropped: it ends, and then the loss is told.
pub(crate) async fn sync_body_learns_of_the_loss(site: Site) {
    let ours = site.locker().await;
    let ended = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&ended);
    let error = dlock_tests::on_a_thread(move || {
        let closing = ours.clone();
        ours.lock("k").run_blocking(move |guard| {
            assert!(!guard.is_lost());
            closing.close_blocking();
            assert!(guard.is_lost());
            count.fetch_add(1, Ordering::SeqCst);
        })
    });
    assert!(error.unwrap_err().is_lost());
    assert_eq!(ended.load(Ordering::SeqCst), 1);
}

pub(crate) async fn panic_of_the_callback_harms_nobody(site: Site) {
    let ours = site.locker().await;
    let guard = ours.lock("k").on_lost(|_| panic!("of the callback")).acquire().await.unwrap();
    let other = ours.lock("other").acquire().await.unwrap();
    ours.close().await;
    assert_eq!(in_time("the loss", SOON, guard.lost()).await.reason, LostReason::Closed);
    assert_eq!(in_time("the other's", SOON, other.lost()).await.reason, LostReason::Closed);
}
