//! A body under a lock.

use std::time::Duration;

use dlock::{Error, on};
use dlock_tests::Site;

use sqlx::pool::PoolConnection;

use crate::db::{Application, connect, is_free, lock, pool, rows, run, table};

/// An application's own error.
#[derive(Debug)]
pub(crate) enum Failure {
    Lock(Error),
    Database,
    Body(u32),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Lock(error)
    }
}

impl From<sqlx::Error> for Failure {
    fn from(_: sqlx::Error) -> Self {
        Failure::Database
    }
}

pub(crate) async fn body_runs_under_the_lock<C: Application>(site: Site) {
    let (mut conn, mut other) = (connect::<C>(&site).await, connect::<C>(&site).await);
    let (site, other) = (&site, &mut other);
    let body = async |conn: &mut C| {
        conn.execute("SELECT 1").await?;
        Ok::<_, Failure>(is_free(site, other).await)
    };
    assert!(!lock(site, &mut conn).run(body).await.unwrap());
    assert!(is_free(site, other).await);
    let mut held = lock(site, other);
    held.acquire().await.unwrap();
    let never = async |_: &mut C| -> Result<(), Failure> { panic!("without the lock") };
    let soon = Duration::from_millis(50);
    let busy = lock(site, &mut conn).timeout(soon).run(never).await;
    assert!(matches!(busy, Err(Failure::Lock(error)) if error.is_timeout()));
    held.release().await.unwrap();
}

pub(crate) async fn error_of_the_body_comes_back_unchanged<C: Application>(site: Site) {
    let (mut conn, mut other) = (connect::<C>(&site).await, connect::<C>(&site).await);
    let body = async |_: &mut C| Err::<(), _>(Failure::Body(7));
    let error = lock(&site, &mut conn).run(body).await.unwrap_err();
    assert!(matches!(error, Failure::Body(7)), "{error:?}");
    assert!(is_free(&site, &mut other).await);
}

/// By the body's own hand, without one of sqlx's `Transaction` that would do it.
pub(crate) async fn what_the_body_left_open_is_rolled_back<C: Application>(site: Site) {
    let (mut conn, mut other) = (connect::<C>(&site).await, connect::<C>(&site).await);
    table(&mut conn).await;
    let body = async |conn: &mut C| {
        run(conn, "BEGIN").await;
        run(conn, "INSERT INTO done VALUES (1)").await;
        Err::<(), _>(Failure::Body(1))
    };
    let error = lock(&site, &mut conn).run(body).await.unwrap_err();
    assert!(matches!(error, Failure::Body(1)), "{error:?}");
    assert!(is_free(&site, &mut other).await);
    assert_eq!(rows(&mut conn).await, 0);
    run(&mut conn, "INSERT INTO done VALUES (2)").await;
    run(&mut conn, "ROLLBACK").await;
    assert_eq!(rows(&mut conn).await, 1, "a transaction is still open");
}

pub(crate) async fn rollback_can_be_turned_off<C: Application>(site: Site) {
    let (mut conn, mut other) = (connect::<C>(&site).await, connect::<C>(&site).await);
    table(&mut conn).await;
    let body = async |conn: &mut C| {
        run(conn, "BEGIN").await;
        run(conn, "INSERT INTO done VALUES (1)").await;
        Err::<(), _>(Failure::Body(1))
    };
    let lock = lock(&site, &mut conn).rollback_on_error(false);
    assert!(matches!(lock.run(body).await, Err(Failure::Body(1))));
    assert!(is_free(&site, &mut other).await);
    assert_eq!(rows(&mut conn).await, 1);
    run(&mut conn, "ROLLBACK").await;
    assert_eq!(rows(&mut conn).await, 0);
}

/// A transaction that was open before is the caller's.
pub(crate) async fn transaction_of_the_caller_is_left_open<C: Application>(site: Site) {
    let (mut conn, mut other) = (connect::<C>(&site).await, connect::<C>(&site).await);
    table(&mut conn).await;
    run(&mut conn, "BEGIN").await;
    run(&mut conn, "INSERT INTO done VALUES (1)").await;
    for result in [Ok(()), Err(Failure::Body(2))] {
        let failed = result.is_err();
        let body = async |conn: &mut C| {
            run(conn, "INSERT INTO done VALUES (2)").await;
            result
        };
        assert_eq!(lock(&site, &mut conn).run(body).await.is_err(), failed);
        assert!(is_free(&site, &mut other).await);
    }
    assert_eq!(rows(&mut conn).await, 3);
    run(&mut conn, "ROLLBACK").await;
    assert_eq!(rows(&mut conn).await, 0);
}

