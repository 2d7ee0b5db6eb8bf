//! The driver panics.

use super::*;
use std::sync::Arc;

/// Whatever it is asked at that moment, the engine goes on, on another connection.
#[tokio::test]
async fn panic_fails_one_job() {
    let fake = Fake::new();
    // Renewed after 300 ms, and far from its end.
    let options = ttl(30_000 * MS).renew_before(29_700 * MS);
    let locker = fake.locker(options).await;
    let held = locker.lock("held").acquire().await.unwrap();
    fake.script(once(Fate::Panics, takes));
    let error = timeout(LIMIT, locker.lock("k").try_acquire()).await.unwrap().unwrap_err();
    assert!(matches!(error, crate::Error::Unavailable { .. }), "{error}");
    fake.script(once(Fate::Panics, |asked| *asked == Asked::Open));
    timeout(LIMIT, locker.lock("k").acquire()).await.unwrap().unwrap().release().await.unwrap();
    let renewals = || fake.inside().asked.iter().filter(|a| matches!(a, Asked::Renew(_))).count();
    let before = renewals();
    fake.script(once(Fate::Panics, |asked| matches!(asked, Asked::Renew(_))));
    eventually("it is renewed all the same", || renewals() >= before + 2).await;
    assert!(!held.is_lost());
    held.release().await.unwrap();
}

#[tokio::test]
async fn panic_while_connecting_is_an_error() {
    let fake = Fake::new();
    fake.script(once(Fate::Panics, |asked| *asked == Asked::Open));
    let open = crate::engine::Leases::open(Arc::new(fake.clone()), ttl(LONG), LONG, Arc::default());
    assert!(timeout(LIMIT, open).await.unwrap().is_err());
}
