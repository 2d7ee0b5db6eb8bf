//! Locks on the caller's own connection, and in the caller's own transaction.

use std::time::{Duration, Instant};

use dlock::{Error, KeyScheme, Locker, Mode};
use dlock_tests::in_time;
use dlock_tests::sql_server::{Client, Double, SOON, number};

const SHORT: Duration = Duration::from_millis(200);

async fn is_free(client: &mut Client, key: &str) -> bool {
    let mut lock = dlock::on(client).lock(key);
    let free = in_time("a try", SOON, lock.try_acquire()).await.unwrap();
    if free {
        assert!(lock.release().await.unwrap());
    }
    free
}

#[tokio::test]
async fn lock_is_that_of_a_locker_and_the_connection_is_used_under_it() {
    let double = Double::start().await;
    let (mut client, locker) = (double.client().await, Locker::connect(&double.url()).await);
    let locker = locker.unwrap();
    let mut lock = dlock::on(&mut client).lock("k");
    lock.acquire().await.unwrap();
    assert!(lock.is_held());
    assert_eq!(number(lock.conn(), "SELECT 7").await, 7);
    assert!(locker.lock("k").try_acquire().await.unwrap().is_none());
    assert!(lock.release().await.unwrap());
    let guard = locker.lock("k").acquire().await.unwrap();
    let begun = Instant::now();
    let error = dlock::on(&mut client).lock("k").timeout(SHORT).acquire().await.unwrap_err();
    assert!(begun.elapsed() >= SHORT, "{:?}", begun.elapsed());
    let Error::Timeout { holder: Some(holder), .. } = &error else { panic!("{error:?}") };
    assert!(holder.who.contains("session"), "{holder:?}");
    guard.release().await.unwrap();
    assert!(is_free(&mut client, "k").await);
}

#[tokio::test]
async fn modes_and_reentrancy() {
    let double = Double::start().await;
    let (mut one, mut other) = (double.client().await, double.client().await);
    let mut read = dlock::on(&mut one).lock("k").shared();
    read.acquire().await.unwrap();
    let mut plans = dlock::on(&mut other).lock("k").mode(Mode::Update);
    plans.acquire().await.unwrap();
    assert!(plans.release().await.unwrap());
    assert!(!is_free(&mut other, "k").await);
    let error = dlock::on(read.conn()).lock("k").acquire().await.unwrap_err();
    assert!(matches!(error, Error::Reentrant { .. }), "{error:?}");
    let mut again = dlock::on(read.conn()).lock("k").shared().reentrant();
    again.acquire().await.unwrap();
    assert!(again.release().await.unwrap());
    assert!(!is_free(&mut other, "k").await, "released once for two");
    assert!(read.release().await.unwrap());
    assert!(is_free(&mut other, "k").await);
}

#[tokio::test]
async fn body_that_fails_leaves_neither_transaction_nor_lock() {
    let double = Double::start().await;
    let (mut client, mut other) = (double.client().await, double.client().await);
    let failed: Result<(), Error> = dlock::on(&mut client)
        .lock("k")
        .run(async |conn| {
            conn.simple_query("BEGIN TRANSACTION").await.unwrap().into_results().await.unwrap();
            Err(Error::Closed)
        })
        .await;
    assert!(matches!(failed, Err(Error::Closed)));
    assert_eq!(number(&mut client, "SELECT @@TRANCOUNT").await, 0);
    assert!(is_free(&mut other, "k").await);
    let left_open: Result<(), Error> = dlock::on(&mut client)
        .lock("k")
        .run(async |conn| {
            conn.simple_query("BEGIN TRANSACTION").await.unwrap().into_results().await.unwrap();
            Ok(())
        })
        .await;
    assert!(matches!(left_open, Err(Error::Config { .. })), "{left_open:?}");
    assert_eq!(number(&mut client, "SELECT @@TRANCOUNT").await, 0);
    assert!(is_free(&mut other, "k").await);
}