/// It may also be the body that ends it.
pub(crate) async fn transaction_may_end_in_the_body<C: Application>(site: Site) {
    let (mut conn, mut other) = (connect::<C>(&site).await, connect::<C>(&site).await);
    for end in ["COMMIT", "ROLLBACK", "COMMIT; BEGIN", "ROLLBACK; BEGIN"] {
        for failed in [false, true] {
            run(&mut conn, "BEGIN").await;
            let body = async |conn: &mut C| {
                run(conn, end).await;
                if failed { Err(Failure::Body(3)) } else { Ok(()) }
            };
            let result = lock(&site, &mut conn).run(body).await;
            assert!(matches!((failed, result), (false, Ok(())) | (true, Err(Failure::Body(3)))));
            assert!(is_free(&site, &mut other).await, "{end}");
            run(&mut conn, "SELECT 1; ROLLBACK").await;
        }
    }
}

/// It would be committed when others have the lock.
pub(crate) async fn success_with_a_transaction_open_is_refused<C: Application>(site: Site) {
    let (mut conn, mut other) = (connect::<C>(&site).await, connect::<C>(&site).await);
    table(&mut conn).await;
    for broken in [false, true] {
        let body = async |conn: &mut C| {
            run(conn, "BEGIN").await;
            run(conn, "INSERT INTO done VALUES (1)").await;
            if broken {
                assert!(conn.execute("SELECT no_such_column").await.is_err());
            }
            Ok::<_, Error>(())
        };
        let error = lock(&site, &mut conn).run(body).await.unwrap_err();
        assert!(matches!(error, Error::Config { .. }), "{error:?}");
        assert!(error.to_string().contains("commit it in the body"), "{error}");
        assert!(is_free(&site, &mut other).await);
        run(&mut conn, "ROLLBACK").await;
        assert_eq!(rows(&mut conn).await, 0);
    }
    let body = async |conn: &mut C| {
        run(conn, "BEGIN").await;
        run(conn, "INSERT INTO done VALUES (1)").await;
        run(conn, "COMMIT").await;
        Ok::<_, Error>(())
    };
    lock(&site, &mut conn).run(body).await.unwrap();
    assert_eq!(rows(&mut conn).await, 1);
}

/// The error of a statement whose future was dropped is nobody else's.
pub(crate) async fn error_of_an_abandoned_statement_is_not_that_of_an_acquire<C: Application>(
    site: Site,
) {
    let mut conn = connect::<C>(&site).await;
    for _ in 0..2 {
        let late = conn.execute(C::FAILS_LATE);
        assert!(tokio::time::timeout(Duration::from_millis(20), late).await.is_err());
        let mut held = lock(&site, &mut conn);
        held.acquire().await.unwrap();
        assert!(held.release().await.unwrap());
    }
}

/// On connections of a pool and inside sqlx's transactions too.
pub(crate) async fn works_in_sqlx_transactions<C: Application>(site: Site) {
    let pool = pool::<C>(&site, 2).await;
    let mut other = connect::<C>(&site).await;
    let mut conn = pool.acquire().await.unwrap();
    let body = async |conn: &mut PoolConnection<C::Database>| {
        let mut tx = sqlx::Connection::begin(&mut **conn).await?;
        tx.execute("SELECT no_such_column").await?;
        tx.commit().await
    };
    let error = on(&mut conn).lock(&site.namespace).run(body).await.unwrap_err();
    assert!(error.to_string().contains("no_such_column"), "{error}");
    assert!(is_free(&site, &mut other).await);
    drop(conn);

    let mut tx = pool.begin().await.unwrap();
    let mut lock = on(&mut tx).lock(&site.namespace);
    lock.acquire().await.unwrap();
    lock.conn().execute("SELECT 1").await.unwrap();
    assert!(!is_free(&site, &mut other).await);
    assert!(lock.release().await.unwrap());
    let held = on(&mut tx).lock(&site.namespace).run(async |_| Ok::<_, Error>(())).await;
    held.unwrap();
    tx.commit().await.unwrap();
    assert!(is_free(&site, &mut other).await);
}

/// A statement that the body has given up, whose error comes to whoever asks next.
pub(crate) async fn error_of_an_abandoned_statement_is_nobodys<C: Application>(site: Site) {
    let (mut conn, mut other) = (connect::<C>(&site).await, connect::<C>(&site).await);
    for begin in ["SELECT 1", "BEGIN"] {
        for failed in [false, true] {
            let body = async |conn: &mut C| {
                run(conn, begin).await;
                let late = conn.execute(C::FAILS_LATE);
                let soon = Duration::from_millis(20);
                assert!(tokio::time::timeout(soon, late).await.is_err());
                if failed { Err(Failure::Body(6)) } else { Ok(()) }
            };
            let result = lock(&site, &mut conn).run(body).await;
            let as_it_should = match (failed, &result) {
                (true, Err(Failure::Body(6))) => true,
                // What it leaves open, it is told.
                (false, Err(Failure::Lock(Error::Config { .. }))) => begin == "BEGIN",
                (false, Ok(())) => begin != "BEGIN",
                _ => false,
            };
            assert!(as_it_should, "{result:?}");
            assert!(is_free(&site, &mut other).await);
            run(&mut conn, "ROLLBACK").await;
        }
    }
}
