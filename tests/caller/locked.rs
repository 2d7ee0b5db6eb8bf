//! `#[locked(on = conn)]`: a lock on a connection of the caller's, around the body.

#![allow(deprecated, reason = "on MySQL bare connections are warned of, and none here is a pool's")]

use std::future::pending;
use std::time::Duration;

use async_trait::async_trait;
use dlock::{Connection, Error, locked, on};
use dlock_tests::Site;

use sqlx::pool::PoolConnection;

use crate::db::{Application, connect, pool};

type Taken<T = ()> = Result<T, sqlx::Error>;

/// Whether somebody holds the lock.
pub(crate) async fn is_held<C: Application>(site: &Site, key: &str) -> bool {
    let mut conn = connect::<C>(site).await;
    !on(&mut conn).lock(key).try_acquire().await.unwrap()
}

/// A query.
pub(crate) async fn ask<C: Application>(conn: &mut C) -> Taken {
    conn.execute("SELECT 1").await
}

#[locked(key = "<site.namespace>", on = conn)]
async fn ask_twice<C: Application>(conn: &mut C, site: &Site) -> Taken<bool> {
    ask(&mut *conn).await?;
    ask(conn).await?;
    Ok(is_held::<C>(site, &site.namespace).await)
}

#[locked(key = "<key>", on = conn)]
async fn ask_anything<C: Connection>(mut conn: &mut C, mut other: &mut C, key: &str) -> Taken {
    // As they are two of one type, each can be either.
    std::mem::swap(&mut conn, &mut other);
    Ok(())
}

pub(crate) async fn body_has_the_connection<C: Application>(site: Site) {
    let (mut conn, mut other) = (connect::<C>(&site).await, connect::<C>(&site).await);
    assert!(ask_twice(&mut conn, &site).await.unwrap());
    assert!(!is_held::<C>(&site, &site.namespace).await);
    ask_anything(&mut conn, &mut other, &site.namespace).await.unwrap();
    assert!(!is_held::<C>(&site, &site.namespace).await);
}

#[locked(key = "<key>", on = conn)]
async fn fail_inside<C: Application>(conn: &mut C, key: &str) -> Taken {
    conn.execute("BEGIN").await?;
    conn.execute("SELECT no_such_column").await?;
    Ok(())
}

pub(crate) async fn error_of_the_body_comes_back<C: Application>(site: Site) {
    let mut conn = connect::<C>(&site).await;
    let error = fail_inside(&mut conn, &site.namespace).await.unwrap_err();
    assert!(error.to_string().contains("no_such_column"), "{error}");
    assert!(!is_held::<C>(&site, &site.namespace).await);
    ask(&mut conn).await.unwrap();
}

#[locked(key = "<key>", on = conn, timeout = 0, on_busy = skip, on_error = |error| panic!("{error}"))]
async fn run_if_free<C: Application>(conn: &mut PoolConnection<C::Database>, key: &str) -> bool {
    ask(&mut **conn).await.is_ok()
}

#[locked(
    key = "<key>",
    on = conn,
    timeout = "200ms",
    on_busy = Err(format!("{name} has to wait")),
    on_error = |error| Err(error.to_string())
)]
async fn give_back<C: Application>(
    conn: &mut C,
    key: &str,
    name: String,
) -> Result<String, String> {
    ask(conn).await.map(|()| name).map_err(|error| error.to_string())
}

pub(crate) async fn busy_lock_is_what_it_is_said_to_be<C: Application>(site: Site) {
    let (mut bare, mut other) = (connect::<C>(&site).await, connect::<C>(&site).await);
    let mut conn = pool::<C>(&site, 1).await.acquire().await.unwrap();
    let mut held = on(&mut other).lock(&site.namespace);
    held.acquire().await.unwrap();
    assert!(!run_if_free::<C>(&mut conn, &site.namespace).await);
    let mut call = async || give_back(&mut bare, &site.namespace, "it".to_owned()).await;
    assert_eq!(call().await.unwrap_err(), "it has to wait");
    held.release().await.unwrap();
    assert!(run_if_free::<C>(&mut conn, &site.namespace).await);
    assert_eq!(call().await.unwrap(), "it");
}

