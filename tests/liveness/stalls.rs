//! Servers that do not answer for a while, and then do.

use std::time::Duration;

use dlock::Error;
use dlock_tests::{Proxy, Site, in_time};

const TTL: Duration = Duration::from_secs(8);
/// Longer than a session may be silent, shorter than what it holds lasts.
const STALL: Duration = Duration::from_millis(3500);
const SOON: Duration = Duration::from_secs(5);

/// Each stall costs the session that carries its role, and the lock that it holds keeps it.
pub(crate) async fn each_with_a_lock_that_stays_use_up_no_session(site: Site) {
    let proxy = Proxy::to(&site.url).await;
    let builder = site.through(proxy.url()).ttl(TTL).builder();
    let locker = builder.max_sessions(3).connect().await.unwrap();
    let mut kept = Vec::new();
    for number in 0..5 {
        let lock = locker.lock(format!("kept-{number}")).timeout(SOON);
        kept.push(in_time("a lock that stays", 2 * SOON, lock.acquire()).await.unwrap());
        proxy.go_silent();
        let other = locker.lock("other").timeout(STALL);
        let error = in_time("an answer", STALL + SOON, other.acquire()).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error}");
        proxy.come_back();
    }
    let lock = locker.lock("free").timeout(SOON);
    in_time("a free key", 2 * SOON, lock.acquire()).await.unwrap().release().await.unwrap();
    in_time("the status", SOON, locker.status()).await.unwrap();
    // One that the last stall has not cost.
    assert!(kept.iter().any(|guard| !guard.is_lost()));
}

pub(crate) async fn answered_late_leave_the_only_session_usable(site: Site) {
    let proxy = Proxy::to(&site.url).await;
    let builder = site.through(proxy.url()).ttl(TTL).builder();
    let locker = builder.max_sessions(1).connect().await.unwrap();
    for _ in 0..3 {
        let kept = in_time("a lock", 2 * SOON, locker.lock("kept").timeout(SOON).acquire()).await;
        let kept = kept.unwrap();
        proxy.go_silent();
        let other = locker.lock("other").timeout(STALL);
        let _ = in_time("an answer", STALL + SOON, other.acquire()).await.unwrap_err();
        proxy.come_back();
        let lock = locker.lock("free").timeout(SOON);
        in_time("a free key", 2 * SOON, lock.acquire()).await.unwrap().release().await.unwrap();
        in_time("the status", SOON, locker.status()).await.unwrap();
        let _ = kept.release().await;
    }
}
