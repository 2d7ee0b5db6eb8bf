//! Locks on connections of a pool of one: whatever happens, the next who gets it finds it clean.

use dlock::{on, within};
use dlock_tests::{Server, Site, in_time};
use tokio_postgres::Client;

use super::db::{self, A_MOMENT, SOON, connect, deadpool, holds_some, lock, value};

pub(crate) async fn deadpool_client_locks(site: Site) {
    let pool = deadpool(&site);
    let mut other = connect(&site).await;
    let mut client = pool.get().await.unwrap();
    let mut held = on(&mut **client).lock(&site.namespace);
    held.acquire().await.unwrap();
    assert!(!lock(&mut other, &site).try_acquire().await.unwrap());
    held.conn().simple_query("SELECT 7").await.unwrap();
    assert!(held.release().await.unwrap());
    let body = async |client: &mut Client| -> db::Result<_> {
        assert!(!lock(&mut other, &site).try_acquire().await?);
        Ok(value(&client.simple_query("SELECT 7").await?).to_owned())
    };
    assert_eq!(on(&mut **client).lock(&site.namespace).run(body).await.unwrap(), "7");
    assert!(!holds_some(&client).await);
}

pub(crate) async fn deadpool_transaction_locks(site: Site) {
    let pool = deadpool(&site);
    let mut other = connect(&site).await;
    let mut client = pool.get().await.unwrap();
    let mut tx = client.transaction().await.unwrap();
    within(&mut *tx).lock(&site.namespace).acquire().await.unwrap();
    assert!(!lock(&mut other, &site).try_acquire().await.unwrap());
    tx.simple_query("SELECT 7").await.unwrap();
    tx.commit().await.unwrap();
    assert!(!holds_some(&client).await);
}

pub(crate) async fn deadpool_of_one_survives_a_drop(site: Site) {
    let pool = deadpool(&site);
    let mut client = pool.get().await.unwrap();
    let mut held = on(&mut **client).lock(&site.namespace);
    held.acquire().await.unwrap();
    drop(held);
    drop(client);
    let client = in_time("the pool gives it", SOON, pool.get()).await.unwrap();
    assert!(!holds_some(&client).await);
}

pub(crate) async fn deadpool_of_one_survives_a_cancel(site: Site) {
    let pool = deadpool(&site);
    let mut other = connect(&site).await;
    let mut held = lock(&mut other, &site);
    held.acquire().await.unwrap();
    // A request whose client has gone: all of it is dropped, with the pool's connection.
    let request = async {
        let mut client = pool.get().await.unwrap();
        on(&mut **client).lock(&site.namespace).acquire().await.unwrap();
    };
    db::cancel_the_wait(&site, request).await;
    let client = in_time("the pool gives it", SOON, pool.get()).await.unwrap();
    held.release().await.unwrap();
    assert!(!in_time("it answers", SOON, holds_some(&client)).await);
    let mut free = lock(&mut other, &site);
    assert!(free.try_acquire().await.unwrap());
    assert!(free.release().await.unwrap());
}

pub(crate) async fn deadpool_of_one_survives_a_cancelled_transaction(site: Site) {
    let pool = deadpool(&site);
    let mut other = connect(&site).await;
    let mut held = lock(&mut other, &site);
    held.acquire().await.unwrap();
    let request = async {
        let mut client = pool.get().await.unwrap();
        let mut tx = client.transaction().await.unwrap();
        within(&mut *tx).lock(&site.namespace).acquire().await.unwrap();
    };
    db::cancel_the_wait(&site, request).await;
    let client = in_time("the pool gives it", SOON, pool.get()).await.unwrap();
    held.release().await.unwrap();
    assert!(!in_time("it answers", SOON, holds_some(&client)).await);
    let sql = "SELECT now() = statement_timestamp()";
    assert_eq!(value(&client.simple_query(sql).await.unwrap()), "t", "a transaction is open");
}

pub(crate) async fn bb8_of_one_survives_a_drop_and_a_cancel(site: Site) {
    let pool = db::bb8(&site).await;
    let mut other = connect(&site).await;
    let mut client = pool.get().await.unwrap();
    let mut held = on(&mut *client).lock(&site.namespace);
    held.acquire().await.unwrap();
    assert!(!lock(&mut other, &site).try_acquire().await.unwrap());
    drop(held);
    drop(client);
    assert!(!holds_some(&pool.get().await.unwrap()).await);

    let mut held = lock(&mut other, &site);
    held.acquire().await.unwrap();
    let request = async {
        let mut client = pool.get().await.unwrap();
        on(&mut *client).lock(&site.namespace).acquire().await.unwrap();
    };
    db::cancel_the_wait(&site, request).await;
    held.release().await.unwrap();
    let mut client = in_time("the pool gives it", SOON, pool.get()).await.unwrap();
    assert!(!holds_some(&client).await);
    let mut tx = client.transaction().await.unwrap();
    within(&mut tx).lock(&site.namespace).acquire().await.unwrap();
    tx.commit().await.unwrap();
    assert!(!holds_some(&client).await);
}

/// One that shares its two connections among all, transaction by transaction.
pub(crate) async fn pgbouncer_passes_locks_of_a_transaction(site: Site) {
    let Some(server) = Server::like(&site, &[]) else { return };
    let settings = ["pool_mode=transaction", "default_pool_size=2"];
    let Some(pooler) = server.beside("pgbouncer", &settings) else { return };
    let (direct, site) = (site.through(server.url()), site.through(pooler.url()));
    let (mut client, mut other) = (connect(&site).await, connect(&site).await);
    for _ in 0..5 {
        let mut tx = client.transaction().await.unwrap();
        within(&mut tx).lock(&site.namespace).acquire().await.unwrap();
        let mut too = other.transaction().await.unwrap();
        let wait = within(&mut too).lock(&site.namespace).timeout(A_MOMENT);
        assert!(wait.acquire().await.unwrap_err().is_timeout());
        tx.commit().await.unwrap();
        within(&mut too).lock(&site.namespace).acquire().await.unwrap();
        too.commit().await.unwrap();
        db::nothing_is_left(&direct).await;
    }
    // Neither limit has stayed with a connection.
    for client in [&client, &other] {
        let sql = "SELECT current_setting('lock_timeout') || current_setting('statement_timeout')";
        assert_eq!(value(&client.simple_query(sql).await.unwrap()), "00");
    }
}
