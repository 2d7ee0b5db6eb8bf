//! When a token cannot be written, nobody keeps the lock.

use std::time::Duration;

use dlock::{Error, Locker};
use dlock_tests::{Site, Witness, eventually_async};

use crate::counter::Counter;

const SOON: Duration = Duration::from_secs(5);

/// That another client has it without a token.
async fn is_free(other: &Locker, key: &str) {
    let lock = other.lock(key);
    let free = async || match lock.try_acquire().await.unwrap() {
        Some(guard) => guard.release().await.is_ok(),
        None => false,
    };
    eventually_async("the lock is free", SOON, free).await;
}

pub(crate) async fn table_that_was_dropped_keeps_no_lock(site: Site) {
    let counter = Counter::new(&site);
    let (ours, theirs) = (counter.locker(&site).await, counter.locker(&site).await);
    let mut witness = Witness::at(&site.url).await;
    let guard = ours.lock("k").fenced().acquire().await.unwrap();
    let before = guard.fence();
    guard.release().await.unwrap();
    let held = ours.lock("held").fenced().acquire().await.unwrap();
    witness.run(&format!("DROP TABLE {}", counter.name)).await;
    let error = ours.lock("k").fenced().acquire().await.unwrap_err();
    assert!(matches!(error, Error::Backend { .. }), "{error:?}");
    is_free(&theirs, "k").await;
    // What was held is held, on the same session.
    held.verify().await.unwrap();
    assert!(theirs.lock("held").try_acquire().await.unwrap().is_none());
    held.release().await.unwrap();
    // To drop the table is to begin anew.
    let guard = ours.lock("k").fenced().acquire().await.unwrap();
    assert!(guard.fence() > before);
    guard.release().await.unwrap();
}

/// The next holder of the process has the lock and a token, or neither.
pub(crate) async fn table_dropped_at_a_hand_off_keeps_no_lock(site: Site) {
    let counter = Counter::new(&site);
    let (ours, theirs) = (counter.locker(&site).await, counter.locker(&site).await);
    let mut witness = Witness::at(&site.url).await;
    let fenced = ours.lock("k").fenced().timeout(SOON);
    for _ in 0..5 {
        let guard = fenced.acquire().await.unwrap();
        let next = tokio::spawn({
            let lock = fenced.clone();
            async move { lock.acquire().await }
        });
        witness.run(&format!("DROP TABLE {}", counter.name)).await;
        guard.release().await.unwrap();
        match next.await.unwrap() {
            Err(Error::Backend { .. }) => {}
            // It came after the table was made anew, by a session that had not known it.
            Ok(guard) => assert!(guard.fence().is_some()),
            Err(error) => panic!("{error:?}"),
        }
        is_free(&theirs, "k").await;
    }
}

/// Not for ever: the server gives up, and is asked again, until the caller's time is over.
pub(crate) async fn row_that_others_keep_is_waited_for(site: Site) {
    let counter = Counter::new(&site);
    let (ours, theirs) = (counter.locker(&site).await, counter.locker(&site).await);
    let fenced = ours.lock("k").fenced().timeout(Duration::from_secs(20));
    let token = fenced.acquire().await.unwrap().fence().unwrap();
    let mut keeper = Witness::at(&site.url).await;
    keeper.run(&format!("BEGIN; UPDATE {} SET owner = 'x'", counter.name)).await;
    let waiting = tokio::spawn(async move { fenced.acquire().await });
    // More than one statement's time.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert!(!waiting.is_finished());
    keeper.run("ROLLBACK").await;
    let guard = waiting.await.unwrap().unwrap();
    assert!(guard.fence().unwrap() > token);
    guard.verify().await.unwrap();
    assert!(theirs.lock("k").try_acquire().await.unwrap().is_none());
    guard.release().await.unwrap();
    is_free(&theirs, "k").await;
}

pub(crate) async fn try_for_a_row_that_others_keep_leaks_nothing(site: Site) {
    let counter = Counter::new(&site);
    let (ours, theirs) = (counter.locker(&site).await, counter.locker(&site).await);
    let fenced = ours.lock("k").fenced();
    fenced.acquire().await.unwrap().release().await.unwrap();
    let held = ours.lock("held").fenced().acquire().await.unwrap();
    let mut keeper = Witness::at(&site.url).await;
    keeper.run(&format!("BEGIN; UPDATE {} SET owner = 'x'", counter.name)).await;
    let error = fenced.try_acquire().await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    assert!(fenced.clone().timeout(Duration::from_millis(300)).acquire().await.is_err());
    is_free(&theirs, "k").await;
    held.verify().await.unwrap();
    keeper.run("ROLLBACK").await;
    held.release().await.unwrap();
    fenced.acquire().await.unwrap().release().await.unwrap();
}
