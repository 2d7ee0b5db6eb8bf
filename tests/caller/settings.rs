//! What the caller has set stays set.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dlock::on;
use dlock_tests::Site;

use crate::db::{Application, SOON, connect, is_free, lock, run};

type Settings = BTreeMap<String, Vec<String>>;

async fn settings<C: Application>(conn: &mut C) -> Settings {
    let rows = conn.texts(C::SETTINGS).await.unwrap();
    let all: Settings = rows.iter().map(|row| (row[0].clone(), row[1..].to_vec())).collect();
    assert!(all.len() > 100);
    all.into_iter().filter(|(name, _)| !C::RESTLESS.contains(&&**name)).collect()
}

/// Only their values: where they come from is another matter as long as a transaction is open.
fn values(settings: Settings) -> Settings {
    settings.into_iter().map(|(name, mut rest)| (name, rest.drain(..1).collect())).collect()
}

fn same(now: &Settings, before: &Settings, when: &str) {
    let changed: Vec<_> = now.iter().filter(|(name, now)| before.get(*name) != Some(now)).collect();
    assert!(changed.is_empty() && now.len() == before.len(), "{when}: {changed:?}");
}

/// Every way in which an acquire can end.
async fn all_ends<C: Application>(site: &Site, conn: &mut C, other: &mut C) {
    let mut free = lock(site, conn);
    free.acquire().await.unwrap();
    let mut inner = lock(site, free.conn());
    assert!(inner.acquire().await.is_err(), "reentrant");
    drop(inner);
    free.release().await.unwrap();
    lock(site, conn).run(async |_| Ok::<_, dlock::Error>(())).await.unwrap();

    let mut held = lock(site, other);
    held.acquire().await.unwrap();
    assert!(!lock(site, conn).try_acquire().await.unwrap());
    let mut waiting = lock(site, conn).timeout(Duration::from_millis(60));
    assert!(waiting.acquire().await.unwrap_err().is_timeout());
    let soon = Duration::from_millis(30);
    assert!(tokio::time::timeout(soon, waiting.acquire()).await.is_err(), "cancelled");
    assert!(!waiting.release().await.unwrap());
    let release = async {
        tokio::time::sleep(soon).await;
        held.release().await.unwrap();
    };
    let mut waiting = lock(site, conn);
    let (waited, ()) = tokio::join!(waiting.acquire(), release);
    waited.unwrap();
    waiting.release().await.unwrap();
}

pub(crate) async fn are_the_same_after_as_before<C: Application>(site: Site) {
    let (mut conn, mut other) = (connect::<C>(&site).await, connect::<C>(&site).await);
    for own in [false, true] {
        if own {
            run(&mut conn, C::SETTINGS_OF_THE_CALLER).await;
        }
        let before = settings(&mut conn).await;
        all_ends(&site, &mut conn, &mut other).await;
        same(&settings(&mut conn).await, &before, "outside of a transaction");
        for end in ["COMMIT", "ROLLBACK"] {
            run(&mut conn, "BEGIN").await;
            let inside = values(settings(&mut conn).await);
            all_ends(&site, &mut conn, &mut other).await;
            same(&values(settings(&mut conn).await), &inside, "inside");
            run(&mut conn, end).await;
            same(&settings(&mut conn).await, &before, end);
        }
    }
}

/// Limits of statements are for statements, and a wait has its own.
pub(crate) async fn limits_of_statements_do_not_end_a_wait<C: Application>(site: Site) {
    let (mut conn, mut other) = (connect::<C>(&site).await, connect::<C>(&site).await);
    run(&mut conn, C::limit(site.backend)).await;
    for begin in ["SELECT 1", "BEGIN"] {
        run(&mut conn, begin).await;
        let mut held = lock(&site, &mut other);
        held.acquire().await.unwrap();
        let begun = Instant::now();
        let mut waiting = lock(&site, &mut conn).timeout(Duration::from_secs(1));
        assert!(waiting.acquire().await.unwrap_err().is_timeout());
        drop(waiting);
        let waited = begun.elapsed();
        assert!(waited >= Duration::from_secs(1) && waited < Duration::from_secs(1) + SOON);
        for wait in [dlock::Wait::Forever, Duration::MAX.into(), Duration::from_secs(5).into()] {
            let release = async {
                tokio::time::sleep(Duration::from_millis(400)).await;
                held.release().await.unwrap();
            };
            let mut waiting = lock(&site, &mut conn).timeout(wait);
            let (waited, ()) = tokio::join!(waiting.acquire(), release);
            waited.unwrap();
            waiting.release().await.unwrap();
            held = lock(&site, &mut other);
            held.acquire().await.unwrap();
        }
        held.release().await.unwrap();
    }
    run(&mut conn, "ROLLBACK").await;
}

/// The longest times that can be said at all, which no server takes as they are.
pub(crate) async fn times_without_end_are_waits<C: Application>(site: Site) {
    let (mut conn, mut other) = (connect::<C>(&site).await, connect::<C>(&site).await);
    for secs in [i32::MAX as u64 / 1000, i32::MAX as u64, 3_000_000_000, 3_200_000_000] {
        let mut held = on(&mut other).lock(&site.namespace);
        held.acquire().await.unwrap();
        let mut waiting = lock(&site, &mut conn).timeout(Duration::from_secs(secs));
        let soon = Duration::from_millis(100);
        tokio::select! {
            waited = waiting.acquire() => panic!("{waited:?}"),
            () = tokio::time::sleep(soon) => held.release().await.unwrap(),
        };
        drop(waiting);
        conn = connect::<C>(&site).await;
        let free = async || is_free(&site, &mut other).await;
        dlock_tests::eventually_async("it is free", crate::db::SOON, free).await;
    }
}
