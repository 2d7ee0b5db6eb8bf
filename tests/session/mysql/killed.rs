//! Somebody kills the session that holds a lock: no news of it comes by itself.

use std::future::pending;
use std::time::Duration;

use dlock::LostReason;
use dlock_tests::{Site, Witness, in_time};

/// A heartbeat, and a loaded machine.
const NEWS: Duration = Duration::from_millis(2500);

pub(crate) async fn carrier_is_noticed_by_heartbeat(site: Site) {
    let locker = site.locker().await;
    let mut witness = Witness::at(&site.url).await;
    let (told, hear) = std::sync::mpsc::channel();
    let lock = locker.lock("k").on_lost(move |info| told.send(info.reason).unwrap());
    let guard = lock.acquire().await.unwrap();
    assert_eq!(witness.terminate(&site).await, 1);
    let info = in_time("the loss", NEWS, guard.lost()).await;
    assert_eq!(info.reason, LostReason::SessionEnded);
    assert!(guard.is_lost());
    assert!(guard.release().await.unwrap_err().is_lost());
    let told = || hear.recv_timeout(2 * NEWS);
    assert_eq!(tokio::task::block_in_place(told), Ok(LostReason::SessionEnded));
    // Asking comes to the same at once, and the locker goes on with a new session.
    let guard = locker.lock("k").acquire().await.unwrap();
    assert_eq!(witness.terminate(&site).await, 1);
    assert!(guard.verify().await.unwrap_err().is_lost());
    locker.lock("k").acquire().await.unwrap().release().await.unwrap();
}

pub(crate) async fn carrier_ends_the_body(site: Site) {
    let locker = site.locker().await;
    let mut witness = Witness::at(&site.url).await;
    let (begun, begin) = tokio::sync::oneshot::channel();
    let running = tokio::spawn(async move {
        let body = async move |_: &dlock::Guard| {
            begun.send(()).unwrap();
            pending::<()>().await;
        };
        locker.lock("k").run(body).await
    });
    begin.await.unwrap();
    assert_eq!(witness.terminate(&site).await, 1);
    let error = in_time("the end of the body", NEWS, running).await.unwrap().unwrap_err();
    assert!(error.is_lost(), "{error}");
}
