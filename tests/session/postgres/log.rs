//! What waits leave in the server's log.

use std::time::Duration;

use dlock::Key;
use dlock_tests::{Server, Site, in_time};
use tokio::task::JoinSet;

const MS: Duration = Duration::from_millis(1);
const SOON: Duration = Duration::from_secs(20);

/// Neither the end of a wait, nor that of a reader's slice, nor a wait that nobody wants any more.
pub(crate) async fn ends_of_waits_are_no_errors(site: Site) {
    let Some(server) = Server::like(&site, &["log_lock_waits=off"]) else { return };
    let site = Site::at(server.url());
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let readers = site.builder().slice(100 * MS).connect().await.unwrap();
    for key in [Key::from("k"), Key::pair(7, -7)] {
        let held = theirs.lock(&key).acquire().await.unwrap();
        let mut waiting = JoinSet::new();
        for lock in [ours.lock(&key), ours.lock(&key).shared(), readers.lock(&key).shared()] {
            waiting.spawn(async move {
                for _ in 0..3 {
                    let error = lock.clone().timeout(500 * MS).acquire().await.unwrap_err();
                    assert!(error.is_timeout(), "{error}");
                    // Dropped at any moment of the wait.
                    let some = 20 * MS + MS * fastrand::u32(..50);
                    let _ = tokio::time::timeout(some, lock.acquire()).await;
                }
                lock
            });
        }
        let locks = in_time("all time out", SOON, waiting.join_all()).await;
        held.release().await.unwrap();
        for lock in locks {
            let guard = lock.timeout(SOON).acquire().await.unwrap();
            assert!(theirs.lock(&key).try_acquire().await.unwrap().is_none());
            guard.release().await.unwrap();
        }
        // Just after a wait that was granted, the next one may do without a block.
        tokio::time::sleep(300 * MS).await;
    }
    for locker in [ours, theirs, readers] {
        locker.close().await;
    }
    let log = server.log();
    let bad = log.lines().filter(|line| line.contains("ERROR:") || line.contains("WARNING:"));
    let bad: Vec<&str> = bad.collect();
    assert!(bad.is_empty(), "{bad:#?}");
}

/// Where there are no blocks, waits are as they were.
pub(crate) async fn without_blocks_waits_are_errors_there_only(site: Site) {
    let Some(server) = Server::like(&site, &[]) else { return };
    let site = Site::at(server.url());
    let mut witness = dlock_tests::Witness::at(&site.url).await;
    witness.run("DROP EXTENSION plpgsql").await;
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let held = theirs.lock("k").acquire().await.unwrap();
    for _ in 0..2 {
        let error = ours.lock("k").timeout(300 * MS).acquire().await.unwrap_err();
        assert!(error.is_timeout(), "{error}");
    }
    let lock = ours.lock("k").timeout(SOON);
    let waiting = tokio::spawn(async move { lock.acquire().await });
    held.release().await.unwrap();
    let guard = in_time("the grant", SOON, waiting).await.unwrap().unwrap();
    guard.release().await.unwrap();
}
