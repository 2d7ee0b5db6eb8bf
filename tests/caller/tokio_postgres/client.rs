//! A lock on a bare client.

use std::time::{Duration, Instant};

use dlock::{Error, on};
use dlock_tests::{Site, Witness, in_time};
use tokio_postgres::Client;

use super::db::{self, A_MOMENT, SOON, connect, lock, value};

pub(crate) async fn lock_is_that_of_a_locker(site: Site) {
    let locker = site.locker().await;
    let mut client = connect(&site).await;
    let mut held = on(&mut client).namespace(&site.namespace).lock("k");
    held.acquire().await.unwrap();
    assert!(held.is_held());
    assert!(locker.lock("k").try_acquire().await.unwrap().is_none());
    assert_eq!(value(&held.conn().simple_query("SELECT 7").await.unwrap()), "7");
    assert!(held.release().await.unwrap());
    let guard = locker.lock("k").acquire().await.unwrap();
    let mut other = on(&mut client).namespace(&site.namespace).lock("k");
    assert!(!other.try_acquire().await.unwrap());
    assert!(!other.is_held());
    assert!(!other.release().await.unwrap());
    guard.release().await.unwrap();
}

pub(crate) async fn several_are_one(site: Site) {
    let (mut client, mut other) = (connect(&site).await, connect(&site).await);
    let keys = |names: &[&str]| -> Vec<String> {
        names.iter().map(|name| format!("{}:{name}", site.namespace)).collect()
    };
    let mut held = on(&mut client).lock_all(keys(&["a", "b", "a"]));
    held.acquire().await.unwrap();
    let mut too = on(&mut other).lock_all(keys(&["c", "b"])).timeout(A_MOMENT);
    assert!(too.acquire().await.unwrap_err().is_timeout());
    assert!(held.release().await.unwrap());
    // Nothing was left of the one that was free.
    assert!(!too.is_held());
    assert!(too.try_acquire().await.unwrap());
    assert!(too.release().await.unwrap());
    db::nothing_is_left(&site).await;
}

pub(crate) async fn waiter_gets_it_at_the_release(site: Site) {
    let (mut client, mut other) = (connect(&site).await, connect(&site).await);
    let mut held = lock(&mut client, &site);
    held.acquire().await.unwrap();
    let too = site.clone();
    let waiter = tokio::spawn(async move {
        let mut waiting = lock(&mut other, &too);
        waiting.acquire().await.unwrap();
        waiting.release().await.unwrap()
    });
    db::somebody_waits(&site).await;
    held.release().await.unwrap();
    assert!(in_time("the waiter has it", SOON, waiter).await.unwrap());
}

pub(crate) async fn timeout_is_exact_and_names_the_holder(site: Site) {
    let (mut client, mut other) = (connect(&site).await, connect(&site).await);
    let mut held = lock(&mut other, &site);
    held.acquire().await.unwrap();
    let time = Duration::from_millis(300);
    let mut waiting = lock(&mut client, &site).timeout(time);
    let begun = Instant::now();
    let error = waiting.acquire().await.unwrap_err();
    let waited = begun.elapsed();
    assert!(waited >= time && waited < time + SOON, "{waited:?}");
    assert!(error.is_timeout(), "{error}");
    assert!(error.to_string().contains(&site.name), "{error}");
    held.release().await.unwrap();
    waiting.acquire().await.unwrap();
    assert!(waiting.release().await.unwrap());
}

pub(crate) async fn same_key_twice_is_reentrant(site: Site) {
    let (mut client, mut other) = (connect(&site).await, connect(&site).await);
    let mut outer = lock(&mut client, &site);
    outer.acquire().await.unwrap();
    let mut inner = lock(outer.conn(), &site);
    let error = inner.acquire().await.unwrap_err();
    assert!(matches!(error, Error::Reentrant { .. }), "{error}");
    drop(inner);
    let mut inner = lock(outer.conn(), &site).reentrant();
    inner.acquire().await.unwrap();
    assert!(inner.release().await.unwrap());
    assert!(!lock(&mut other, &site).try_acquire().await.unwrap());
    assert!(outer.release().await.unwrap());
    let mut free = lock(&mut other, &site);
    assert!(free.try_acquire().await.unwrap());
    assert!(free.release().await.unwrap());
}

pub(crate) async fn run_passes_the_connection(site: Site) {
    let (mut client, mut other) = (connect(&site).await, connect(&site).await);
    let body = async |client: &mut Client| -> db::Result<_> {
        assert!(!lock(&mut other, &site).try_acquire().await?);
        // The body's own transaction, under the lock.
        let tx = client.transaction().await?;
        let messages = tx.simple_query("SELECT 7").await?;
        tx.commit().await?;
        Ok(value(&messages).to_owned())
    };
    assert_eq!(lock(&mut client, &site).run(body).await.unwrap(), "7");
    db::nothing_is_left(&site).await;
}

pub(crate) async fn failed_body_is_rolled_back_and_released(site: Site) {
    let mut client = connect(&site).await;
    let body = async |client: &mut Client| -> db::Result {
        client.batch_execute("BEGIN").await?;
        client.batch_execute("SELECT no_such_column").await?;
        Ok(())
    };
    let error = lock(&mut client, &site).run(body).await.unwrap_err();
    let error = error.downcast::<tokio_postgres::Error>().unwrap();
    assert_eq!(error.code().unwrap().code(), "42703");
    db::nothing_is_left(&site).await;
    assert_eq!(value(&client.simple_query("SELECT 7").await.unwrap()), "7");
}

pub(crate) async fn lost_session_is_told(site: Site) {
    let mut client = connect(&site).await;
    let mut held = lock(&mut client, &site);
    held.acquire().await.unwrap();
    assert_eq!(Witness::at(&site.url).await.terminate(&site).await, 1);
    let error = in_time("the release ends", SOON, held.release()).await.unwrap_err();
    assert!(matches!(error, Error::Lost { .. }), "{error:?}");
    // And nothing is sent where there is nobody.
    let error = in_time("it ends", SOON, lock(&mut client, &site).acquire()).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
}
