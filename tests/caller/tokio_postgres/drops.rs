//! What becomes of a lock that is dropped while it is held, and of an acquire that is cancelled.

use std::future::pending;
use std::pin::pin;
use std::task::{Context, Waker};

use dlock::{on, within};
use dlock_tests::{Site, Witness, eventually_async, in_time};
use tokio_postgres::Client;

use super::db::{self, A_MOMENT, SOON, connect, holds_some, lock};

/// Polls it once and drops it. On a busy machine it may be over by that: the connection answers from
/// another thread.
fn poll<F: Future>(future: F) {
    let _ = pin!(future).poll(&mut Context::from_waker(Waker::noop()));
}

/// What [`lock`]'s drop relies on, said of tokio-postgres: a query is on its way once it was polled.
pub(crate) async fn first_poll_sends(site: Site) {
    let client = connect(&site).await;
    let first = client
        .simple_query("SELECT pg_advisory_lock(hashtext(current_setting('application_name')))");
    poll(first);
    assert!(holds_some(&client).await);
    let never = client.simple_query("SELECT pg_advisory_unlock_all()");
    drop(never);
    assert!(holds_some(&client).await);
}

pub(crate) async fn unpolled_acquire_leaves_nothing(site: Site) {
    let mut client = connect(&site).await;
    let mut held = lock(&mut client, &site);
    drop(held.acquire());
    drop(held);
    assert!(!holds_some(&client).await);
}

pub(crate) async fn held_lock_is_given_back(site: Site) {
    let mut client = connect(&site).await;
    let mut held =
        on(&mut client).lock_all([site.namespace.clone(), format!("{}:b", site.namespace)]);
    held.acquire().await.unwrap();
    drop(held);
    // In order, behind whatever was sent before: so the very next query finds it done.
    assert!(!holds_some(&client).await);
    let mut tx = client.transaction().await.unwrap();
    let mut held = on(&mut tx).lock(&site.namespace);
    held.acquire().await.unwrap();
    drop(held);
    drop(tx);
    assert!(!holds_some(&client).await);
}

pub(crate) async fn held_lock_is_given_back_without_a_runtime(site: Site) {
    let mut client = connect(&site).await;
    let mut held = lock(&mut client, &site);
    held.acquire().await.unwrap();
    std::thread::scope(|threads| threads.spawn(|| drop(held)).join().unwrap());
    assert!(!holds_some(&client).await);
}

pub(crate) async fn cancelled_acquire_is_given_back(site: Site) {
    let (mut client, mut other) = (connect(&site).await, connect(&site).await);
    let mut held = lock(&mut other, &site);
    held.acquire().await.unwrap();
    let mut waiting = lock(&mut client, &site);
    db::cancel_the_wait(&site, waiting.acquire()).await;
    assert!(!waiting.is_held());
    drop(waiting);
    held.release().await.unwrap();
    assert!(!in_time("it answers", SOON, holds_some(&client)).await);

    // Instead of being dropped, it may be used again.
    let mut held = lock(&mut other, &site);
    held.acquire().await.unwrap();
    let mut waiting = lock(&mut client, &site);
    db::cancel_the_wait(&site, waiting.acquire()).await;
    held.release().await.unwrap();
    in_time("it has it", SOON, waiting.acquire()).await.unwrap();
    assert!(waiting.release().await.unwrap());
    assert!(!holds_some(&client).await);

    // Also before the server was asked twice, and before it has answered at all.
    let mut waiting = lock(&mut client, &site);
    poll(waiting.acquire());
    drop(waiting);
    assert!(!holds_some(&client).await);
}

/// Under another lock of the same connection it gives back its own count and no more.
pub(crate) async fn cancelled_nested_acquire_leaves_the_outer_lock(site: Site) {
    let mut client = connect(&site).await;
    for reentrant in [false, true] {
        let mut outer = lock(&mut client, &site);
        outer.acquire().await.unwrap();
        let inner = on(outer.conn()).lock(&site.namespace);
        let mut inner = if reentrant { inner.reentrant() } else { inner };
        poll(inner.acquire());
        drop(inner);
        assert!(holds_some(outer.conn()).await);
        assert!(outer.release().await.unwrap());
        assert!(!holds_some(&client).await, "reentrant: {reentrant}");
    }
}

/// The session of a transaction is that of its client.
pub(crate) async fn cancelled_acquire_in_a_transaction_leaves_the_outer_lock(site: Site) {
    let mut client = connect(&site).await;
    for reentrant in [false, true] {
        let mut outer = lock(&mut client, &site);
        outer.acquire().await.unwrap();
        let mut tx = outer.conn().transaction().await.unwrap();
        let inner = on(&mut tx).lock(&site.namespace);
        let mut inner = if reentrant { inner.reentrant() } else { inner };
        poll(inner.acquire());
        drop(inner);
        tx.commit().await.unwrap();
        assert!(holds_some(outer.conn()).await);
        assert!(outer.release().await.unwrap());
        assert!(!holds_some(&client).await, "reentrant: {reentrant}");
    }
}