#[locked(keys = ["<key>:a", "<key>:b"], on = conn)]
async fn both<C: Application>(conn: &mut C, site: &Site, key: &str) -> Taken<[bool; 2]> {
    let _ = conn;
    Ok([
        is_held::<C>(site, &format!("{key}:a")).await,
        is_held::<C>(site, &format!("{key}:b")).await,
    ])
}

#[locked(key = "<key>", on = conn, reentrant)]
async fn down<C: Application>(conn: &mut C, site: &Site, key: &str, depth: u8) -> Taken<u8> {
    match depth {
        0 => Ok(u8::from(is_held::<C>(site, key).await)),
        _ => Ok(1 + Box::pin(down(conn, site, key, depth - 1)).await?),
    }
}

#[locked(key = "<key>", on = conn)]
async fn once<C: Application>(conn: &mut C, key: &str, again: bool) -> Result<(), Error> {
    match again {
        true => Box::pin(once(conn, key, false)).await,
        false => Ok(()),
    }
}

pub(crate) async fn several_keys_and_one_key_again<C: Application>(site: Site) {
    let (mut conn, key) = (connect::<C>(&site).await, &*site.namespace);
    assert_eq!(both(&mut conn, &site, key).await.unwrap(), [true, true]);
    assert_eq!(down(&mut conn, &site, key, 3).await.unwrap(), 4);
    assert!(!is_held::<C>(&site, key).await);
    let error = once(&mut conn, key, true).await.unwrap_err();
    assert!(matches!(error, Error::Reentrant { .. }), "{error}");
    assert!(!is_held::<C>(&site, key).await);
}

struct Shop {
    key: String,
}

#[async_trait]
trait Sells {
    async fn sell<C: Application>(&self, conn: &mut C, site: &Site) -> Taken<bool>;
}

#[async_trait]
impl Sells for Shop {
    #[locked(key = "<self.key>", on = conn)]
    async fn sell<C: Application>(&self, mut conn: &mut C, site: &Site) -> Taken<bool> {
        ask(&mut *conn).await?;
        let again = &mut conn;
        ask(&mut **again).await?;
        Ok(is_held::<C>(site, &self.key).await)
    }
}

impl Shop {
    #[locked(key = "<self.key>", on = conn)]
    async fn close<C: Application>(self, conn: &mut C, site: &Site) -> Taken<bool> {
        let held = is_held::<C>(site, &self.key).await;
        ask(conn).await.map(|()| held)
    }
}

pub(crate) async fn methods_are_locked<C: Application>(site: Site) {
    let mut conn = connect::<C>(&site).await;
    let shop = Shop { key: site.namespace.clone() };
    assert!(shop.sell(&mut conn, &site).await.unwrap());
    assert!(shop.close(&mut conn, &site).await.unwrap());
    assert!(!is_held::<C>(&site, &site.namespace).await);
}

#[locked(key = "<key>", on = conn)]
async fn never_ends<C: Application>(conn: &mut PoolConnection<C::Database>, key: &str) -> Taken {
    ask(&mut **conn).await?;
    pending().await
}

pub(crate) async fn cancelled_body_leaves_nothing<C: Application>(site: Site) {
    let pool = pool::<C>(&site, 1).await;
    let mut conn = pool.acquire().await.unwrap();
    let call = never_ends::<C>(&mut conn, &site.namespace);
    fn is_send(_: &impl Send) {}
    is_send(&call);
    assert!(tokio::time::timeout(Duration::from_millis(500), call).await.is_err());
    drop(conn);
    let begun = std::time::Instant::now();
    while is_held::<C>(&site, &site.namespace).await {
        assert!(begun.elapsed() < Duration::from_secs(5), "the lock is still held");
    }
    ask::<C>(&mut pool.acquire().await.unwrap()).await.unwrap();
}
