//! A lock in a transaction of tokio-postgres, and one on it.

use dlock::{Error, on, within};
use dlock_tests::Site;

use super::db::{self, A_MOMENT, connect, lock, value};

const LIMITS: &str =
    "SELECT current_setting('lock_timeout') || ' ' || current_setting('statement_timeout')";

pub(crate) async fn lock_ends_with_the_transaction(site: Site) {
    let (mut client, mut other) = (connect(&site).await, connect(&site).await);
    for commit in [true, false] {
        let mut tx = client.transaction().await.unwrap();
        within(&mut tx).lock(&site.namespace).acquire().await.unwrap();
        // As often as one likes.
        assert!(within(&mut tx).lock(&site.namespace).try_acquire().await.unwrap());
        assert!(!lock(&mut other, &site).try_acquire().await.unwrap());
        if commit {
            tx.commit().await.unwrap()
        } else {
            tx.rollback().await.unwrap()
        }
        let mut free = lock(&mut other, &site);
        assert!(free.try_acquire().await.unwrap());
        assert!(free.release().await.unwrap());
    }
}

pub(crate) async fn timeout_leaves_the_transaction_as_it_was(site: Site) {
    let (mut client, mut other) = (connect(&site).await, connect(&site).await);
    let mut held = lock(&mut other, &site);
    held.acquire().await.unwrap();
    let mut tx = client.transaction().await.unwrap();
    tx.batch_execute(
        "CREATE TEMPORARY TABLE t (n int) ON COMMIT PRESERVE ROWS; INSERT INTO t VALUES (7);
         SET LOCAL lock_timeout = '7s'; SET LOCAL statement_timeout = '77s'",
    )
    .await
    .unwrap();
    let lock = within(&mut tx).lock_all([site.namespace.clone(), "free".into()]).timeout(A_MOMENT);
    let error = lock.acquire().await.unwrap_err();
    assert!(error.is_timeout(), "{error}");
    let lock = within(&mut tx).lock(&site.namespace).timeout(A_MOMENT);
    let error = lock.acquire().await.unwrap_err();
    assert!(error.to_string().contains(&site.name), "{error}");
    assert!(!within(&mut tx).lock(&site.namespace).try_acquire().await.unwrap());
    assert_eq!(value(&tx.simple_query(LIMITS).await.unwrap()), "7s 77s");
    held.release().await.unwrap();
    within(&mut tx).lock(&site.namespace).acquire().await.unwrap();
    assert_eq!(value(&tx.simple_query(LIMITS).await.unwrap()), "7s 77s");
    tx.commit().await.unwrap();
    assert_eq!(value(&client.simple_query("SELECT n FROM t").await.unwrap()), "7");
    db::nothing_is_left(&site).await;
}

/// A savepoint's end is not the transaction's; going back to it is the lock's.
pub(crate) async fn savepoint_takes_the_lock_back(site: Site) {
    let (mut client, mut other) = (connect(&site).await, connect(&site).await);
    let mut tx = client.transaction().await.unwrap();
    for kept in [false, true] {
        let mut savepoint = tx.transaction().await.unwrap();
        within(&mut savepoint).lock(&site.namespace).acquire().await.unwrap();
        if kept {
            savepoint.commit().await.unwrap()
        } else {
            drop(savepoint)
        }
        tx.simple_query("SELECT 7").await.unwrap();
        let mut too = lock(&mut other, &site);
        assert_eq!(too.try_acquire().await.unwrap(), !kept);
        too.release().await.unwrap();
    }
    tx.commit().await.unwrap();
}

pub(crate) async fn without_a_transaction_is_refused(site: Site) {
    let mut client = connect(&site).await;
    let error = within(&mut client).lock(&site.namespace).acquire().await.unwrap_err();
    assert!(matches!(error, Error::Config { .. }), "{error:?}");
    let error = within(&mut client).lock(&site.namespace).try_acquire().await.unwrap_err();
    assert!(matches!(error, Error::Config { .. }), "{error:?}");
    assert!(!db::holds_some(&client).await);
}

pub(crate) async fn failed_transaction_is_refused(site: Site) {
    let mut client = connect(&site).await;
    let mut tx = client.transaction().await.unwrap();
    tx.batch_execute("SELECT no_such_column").await.unwrap_err();
    let error = within(&mut tx).lock(&site.namespace).acquire().await.unwrap_err();
    assert!(matches!(error, Error::Config { .. }), "{error:?}");
    let error = on(&mut tx).lock(&site.namespace).acquire().await.unwrap_err();
    assert!(matches!(error, Error::Config { .. }), "{error:?}");
    tx.rollback().await.unwrap();
    assert!(!db::holds_some(&client).await);
}

pub(crate) async fn lock_on_a_transaction_outlives_it(site: Site) {
    let (mut client, mut other) = (connect(&site).await, connect(&site).await);
    let mut held = lock(&mut client, &site);
    held.acquire().await.unwrap();
    let mut tx = held.conn().transaction().await.unwrap();
    let mut inner = on(&mut tx).lock(format!("{}:inner", site.namespace));
    inner.acquire().await.unwrap();
    inner.conn().simple_query("SELECT 7").await.unwrap();
    assert!(inner.release().await.unwrap());
    tx.rollback().await.unwrap();
    assert!(!lock(&mut other, &site).try_acquire().await.unwrap());
    assert!(held.release().await.unwrap());
}

pub(crate) async fn lock_on_a_failed_transaction_cannot_be_released(site: Site) {
    let mut client = connect(&site).await;
    let mut tx = client.transaction().await.unwrap();
    let mut held = on(&mut tx).lock(&site.namespace);
    held.acquire().await.unwrap();
    held.conn().batch_execute("SELECT no_such_column").await.unwrap_err();
    let error = held.release().await.unwrap_err();
    assert!(matches!(error, Error::Config { .. }), "{error:?}");
    // By `run` it can: what the body has broken is rolled back to where it began.
    tx.rollback().await.unwrap();
    client.batch_execute("SELECT pg_advisory_unlock_all()").await.unwrap();
    let mut tx = client.transaction().await.unwrap();
    let body = async |tx: &mut tokio_postgres::Transaction<'_>| -> db::Result {
        Ok(tx.batch_execute("SELECT no_such_column").await?)
    };
    on(&mut tx).lock(&site.namespace).run(body).await.unwrap_err();
    assert_eq!(value(&tx.simple_query("SELECT 7").await.unwrap()), "7");
    tx.commit().await.unwrap();
    assert!(!db::holds_some(&client).await);
}
