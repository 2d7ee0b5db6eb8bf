//! `#[locked(on = conn)]`: a lock on a connection of the caller's, around the body.

#![allow(deprecated, reason = "on MySQL bare connections are warned of, and none here is a pool's")]

use std::future::pending;
use std::time::Duration;

use async_trait::async_trait;
use dlock::{Connection, Error, locked, on};
use dlock_tests::Site;
use sqlx::Executor;

use crate::Db;
use crate::db::{Conn, PoolConn, connect, pool};

type Taken<T = ()> = Result<T, sqlx::Error>;

/// Whether somebody holds the lock.
pub(crate) async fn is_held(site: &Site, key: &str) -> bool {
    let mut conn = connect(site).await;
    !on(&mut conn).lock(key).try_acquire().await.unwrap()
}

/// A query, on whatever runs one.
pub(crate) async fn ask<'c>(at: impl Executor<'c, Database = Db>) -> Taken {
    at.execute("SELECT 1").await.map(drop)
}

#[locked(key = "<site.namespace>", on = conn)]
async fn ask_twice(conn: &mut Conn, site: &Site) -> Taken<bool> {
    ask(&mut *conn).await?;
    ask(conn).await?;
    Ok(is_held(site, &site.namespace).await)
}

#[locked(key = "<key>", on = conn)]
async fn ask_anything<C: Connection>(mut conn: &mut C, mut other: &mut C, key: &str) -> Taken {
    // As they are two of one type, each can be either.
    std::mem::swap(&mut conn, &mut other);
    Ok(())
}

pub(crate) async fn body_has_the_connection(site: Site) {
    let (mut conn, mut other) = (connect(&site).await, connect(&site).await);
    assert!(ask_twice(&mut conn, &site).await.unwrap());
    assert!(!is_held(&site, &site.namespace).await);
    ask_anything(&mut conn, &mut other, &site.namespace).await.unwrap();
    assert!(!is_held(&site, &site.namespace).await);
}

#[locked(key = "<key>", on = conn)]
async fn fail_inside(conn: &mut Conn, key: &str) -> Taken {
    conn.execute("BEGIN").await?;
    conn.execute("SELECT no_such_column").await?;
    Ok(())
}

pub(crate) async fn error_of_the_body_comes_back(site: Site) {
    let mut conn = connect(&site).await;
    let error = fail_inside(&mut conn, &site.namespace).await.unwrap_err();
    assert!(error.to_string().contains("no_such_column"), "{error}");
    assert!(!is_held(&site, &site.namespace).await);
    ask(&mut conn).await.unwrap();
}

#[locked(key = "<key>", on = conn, timeout = 0, on_busy = skip, on_error = |error| panic!("{error}"))]
async fn run_if_free(conn: &mut PoolConn, key: &str) -> bool {
    ask(&mut **conn).await.is_ok()
}

#[locked(
    key = "<key>",
    on = conn,
    timeout = "200ms",
    on_busy = Err(format!("{name} has to wait")),
    on_error = |error| Err(error.to_string())
)]
async fn give_back(conn: &mut Conn, key: &str, name: String) -> Result<String, String> {
    ask(conn).await.map(|()| name).map_err(|error| error.to_string())
}

pub(crate) async fn busy_lock_is_what_it_is_said_to_be(site: Site) {
    let (mut bare, mut other) = (connect(&site).await, connect(&site).await);
    let mut conn = pool(&site, 1).await.acquire().await.unwrap();
    let mut held = on(&mut other).lock(&site.namespace);
    held.acquire().await.unwrap();
    assert!(!run_if_free(&mut conn, &site.namespace).await);
    let mut call = async || give_back(&mut bare, &site.namespace, "it".to_owned()).await;
    assert_eq!(call().await.unwrap_err(), "it has to wait");
    held.release().await.unwrap();
    assert!(run_if_free(&mut conn, &site.namespace).await);
    assert_eq!(call().await.unwrap(), "it");
}

#[locked(keys = ["<key>:a", "<key>:b"], on = conn)]
async fn both(conn: &mut Conn, site: &Site, key: &str) -> Taken<[bool; 2]> {
    let _ = conn;
    Ok([is_held(site, &format!("{key}:a")).await, is_held(site, &format!("{key}:b")).await])
}

#[locked(key = "<key>", on = conn, reentrant)]
async fn down(conn: &mut Conn, site: &Site, key: &str, depth: u8) -> Taken<u8> {
    match depth {
        0 => Ok(u8::from(is_held(site, key).await)),
        _ => Ok(1 + Box::pin(down(conn, site, key, depth - 1)).await?),
    }
}

#[locked(key = "<key>", on = conn)]
async fn once(conn: &mut Conn, key: &str, again: bool) -> Result<(), Error> {
    match again {
        true => Box::pin(once(conn, key, false)).await,
        false => Ok(()),
    }
}

pub(crate) async fn several_keys_and_one_key_again(site: Site) {
    let (mut conn, key) = (connect(&site).await, &*site.namespace);
    assert_eq!(both(&mut conn, &site, key).await.unwrap(), [true, true]);
    assert_eq!(down(&mut conn, &site, key, 3).await.unwrap(), 4);
    assert!(!is_held(&site, key).await);
    let error = once(&mut conn, key, true).await.unwrap_err();
    assert!(matches!(error, Error::Reentrant { .. }), "{error}");
    assert!(!is_held(&site, key).await);
}

struct Shop {
    key: String,
}

#[async_trait]
trait Sells {
    async fn sell(&self, conn: &mut Conn, site: &Site) -> Taken<bool>;
}

#[async_trait]
impl Sells for Shop {
    #[locked(key = "<self.key>", on = conn)]
    async fn sell(&self, mut conn: &mut Conn, site: &Site) -> Taken<bool> {
        ask(&mut *conn).await?;
        let again = &mut conn;
        ask(&mut **again).await?;
        Ok(is_held(site, &self.key).await)
    }
}

impl Shop {
    #[locked(key = "<self.key>", on = conn)]
    async fn close(self, conn: &mut Conn, site: &Site) -> Taken<bool> {
        let held = is_held(site, &self.key).await;
        ask(conn).await.map(|()| held)
    }
}

pub(crate) async fn methods_are_locked(site: Site) {
    let mut conn = connect(&site).await;
    let shop = Shop { key: site.namespace.clone() };
    assert!(shop.sell(&mut conn, &site).await.unwrap());
    assert!(shop.close(&mut conn, &site).await.unwrap());
    assert!(!is_held(&site, &site.namespace).await);
}

#[locked(key = "<key>", on = conn)]
async fn never_ends(conn: &mut PoolConn, key: &str) -> Taken {
    ask(&mut **conn).await?;
    pending().await
}

pub(crate) async fn cancelled_body_leaves_nothing(site: Site) {
    let pool = pool(&site, 1).await;
    let mut conn = pool.acquire().await.unwrap();
    let call = never_ends(&mut conn, &site.namespace);
    fn is_send(_: &impl Send) {}
    is_send(&call);
    assert!(tokio::time::timeout(Duration::from_millis(500), call).await.is_err());
    drop(conn);
    let begun = std::time::Instant::now();
    while is_held(&site, &site.namespace).await {
        assert!(begun.elapsed() < Duration::from_secs(5), "the lock is still held");
    }
    ask(&pool).await.unwrap();
}
