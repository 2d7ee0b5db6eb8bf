//! Several locks as one.

use std::time::{Duration, Instant};

use dlock::{Error, on};
use dlock_tests::{Site, Witness, once_within};

use crate::db::{Application, SOON, connect, counted, until_held};

fn keys(site: &Site) -> [String; 3] {
    ["a", "b", "c"].map(|key| format!("{}-{key}", site.namespace))
}

pub(crate) async fn all_are_held_and_released<C: Application>(site: Site) {
    let (mut conn, mut other) = (connect::<C>(&site).await, connect::<C>(&site).await);
    let [a, b, c] = keys(&site);
    // In any order, and each counts once.
    let mut all = on(&mut conn).lock_all([&c, &a, &b, &a]);
    all.acquire().await.unwrap();
    for key in [&a, &b, &c] {
        assert!(!on(&mut other).lock(key).try_acquire().await.unwrap());
    }
    assert!(all.release().await.unwrap());
    let mut again = on(&mut other).lock_all([&a, &b, &c]);
    assert!(again.try_acquire().await.unwrap());
    assert!(again.release().await.unwrap());
    let none = on(&mut conn).lock_all(Vec::<String>::new()).acquire().await.unwrap_err();
    assert!(matches!(none, Error::Config { .. }), "{none}");
}

/// Whichever of them is busy, nothing is held after, and the wait is over after one timeout.
pub(crate) async fn busy_one_gives_back_the_others<C: Application>(site: Site) {
    let (mut conn, mut other) = (connect::<C>(&site).await, connect::<C>(&site).await);
    let mut witness = Witness::at(&site.url).await;
    let keys = keys(&site);
    for busy in &keys {
        let mut held = on(&mut other).lock(busy);
        held.acquire().await.unwrap();
        let mut all = on(&mut conn).lock_all(&keys).timeout(Duration::from_millis(300));
        assert!(!all.try_acquire().await.unwrap());
        let begun = Instant::now();
        let error = all.acquire().await.unwrap_err();
        let waited = begun.elapsed();
        let Error::Timeout { key, .. } = &error else { panic!("{error}") };
        assert_eq!(key.as_str(), Some(busy.as_str()));
        assert!(waited >= Duration::from_millis(300) && waited < SOON);
        assert!(!all.is_held());
        until_held(&mut witness, &site, 1).await;
        held.release().await.unwrap();
        assert!(all.try_acquire().await.unwrap(), "the same object can try again");
        assert!(all.release().await.unwrap());
    }
}

/// The time that the first one took is not there for the second.
pub(crate) async fn have_one_deadline<C: Application>(site: Site) {
    let (mut conn, mut one, mut two) =
        (connect::<C>(&site).await, connect::<C>(&site).await, connect::<C>(&site).await);
    let keys = keys(&site);
    let mut last = on(&mut two).lock(&keys[2]);
    last.acquire().await.unwrap();
    let (time, part) = (Duration::from_millis(800), Duration::from_millis(500));
    once_within(time + part / 2, async || {
        let mut first = on(&mut one).lock_all(&keys[..2]);
        first.acquire().await.unwrap();
        let mut all = on(&mut conn).lock_all(&keys).timeout(time);
        let begun = Instant::now();
        let release = async {
            tokio::time::sleep(part).await;
            first.release().await.unwrap();
        };
        let (waited, ()) = tokio::join!(all.acquire(), release);
        assert!(waited.unwrap_err().is_timeout());
        assert!(begun.elapsed() >= time);
        begun.elapsed()
    })
    .await;
    last.release().await.unwrap();
}

pub(crate) async fn cost_a_round_trip_each<C: Application>(site: Site) {
    let (proxy, mut conn) = counted::<C>(&site).await;
    let before = proxy.round_trips();
    let mut all = on(&mut conn).lock_all(keys(&site));
    all.acquire().await.unwrap();
    assert_eq!(proxy.round_trips() - before, 3);
    all.release().await.unwrap();
    assert_eq!(proxy.round_trips() - before, 4);
}

/// Given up halfway, none of them is held, and the same object can begin again.
pub(crate) async fn cancelled_halfway_are_none<C: Application>(site: Site) {
    let (mut conn, mut other) = (connect::<C>(&site).await, connect::<C>(&site).await);
    let mut witness = Witness::at(&site.url).await;
    let keys = keys(&site);
    for again in [false, true] {
        // Whichever is the last, it is waited for.
        for busy in &keys {
            let mut held = on(&mut other).lock(busy);
            held.acquire().await.unwrap();
            let time = Duration::from_millis(150);
            let mut all = on(&mut conn).lock_all(&keys).timeout(time);
            assert!(tokio::time::timeout(time / 3, all.acquire()).await.is_err());
            assert!(!all.is_held());
            assert!(held.release().await.unwrap());
            if again {
                all.acquire().await.unwrap();
                assert_eq!(witness.locks(&site).await, 3);
            }
            assert_eq!(all.release().await.unwrap(), again);
            until_held(&mut witness, &site, 0).await;
        }
    }
}
