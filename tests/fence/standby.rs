//! A standby that every commit is to wait for.

use std::time::{Duration, Instant};

use dlock::{Error, Locker};
use dlock_tests::{Server, Site, Witness, in_time};

const SOON: Duration = Duration::from_secs(5);
/// How long a lock lasts that is not confirmed.
const TTL: Duration = Duration::from_secs(6);

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

/// Nor is a lock without a token lost for it, or one more refused: not with keys that others have, and
/// not where there is one session.
pub(crate) async fn that_is_away_costs_no_lock_without_a_token(site: Site) {
    let Some(server) = Server::like(&site, &[]) else { return };
    let site = Site::at(server.url()).ttl(TTL);
    let theirs = site.named("theirs").locker().await;
    let contended = theirs.lock_all((0..7).map(|key| format!("contended-{key}")));
    let contended = contended.acquire().await.unwrap();
    // Who comes first makes the table.
    theirs.lock("table").fenced().acquire().await.unwrap().release().await.unwrap();
    let mut witness = Witness::at(server.url()).await;
    witness.run("ALTER SYSTEM SET synchronous_standby_names = 'away'").await;
    witness.run("SELECT pg_reload_conf()").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut lockers = Vec::new();
    for sessions in [8, 1] {
        let locker = site.builder().max_sessions(sessions).connect().await.unwrap();
        let held = locker.lock(format!("held-{sessions}")).acquire().await.unwrap();
        lockers.push((locker, held));
    }
    let mut waiting = tokio::task::JoinSet::new();
    for (locker, _) in &lockers {
        let fenced = locker.lock("fenced").fenced().timeout(6 * SOON);
        waiting.spawn(async move { fenced.acquire().await.map(drop) });
        for key in 0..7 {
            let lock = locker.lock(format!("contended-{key}")).timeout(6 * SOON);
            waiting.spawn(async move { lock.acquire().await.map(drop) });
        }
    }
    // Longer than locks last that nobody confirms.
    let start = Instant::now();
    while start.elapsed() < 2 * TTL {
        for (locker, held) in &lockers {
            let plain = locker.lock("plain").timeout(SOON);
            let plain = in_time("a plain lock", SOON, plain.acquire()).await.unwrap();
            plain.release().await.unwrap();
            assert!(!held.is_lost());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for (_, held) in lockers {
        in_time("the server's word", SOON, held.verify()).await.unwrap();
        held.release().await.unwrap();
    }
    waiting.shutdown().await;
    contended.release().await.unwrap();
    witness.run("ALTER SYSTEM RESET synchronous_standby_names").await;
    witness.run("SELECT pg_reload_conf()").await;
}