/// What is sent twice would take the outer lock's count.
pub(crate) async fn cancelled_release_takes_its_own_count_only(site: Site) {
    let mut client = connect(&site).await;
    for _ in 0..20 {
        let mut outer = lock(&mut client, &site);
        outer.acquire().await.unwrap();
        let mut inner = lock(outer.conn(), &site).reentrant();
        inner.acquire().await.unwrap();
        poll(inner.release());
        assert!(holds_some(outer.conn()).await);
        assert!(outer.release().await.unwrap());
        assert!(!holds_some(&client).await);
    }
}

/// Nothing was open when it was taken: what has failed since is rolled back for the release.
pub(crate) async fn cancelled_release_in_a_failed_transaction_lets_go(site: Site) {
    let mut client = connect(&site).await;
    let mut held = lock(&mut client, &site);
    held.acquire().await.unwrap();
    held.conn().batch_execute("BEGIN").await.unwrap();
    held.conn().batch_execute("SELECT no_such_column").await.unwrap_err();
    poll(held.release());
    assert!(!holds_some(&client).await);

    let body = async |client: &mut Client| -> db::Result {
        client.batch_execute("BEGIN").await?;
        client.batch_execute("SELECT no_such_column").await.unwrap_err();
        pending().await
    };
    let cut = tokio::time::timeout(A_MOMENT, lock(&mut client, &site).run(body)).await;
    assert!(cut.is_err());
    assert!(!holds_some(&client).await);
}

pub(crate) async fn cancelled_acquire_in_a_transaction_is_given_back(site: Site) {
    let (mut client, mut other) = (connect(&site).await, connect(&site).await);
    for granted in [true, false] {
        let mut held = lock(&mut other, &site);
        held.acquire().await.unwrap();
        let mut tx = client.transaction().await.unwrap();
        let time = if granted { SOON * 6 } else { A_MOMENT * 10 };
        let mut waiting = on(&mut tx).lock(&site.namespace).timeout(time);
        db::cancel_the_wait(&site, waiting.acquire()).await;
        drop(waiting);
        if granted {
            held.release().await.unwrap();
            tx.simple_query("SELECT 7").await.unwrap();
            tx.commit().await.unwrap();
        } else {
            // The wait has failed, and the transaction with it.
            assert!(in_time("it answers", SOON, tx.simple_query("SELECT 7")).await.is_err());
            drop(tx);
            held.release().await.unwrap();
        }
        assert!(!holds_some(&client).await);
    }
}

pub(crate) async fn cancelled_within_is_given_back(site: Site) {
    let (mut client, mut other) = (connect(&site).await, connect(&site).await);
    let mut held = lock(&mut other, &site);
    held.acquire().await.unwrap();
    let mut tx = client.transaction().await.unwrap();
    let waiting = within(&mut tx).lock(&site.namespace).acquire();
    db::cancel_the_wait(&site, waiting).await;
    drop(tx);
    held.release().await.unwrap();
    assert!(!in_time("it answers", SOON, holds_some(&client)).await);
}

/// Its body's transaction ends first, then the lock.
pub(crate) async fn cancelled_run_is_rolled_back_and_released(site: Site) {
    let mut client = connect(&site).await;
    let mut witness = Witness::at(&site.url).await;
    let body = async |client: &mut Client| -> db::Result {
        let tx = client.transaction().await?;
        tx.batch_execute("SELECT no_such_column").await.unwrap_err();
        pending().await
    };
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 \
        AND state = 'idle in transaction (aborted)'";
    tokio::select! {
        _ = lock(&mut client, &site).run(body) => panic!("it has no end"),
        _ = eventually_async("the body has begun", SOON, async || witness.number(sql, &site).await == 1) => {}
    }
    assert!(!holds_some(&client).await);
}

/// There the server takes nothing but the end of the transaction, which is the caller's to send.
pub(crate) async fn lock_dropped_in_a_failed_transaction_stays(site: Site) {
    let mut client = connect(&site).await;
    let mut tx = client.transaction().await.unwrap();
    let mut held = on(&mut tx).lock(&site.namespace);
    held.acquire().await.unwrap();
    held.conn().batch_execute("SELECT no_such_column").await.unwrap_err();
    drop(held);
    drop(tx);
    assert!(holds_some(&client).await);

    // So the lock is to be around the transaction: then that ends before it.
    client.batch_execute("SELECT pg_advisory_unlock_all()").await.unwrap();
    let mut held = lock(&mut client, &site);
    held.acquire().await.unwrap();
    let tx = held.conn().transaction().await.unwrap();
    tx.batch_execute("SELECT no_such_column").await.unwrap_err();
    drop(tx);
    drop(held);
    assert!(!holds_some(&client).await);
}
