//! Transactions that fail under a lock: from then on they take no statement, not even a release.

use dlock::{Error, on};
use dlock_tests::Site;
use sqlx::Executor as _;

use super::{Conn, connect, pool};
use crate::db::{is_free, lock, rows, run, table};

const BAD: &str = "SELECT no_such_column";

fn is_bad(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "42703")
}

/// What the body has done in a transaction of the caller's goes with its error; the rest stays.
pub(crate) async fn transaction_of_the_caller_goes_on(site: Site) {
    let (mut conn, mut other) = (connect(&site).await, connect(&site).await);
    table(&mut conn).await;
    run(&mut conn, "BEGIN; INSERT INTO done VALUES (1)").await;
    let body = async |conn: &mut Conn| {
        run(conn, "INSERT INTO done VALUES (2)").await;
        conn.execute(BAD).await
    };
    let error = lock(&site, &mut conn).run(body).await.unwrap_err();
    assert!(is_bad(&error), "{error}");
    assert!(is_free(&site, &mut other).await);
    assert_eq!(rows(&mut conn).await, 1);
    run(&mut conn, "COMMIT").await;
    assert_eq!(rows(&mut conn).await, 1);
}

/// Bodies in bodies: each rolls back to its own beginning.
pub(crate) async fn inner_bodies_go_back_to_their_own_beginning(site: Site) {
    let (mut conn, mut other) = (connect(&site).await, connect(&site).await);
    table(&mut conn).await;
    run(&mut conn, "BEGIN; INSERT INTO done VALUES (1)").await;
    for inner_fails in [true, false] {
        let body = async |conn: &mut Conn| {
            run(conn, "INSERT INTO done VALUES (2)").await;
            let inner = async |conn: &mut Conn| {
                run(conn, "INSERT INTO done VALUES (3)").await;
                if inner_fails { conn.execute(BAD).await.map(drop) } else { Ok(()) }
            };
            let inner = on(conn).lock(&site.namespace).reentrant().run(inner).await;
            assert_eq!(inner.is_err(), inner_fails);
            assert_eq!(rows(conn).await, if inner_fails { 2 } else { 3 });
            conn.execute(BAD).await
        };
        assert!(is_bad(&lock(&site, &mut conn).run(body).await.unwrap_err()));
        assert!(is_free(&site, &mut other).await);
        assert_eq!(rows(&mut conn).await, 1);
    }
    run(&mut conn, "COMMIT").await;
}

/// With a body whose own transaction has failed, the option changes nothing: it could do no more.
pub(crate) async fn failed_transaction_never_keeps_the_lock(site: Site) {
    let (mut conn, mut other) = (connect(&site).await, connect(&site).await);
    for rollback in [true, false] {
        let body = async |conn: &mut Conn| {
            run(conn, "BEGIN").await;
            conn.execute(BAD).await
        };
        let lock = lock(&site, &mut conn).rollback_on_error(rollback);
        assert!(is_bad(&lock.run(body).await.unwrap_err()));
        assert!(is_free(&site, &mut other).await);
        run(&mut conn, "SELECT 1").await;
    }
    // Released by hand.
    let mut held = lock(&site, &mut conn);
    held.acquire().await.unwrap();
    run(held.conn(), "BEGIN").await;
    assert!(held.conn().execute(BAD).await.is_err());
    assert!(held.release().await.unwrap());
    assert!(is_free(&site, &mut other).await);
    run(&mut conn, "SELECT 1").await;
}

/// The caller's own transaction is not ended behind its back: that says what to do, and the
/// connection does not go back to its pool.
pub(crate) async fn release_in_a_failed_transaction_of_the_caller_is_an_error(site: Site) {
    let (pool, mut other) = (pool(&site, 1).await, connect(&site).await);
    let mut conn = pool.acquire().await.unwrap();
    run::<Conn>(&mut conn, "BEGIN").await;
    let mut held = on(&mut conn).lock(&site.namespace);
    held.acquire().await.unwrap();
    assert!((&mut **held.conn()).execute(BAD).await.is_err());
    let error = held.release().await.unwrap_err();
    assert!(matches!(error, Error::Config { .. }), "{error:?}");
    assert!(error.to_string().contains("roll it back"), "{error}");
    run::<Conn>(&mut conn, "ROLLBACK").await;
    drop(conn);
    run::<Conn>(&mut pool.acquire().await.unwrap(), "SELECT 1").await;
    assert!(is_free(&site, &mut other).await);

    let mut conn = pool.acquire().await.unwrap();
    run::<Conn>(&mut conn, "BEGIN").await;
    let mut held = on(&mut conn).lock(&site.namespace);
    held.acquire().await.unwrap();
    assert!((&mut **held.conn()).execute(BAD).await.is_err());
    run::<Conn>(held.conn(), "ROLLBACK").await;
    assert!(held.release().await.unwrap(), "rolled back first, it can be released");
}
