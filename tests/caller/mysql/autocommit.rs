//! Where `autocommit` is off, every statement that reads or writes a table opens a transaction.

use dlock::{Error, on};
use dlock_tests::Site;

use super::{Conn, connect};
use crate::db::{is_free, lock, number, rows, run, table};
use crate::run::Failure;

pub(crate) async fn off_makes_transactions_of_bodies(site: Site) {
    let (mut conn, mut other) = (connect(&site).await, connect(&site).await);
    table(&mut conn).await;
    run(&mut conn, "SET autocommit = 0").await;
    let insert = async |conn: &mut Conn| {
        run(conn, "INSERT INTO done VALUES (1)").await;
        Err::<(), _>(Failure::Body(5))
    };
    assert!(matches!(lock(&site, &mut conn).run(insert).await, Err(Failure::Body(5))));
    assert!(is_free(&site, &mut other).await);
    assert_eq!(rows(&mut conn).await, 0, "rolled back");
    run(&mut conn, "ROLLBACK").await;

    let leave_open = async |conn: &mut Conn| {
        run(conn, "INSERT INTO done VALUES (1)").await;
        Ok::<_, Error>(())
    };
    let error = lock(&site, &mut conn).run(leave_open).await.unwrap_err();
    assert!(error.to_string().contains("commit it in the body"), "{error}");
    assert!(is_free(&site, &mut other).await);

    let commit = async |conn: &mut Conn| {
        run(conn, "INSERT INTO done VALUES (1)").await;
        run(conn, "COMMIT").await;
        Ok::<_, Error>(())
    };
    lock(&site, &mut conn).run(commit).await.unwrap();
    assert_eq!(rows(&mut conn).await, 1);
    // What was there before is the caller's.
    let result = lock(&site, &mut conn).run(insert).await;
    assert!(matches!(result, Err(Failure::Body(5))));
    assert_eq!(rows(&mut conn).await, 2);
    run(&mut conn, "ROLLBACK").await;
    assert_eq!(number(&mut conn, "SELECT CAST(@@autocommit AS SIGNED)").await, 0);
}

/// Whatever it is called.
pub(crate) async fn savepoints_of_the_caller_stay(site: Site) {
    let mut conn = connect(&site).await;
    table(&mut conn).await;
    for autocommit in [1, 0] {
        run(&mut conn, &format!("SET autocommit = {autocommit}; BEGIN; SAVEPOINT dlock")).await;
        run(&mut conn, "INSERT INTO done VALUES (1)").await;
        lock(&site, &mut conn).run(async |_| Ok::<_, Error>(())).await.unwrap();
        let failed = lock(&site, &mut conn).run(async |_| Err::<(), _>(Failure::Body(1))).await;
        assert!(failed.is_err());
        run(&mut conn, "ROLLBACK TO SAVEPOINT dlock; COMMIT").await;
        assert_eq!(rows(&mut conn).await, 0);
    }
}

/// Answers are bytes that no setting of the connection changes.
pub(crate) async fn character_sets_change_no_answer(site: Site) {
    let (mut conn, mut other) = (connect(&site).await, connect(&site).await);
    for set in ["utf16", "ucs2", "latin1", "NULL"] {
        run(&mut conn, &format!("SET character_set_results = {set}")).await;
        let mut held = lock(&site, &mut conn);
        held.acquire().await.unwrap();
        assert!(!is_free(&site, &mut other).await);
        let again = on(held.conn()).lock(&site.namespace).acquire().await;
        assert!(matches!(again, Err(Error::Reentrant { .. })), "{again:?}");
        assert!(held.release().await.unwrap());
        lock(&site, &mut conn).run(async |_| Ok::<_, Error>(())).await.unwrap();
        assert!(is_free(&site, &mut other).await);
    }
}

/// Who has the lock is not known there, and nothing else is different.
pub(crate) async fn holder_that_cannot_be_asked_for_is_left_out(site: Site) {
    let (mut conn, mut other) = (connect(&site).await, connect(&site).await);
    let mut held = lock(&site, &mut other);
    held.acquire().await.unwrap();
    run(&mut conn, "SET max_join_size = 1").await;
    let mut waiting = lock(&site, &mut conn).timeout(std::time::Duration::from_millis(30));
    let error = waiting.acquire().await.unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
}
