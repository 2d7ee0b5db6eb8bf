//! The server ends the session that holds a lock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dlock::{Guard, LostReason};
use dlock_tests::{Site, Witness, eventually_async, in_time};
use tokio::time::sleep;

const SECOND: Duration = Duration::from_secs(1);

pub(crate) async fn terminated_session_is_noticed_at_once(site: Site) {
    let locker = site.locker().await;
    let mut witness = Witness::at(&site.url).await;
    let (told, hear) = std::sync::mpsc::channel();
    let lock = locker.lock("k").on_lost(move |info| told.send(info.reason).unwrap());
    let guard = lock.acquire().await.unwrap();
    let other = locker.lock("other").acquire().await.unwrap();
    assert_eq!(witness.terminate(&site).await, 1);
    let info = in_time("the loss", SECOND, guard.lost()).await;
    assert_eq!(info.reason, LostReason::SessionEnded);
    assert_eq!(info.key, *guard.key());
    assert!(guard.is_lost());
    assert!(guard.verify().await.unwrap_err().is_lost());
    assert!(guard.protect(async { panic!("it is lost") }).await.unwrap_err().is_lost());
    assert!(guard.release().await.unwrap_err().is_lost());
    let told = || hear.recv_timeout(5 * SECOND);
    assert_eq!(tokio::task::block_in_place(told), Ok(LostReason::SessionEnded));
    // Asking the server comes to the same, for one who was not told yet.
    assert!(other.verify().await.unwrap_err().is_lost());
    // The locker goes on with a new session.
    lock.acquire().await.unwrap().release().await.unwrap();
}

/// The session for questions is open from the one before, and has ended with all others.
pub(crate) async fn terminated_sessions_end_no_question(site: Site) {
    let locker = site.locker().await;
    let mut witness = Witness::at(&site.url).await;
    for _ in 0..10 {
        locker.status().await.unwrap();
        assert!(witness.terminate(&site).await > 0);
        locker.status().await.unwrap();
        assert!(witness.terminate(&site).await > 0);
        locker.check().await.unwrap();
    }
}

pub(crate) async fn terminated_session_ends_the_body(site: Site) {
    struct Dropped(Arc<AtomicBool>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let locker = site.locker().await;
    let mut witness = Witness::at(&site.url).await;
    let dropped = Arc::new(AtomicBool::new(false));
    let (begun, begin) = tokio::sync::oneshot::channel();
    let body = Dropped(Arc::clone(&dropped));
    let running = tokio::spawn(async move {
        locker
            .lock("k")
            .run(async move |_| {
                let _body = body;
                begun.send(()).unwrap();
                std::future::pending::<()>().await;
            })
            .await
    });
    begin.await.unwrap();
    assert_eq!(witness.terminate(&site).await, 1);
    let error = in_time("the end of the body", SECOND, running).await.unwrap().unwrap_err();
    assert!(error.is_lost(), "{error}");
    assert!(dropped.load(Ordering::SeqCst));
}

/// Only those who hold something can lose it: a waiter is asked for again on a new session.
pub(crate) async fn terminated_session_of_a_waiter_does_not_end_the_wait(site: Site) {
    let theirs = site.named("theirs").locker().await;
    let ours = site.locker().await;
    let mut witness = Witness::at(&site.url).await;
    let held = theirs.lock("k").acquire().await.unwrap();
    let waiting = tokio::spawn(async move { ours.lock("k").acquire().await });
    for _ in 0..3 {
        // One that was ended a moment ago may still be shown as waiting.
        let waits_and_ends =
            async || witness.waits(&site).await == 1 && witness.terminate(&site).await >= 1;
        eventually_async("it waits again", 5 * SECOND, waits_and_ends).await;
    }
    sleep(Duration::from_millis(200)).await;
    assert!(!waiting.is_finished());
    held.release().await.unwrap();
    let guard = in_time("the lock", 5 * SECOND, waiting).await.unwrap().unwrap();
    assert_eq!(witness.locks(&site).await, 1);
    guard.release().await.unwrap();
}

pub(crate) async fn release_after_termination_does_not_free_the_next_holder(site: Site) {
    let ours = site.locker().await;
    let theirs = site.named("theirs").locker().await;
    let mut witness = Witness::at(&site.url).await;
    for _ in 0..5 {
        let lost = ours.lock("k").acquire().await.unwrap();
        let dropped = ours.lock("other").acquire().await.unwrap();
        assert!(witness.terminate(&site).await >= 1);
        // Without waiting for the news of it: whatever the release says, it frees nobody else's.
        let next = theirs.lock("k").acquire().await.unwrap();
        let other = theirs.lock("other").acquire().await.unwrap();
        drop(dropped);
        assert!(lost.release().await.unwrap_err().is_lost());
        assert!(ours.lock("k").try_acquire().await.unwrap().is_none());
        assert!(ours.lock("other").try_acquire().await.unwrap().is_none());
        next.release().await.unwrap();
        other.release().await.unwrap();
    }
}

/// Its guards do not learn of it one after the other, each after the callback of the one before.
pub(crate) async fn all_guards_of_a_terminated_session_know_at_once(site: Site) {
    let locker = site.locker().await;
    let mut witness = Witness::at(&site.url).await;
    let (go_on, blocked) = std::sync::mpsc::channel::<()>();
    let blocked = Arc::new(Mutex::new(blocked));
    let mut guards = Vec::new();
    for n in 0..5_u32 {
        let (blocked, again) = (Arc::clone(&blocked), locker.lock("another"));
        let lock = locker.lock(n).on_lost(move |_| {
            // The engine goes on: it gives locks to those who want one here.
            drop(again.acquire_blocking().unwrap());
            let _ = blocked.lock().unwrap().recv();
        });
        guards.push(lock.acquire().await.unwrap());
    }
    assert_eq!(witness.terminate(&site).await, 1);
    eventually_async("all know", 10 * SECOND, async || guards.iter().all(Guard::is_lost)).await;
    for guard in &guards {
        let info = in_time("the loss", 10 * SECOND, guard.lost()).await;
        assert_eq!(info.reason, LostReason::SessionEnded);
    }
    drop(in_time("a lock", 10 * SECOND, locker.lock("next").acquire()).await.unwrap());
    drop(go_on);
}