#[tokio::test]
async fn lock_of_a_transaction_ends_with_it() {
    let double = Double::start().await;
    let (mut client, mut other) = (double.client().await, double.client().await);
    let error = dlock::within(&mut client).lock("k").acquire().await.unwrap_err();
    assert!(matches!(error, Error::Config { .. }), "{error:?}");
    client.begin_transaction().await.unwrap();
    dlock::within(&mut client).lock_all(["a", "b"]).acquire().await.unwrap();
    assert!(!is_free(&mut other, "a").await && !is_free(&mut other, "b").await);
    client.commit_transaction().await.unwrap();
    assert!(is_free(&mut other, "a").await && is_free(&mut other, "b").await);
}

#[tokio::test]
async fn wait_that_ends_leaves_the_transaction_as_it_was() {
    let double = Double::start().await;
    let (mut client, mut other) = (double.client().await, double.client().await);
    let mut held = dlock::on(&mut other).lock("b");
    held.acquire().await.unwrap();
    client.begin_transaction().await.unwrap();
    let lock = dlock::within(&mut client).lock_all(["a", "b"]).timeout(SHORT);
    let begun = Instant::now();
    let error = in_time("a timeout", SOON, lock.acquire()).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    assert!(begun.elapsed() >= SHORT, "{:?}", begun.elapsed());
    assert!(!dlock::within(&mut client).lock("b").try_acquire().await.unwrap());
    assert_eq!(number(&mut client, "SELECT @@TRANCOUNT").await, 1);
    // All or none.
    assert!(is_free(held.conn(), "a").await);
    assert!(held.release().await.unwrap());
    dlock::within(&mut client).lock("b").acquire().await.unwrap();
    client.rollback_transaction().await.unwrap();
    assert!(is_free(&mut other, "b").await);
}

#[tokio::test]
async fn deadlock_is_told_and_the_transaction_goes_on() {
    let double = Double::start().await;
    let (mut one, mut other) = (double.client().await, double.client().await);
    one.begin_transaction().await.unwrap();
    other.begin_transaction().await.unwrap();
    dlock::within(&mut one).lock("a").acquire().await.unwrap();
    dlock::within(&mut other).lock("b").acquire().await.unwrap();
    async fn wait(client: &mut Client, key: &str) -> (bool, i32) {
        let lock = dlock::within(client).lock(key);
        let got = in_time("an end", SOON * 2, lock.acquire()).await;
        let deadlock = matches!(&got, Err(Error::Deadlock { .. }));
        assert!(deadlock || got.is_ok(), "{got:?}");
        // The other one can go on then.
        let open = number(client, "SELECT @@TRANCOUNT").await;
        client.rollback_transaction().await.unwrap();
        (deadlock, open)
    }
    let (first, second) = tokio::join!(wait(&mut one, "b"), wait(&mut other, "a"));
    assert_eq!((first.1, second.1), (1, 1));
    assert!(first.0 != second.0, "one of them ends as a deadlock, and one only");
}

#[tokio::test]
async fn dropped_lock_is_given_back() {
    let double = Double::start().await;
    let (mut client, mut other) = (double.client().await, double.client().await);
    let mut lock = dlock::on(&mut client).lock("k");
    lock.acquire().await.unwrap();
    drop(lock);
    let mut wait = dlock::on(&mut other).lock("k").timeout(SOON);
    in_time("the lock", SOON, wait.acquire()).await.unwrap();
    assert!(wait.release().await.unwrap());
    // What was sent and not read is no answer to anybody else.
    assert_eq!(number(&mut client, "SELECT 3").await, 3);
    assert!(is_free(&mut client, "k").await);
}

#[tokio::test]
async fn name_is_that_of_sqlalchemy_dlock() {
    let double = Double::start().await;
    let (mut client, mut other) = (double.client().await, double.client().await);
    let scheme = || KeyScheme::SqlalchemyDlock;
    let mut lock = dlock::on(&mut client).key_scheme(scheme()).lock("Zoë's 🔒");
    lock.acquire().await.unwrap();
    let free = "SELECT APPLOCK_TEST('public',N'Zoë''s 🔒','Exclusive','Session')";
    assert_eq!(number(&mut other, free).await, 0);
    assert!(lock.release().await.unwrap());
    assert_eq!(number(&mut other, free).await, 1);
    let long = "x".repeat(256);
    let error = dlock::on(&mut client).key_scheme(scheme()).lock(long).acquire().await;
    assert!(matches!(error, Err(Error::InvalidKey { .. })), "{error:?}");
}
