//! What every lock on a connection does.

use std::time::{Duration, Instant};

use dlock::{Error, on};
use dlock_tests::Site;

use crate::db::{Application, SOON, connect, counted};

/// The same lock as a locker's of that key and namespace.
pub(crate) async fn lock_is_that_of_a_locker<C: Application>(site: Site) {
    let locker = site.locker().await;
    let mut conn = connect::<C>(&site).await;
    let mut lock = on(&mut conn).namespace(&site.namespace).lock("k");
    lock.acquire().await.unwrap();
    assert!(lock.is_held());
    assert!(locker.lock("k").try_acquire().await.unwrap().is_none());
    lock.conn().execute("SELECT 1").await.unwrap();
    assert!(lock.release().await.unwrap());
    let guard = locker.lock("k").acquire().await.unwrap();
    let mut lock = on(&mut conn).namespace(&site.namespace).lock("k");
    assert!(!lock.try_acquire().await.unwrap());
    assert!(!lock.is_held());
    drop(lock);
    guard.release().await.unwrap();
}

pub(crate) async fn release_of_an_unheld_lock_is_false<C: Application>(site: Site) {
    let mut conn = connect::<C>(&site).await;
    assert!(!on(&mut conn).lock(&site.namespace).release().await.unwrap());
}

pub(crate) async fn same_key_twice_is_reentrant<C: Application>(site: Site) {
    let mut conn = connect::<C>(&site).await;
    let mut outer = on(&mut conn).lock(&site.namespace);
    outer.acquire().await.unwrap();
    let mut inner = on(outer.conn()).lock(&site.namespace);
    let error = inner.acquire().await.unwrap_err();
    assert!(matches!(error, Error::Reentrant { .. }), "{error}");
    drop(inner);
    let error = outer.acquire().await.unwrap_err();
    assert!(matches!(error, Error::Reentrant { .. }), "{error}");
    assert!(outer.is_held());
    assert!(outer.release().await.unwrap());
}

pub(crate) async fn nested_locks_release_their_own_count<C: Application>(site: Site) {
    let (mut conn, mut other) = (connect::<C>(&site).await, connect::<C>(&site).await);
    let mut outer = on(&mut conn).lock(&site.namespace);
    outer.acquire().await.unwrap();
    let mut inner = on(outer.conn()).lock(&site.namespace).reentrant();
    inner.acquire().await.unwrap();
    assert!(inner.release().await.unwrap());
    assert!(!on(&mut other).lock(&site.namespace).try_acquire().await.unwrap());
    assert!(outer.release().await.unwrap());
    let mut lock = on(&mut other).lock(&site.namespace);
    assert!(lock.try_acquire().await.unwrap());
    assert!(lock.release().await.unwrap());
}

pub(crate) async fn timeout_is_exact<C: Application>(site: Site) {
    let (mut conn, mut other) = (connect::<C>(&site).await, connect::<C>(&site).await);
    let mut held = on(&mut other).lock(&site.namespace);
    held.acquire().await.unwrap();
    for millis in [1, 300, 1000, 1300] {
        let time = Duration::from_millis(millis);
        let mut lock = on(&mut conn).lock(&site.namespace).timeout(time);
        let begun = Instant::now();
        let error = lock.acquire().await.unwrap_err();
        let waited = begun.elapsed();
        let Error::Timeout { holder, .. } = &error else { panic!("{error}") };
        assert!(holder.is_some(), "{error}");
        assert!(waited >= time && waited < time + SOON, "{waited:?}");
    }
    held.release().await.unwrap();
}

pub(crate) async fn failed_body_is_rolled_back_and_released<C: Application>(site: Site) {
    let (mut conn, mut other) = (connect::<C>(&site).await, connect::<C>(&site).await);
    let body = async |conn: &mut C| {
        conn.execute("BEGIN").await?;
        conn.execute("SELECT no_such_column").await?;
        Ok::<_, sqlx::Error>(())
    };
    let error = on(&mut conn).lock(&site.namespace).run(body).await.unwrap_err();
    assert!(error.to_string().contains("no_such_column"), "{error}");
    assert!(on(&mut other).lock(&site.namespace).try_acquire().await.unwrap());
    conn.execute("SELECT 1").await.unwrap();
}

pub(crate) async fn a_round_trip_each<C: Application>(site: Site) {
    let (proxy, mut conn) = counted::<C>(&site).await;
    let before = proxy.round_trips();
    let mut lock = on(&mut conn).lock(&site.namespace);
    lock.acquire().await.unwrap();
    assert_eq!(proxy.round_trips() - before, 1);
    lock.release().await.unwrap();
    assert_eq!(proxy.round_trips() - before, 2);
    let mut lock = on(&mut conn).lock(&site.namespace);
    assert!(lock.try_acquire().await.unwrap());
    assert_eq!(proxy.round_trips() - before, 3);
    lock.release().await.unwrap();
}

/// Two round trips more for the end of a wait, to make sure that it has left nothing and to ask who has
/// the lock, and one for what `run` has to know of the transaction.
pub(crate) async fn waits_and_bodies_cost_little_more<C: Application>(site: Site) {
    let (proxy, mut conn) = counted::<C>(&site).await;
    let mut other = connect::<C>(&site).await;
    let mut before = proxy.round_trips();
    let mut cost = || {
        let cost = proxy.round_trips() - before;
        before += cost;
        cost
    };
    let postgres = site.backend.unwrap().is_postgres();
    for inside in [false, true] {
        if inside {
            conn.execute("BEGIN").await.unwrap();
        }
        cost();
        let mut held = on(&mut other).lock(&site.namespace);
        held.acquire().await.unwrap();
        let mut lock = on(&mut conn).lock(&site.namespace).timeout(Duration::from_millis(50));
        assert!(!lock.try_acquire().await.unwrap());
        assert_eq!(cost(), 1, "a try");
        assert!(lock.acquire().await.unwrap_err().is_timeout());
        assert_eq!(cost(), if inside && postgres { 4 } else { 3 }, "a wait in vain");
        drop(lock);
        assert!(held.release().await.unwrap());
        let body = async |_: &mut C| Ok::<_, Error>(());
        on(&mut conn).lock(&site.namespace).run(body).await.unwrap();
        assert_eq!(cost(), if inside || !postgres { 3 } else { 2 }, "a body");
        let lock = on(&mut conn).lock(&site.namespace).rollback_on_error(false);
        lock.run(body).await.unwrap();
        assert_eq!(cost(), 2, "a body that needs no rollback");
    }
}
