//! A standby that every commit is to wait for.

use std::time::Duration;

use dlock::{Error, Locker};
use dlock_tests::{Server, Site, Witness, in_time};

const SOON: Duration = Duration::from_secs(5);

/// A token is not given out before it outlasts the server; nobody who does without one waits.
pub(crate) async fn that_is_away_keeps_tokens_back_and_nothing_else(site: Site) {
    let Some(server) = Server::like(&site, &[]) else { return };
    let locker = Locker::connect(server.url()).await.unwrap();
    let others = Locker::connect(server.url()).await.unwrap();
    let fenced = locker.lock("k").fenced();
    let first = fenced.acquire().await.unwrap();
    let token = first.fence().unwrap();
    first.release().await.unwrap();
    let held = locker.lock("held").acquire().await.unwrap();
    let mut witness = Witness::at(server.url()).await;
    witness.run("ALTER SYSTEM SET synchronous_standby_names = 'away'").await;
    witness.run("SELECT pg_reload_conf()").await;
    tokio::time::sleep(Duration::from_millis(300)).await;

    let hurried = fenced.clone().timeout(Duration::from_millis(300));
    let error = in_time("an answer", SOON, hurried.acquire()).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. } | Error::Timeout { .. }), "{error:?}");
    let patient = fenced.clone().timeout(Duration::from_secs(30));
    let waiting = tokio::spawn(async move { patient.acquire().await });
    // Longer than a session that does not answer is kept.
    for _ in 0..25 {
        let plain = locker.lock("plain");
        let plain = in_time("a plain lock", SOON, plain.acquire()).await.unwrap();
        plain.release().await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(!waiting.is_finished());
    in_time("the server's word", SOON, held.verify()).await.unwrap();
    assert!(!held.is_lost());

    witness.run("ALTER SYSTEM RESET synchronous_standby_names").await;
    witness.run("SELECT pg_reload_conf()").await;
    let guard = in_time("the token", 4 * SOON, waiting).await.unwrap().unwrap();
    assert!(guard.fence().unwrap() > token);
    assert!(others.lock("k").try_acquire().await.unwrap().is_none());
    guard.release().await.unwrap();
    let lock = others.lock("k").timeout(SOON);
    lock.acquire().await.unwrap().release().await.unwrap();
}
