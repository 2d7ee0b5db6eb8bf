//! Limits of a server that are meant for other things than locks.

use std::time::{Duration, Instant};

use dlock_tests::{Backend, Server, Site};
use tokio::time::sleep;

pub(crate) async fn of_the_server_end_no_wait_and_no_hold(site: Site) {
    let statements = match site.backend {
        Some(Backend::MySql) => "max_execution_time=200",
        _ => "max_statement_time=0.2",
    };
    let limits = [statements, "wait_timeout=1", "interactive_timeout=1", "lock_wait_timeout=1"];
    let Some(server) = Server::like(&site, &limits) else { return };
    let site = Site::at(server.url());
    let (theirs, ours) = (site.locker().await, site.locker().await);
    let held = theirs.lock("k").acquire().await.unwrap();
    let start = Instant::now();
    let error = ours.lock("k").timeout(Duration::from_secs(3)).acquire().await.unwrap_err();
    assert!(error.is_timeout(), "{error}");
    assert!(start.elapsed() >= Duration::from_secs(3));
    let waiting = tokio::spawn(async move { ours.lock("k").acquire().await.unwrap() });
    sleep(Duration::from_secs(2)).await;
    assert!(!waiting.is_finished() && !held.is_lost());
    held.release().await.unwrap();
    let guard = waiting.await.unwrap();
    sleep(Duration::from_secs(2)).await;
    guard.verify().await.unwrap();
    guard.release().await.unwrap();
}

/// It may have no room for one more: what all clients prepare counts together.
pub(crate) async fn of_prepared_statements_are_not_needed(site: Site) {
    let Some(server) = Server::like(&site, &["max_prepared_stmt_count=0"]) else { return };
    let locker = Site::at(server.url()).locker().await;
    for key in 0..3 {
        let guard = locker.lock(key).acquire().await.unwrap();
        guard.verify().await.unwrap();
        assert!(locker.lock(key).try_acquire().await.unwrap().is_none());
        guard.release().await.unwrap();
    }
}
