//! Locks on the caller's own connection, which is one of a synchronous driver.

use std::thread;
use std::time::{Duration, Instant};

use dlock::oracledb::Connection;
use dlock::{Error, KeyScheme, Locker, Mode};
use dlock_tests::oracle::{Double, SOON, count};

const SHORT: Duration = Duration::from_millis(1_300);

fn is_free(client: &mut Connection, key: &str) -> bool {
    let mut lock = dlock::on(client).lock(key);
    let free = lock.try_acquire_blocking().unwrap();
    if free {
        assert!(lock.release_blocking().unwrap());
    }
    free
}

/// Writes a row, which is the begin of a transaction.
fn write(client: &Connection) {
    client.execute("INSERT INTO work (id) VALUES (1)", &[]).unwrap();
}

fn rows(client: &Connection) -> i64 {
    count(client, "SELECT COUNT(*) FROM work")
}

/// Two connections, and a table.
fn two() -> (Double, Connection, Connection) {
    let double = Double::start();
    let (one, other) = (double.client(), double.client());
    one.execute("CREATE TABLE work (id NUMBER(9))", &[]).unwrap();
    (double, one, other)
}

#[test]
fn lock_is_that_of_a_locker_and_the_connection_is_used_under_it() {
    let (double, mut client, _) = two();
    let locker = Locker::connect_blocking(&double.url()).unwrap();
    let mut lock = dlock::on(&mut client).lock("k");
    lock.acquire_blocking().unwrap();
    assert!(lock.is_held());
    assert_eq!(rows(lock.conn()), 0);
    assert!(locker.lock("k").try_acquire_blocking().unwrap().is_none());
    assert!(lock.release_blocking().unwrap());
    let guard = locker.lock("k").acquire_blocking().unwrap();
    let begun = Instant::now();
    let error = dlock::on(&mut client).lock("k").timeout(SHORT).acquire_blocking().unwrap_err();
    assert!(begun.elapsed() >= SHORT, "{:?}", begun.elapsed());
    let Error::Timeout { holder: Some(holder), .. } = &error else { panic!("{error:?}") };
    assert!(holder.who.contains("session"), "{holder:?}");
    guard.release_blocking().unwrap();
    assert!(is_free(&mut client, "k"));
}

/// With `await` too.
#[tokio::test(flavor = "multi_thread")]
async fn async_face_does_the_same() {
    let (_, mut client, mut other) = two();
    let mut lock = dlock::on(&mut client).lock("k");
    lock.acquire().await.unwrap();
    assert!(!is_free(&mut other, "k"));
    assert!(lock.release().await.unwrap());
    let ran: Result<u8, Error> = dlock::on(&mut client).lock("k").run(async |_| Ok(7)).await;
    assert_eq!(ran.unwrap(), 7);
    assert!(is_free(&mut other, "k"));
}

#[test]
fn modes_and_reentrancy() {
    let (_, mut one, mut other) = two();
    let mut read = dlock::on(&mut one).lock("k").shared();
    read.acquire_blocking().unwrap();
    let mut intends = dlock::on(&mut other).lock("k").mode(Mode::SubShared);
    intends.acquire_blocking().unwrap();
    assert!(intends.release_blocking().unwrap());
    assert!(!is_free(&mut other, "k"));
    let error = dlock::on(read.conn()).lock("k").acquire_blocking().unwrap_err();
    assert!(matches!(error, Error::Reentrant { .. }), "{error:?}");
    let mut again = dlock::on(read.conn()).lock("k").shared().reentrant();
    again.acquire_blocking().unwrap();
    assert!(again.release_blocking().unwrap());
    assert!(!is_free(&mut other, "k"), "released once for two");
    assert!(read.release_blocking().unwrap());
    assert!(is_free(&mut other, "k"));
    let error = dlock::on(&mut one).lock("k").mode(Mode::Update).acquire_blocking().unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
}

/// Nothing that dlock does commits what the caller has written, nor rolls it back.
#[test]
fn transaction_of_the_caller_goes_on() {
    let (_, mut client, mut other) = two();
    write(&client);
    let mut lock = dlock::on(&mut client).lock("a new name");
    lock.acquire_blocking().unwrap();
    assert!(!is_free(&mut other, "a new name"));
    assert_eq!((rows(lock.conn()), rows(&other)), (1, 0));
    assert!(lock.release_blocking().unwrap());
    dlock::within(&mut client).lock("another").acquire_blocking().unwrap();
    let mut held = dlock::on(&mut other).lock("held");
    held.acquire_blocking().unwrap();
    let error = dlock::on(&mut client).lock("held").timeout(SHORT).acquire_blocking().unwrap_err();
    assert!(error.is_timeout(), "{error}");
    assert_eq!((rows(&client), rows(held.conn())), (1, 0));
    assert!(held.release_blocking().unwrap());
    client.rollback().unwrap();
    assert_eq!((rows(&client), rows(&other)), (0, 0));
    assert!(is_free(&mut other, "another"));
}

#[test]
fn body_that_fails_leaves_neither_transaction_nor_lock() {
    let (_, mut client, mut other) = two();
    let failed: Result<(), Error> = dlock::on(&mut client).lock("k").run_blocking(|conn| {
        write(conn);
        Err(Error::Closed)
    });
    assert!(matches!(failed, Err(Error::Closed)));
    assert_eq!(rows(&client), 0);
    assert!(is_free(&mut other, "k"));
    let left_open: Result<(), Error> = dlock::on(&mut client).lock("k").run_blocking(|conn| {
        write(conn);
        Ok(())
    });
    assert!(matches!(left_open, Err(Error::Config { .. })), "{left_open:?}");
    assert_eq!(rows(&client), 0);
    assert!(is_free(&mut other, "k"));
    let committed: Result<(), Error> = dlock::on(&mut client).lock("k").run_blocking(|conn| {
        write(conn);
        Ok(conn.commit()?)
    });
    committed.unwrap();
    assert_eq!(rows(&other), 1);
}

/// `release_on_commit`: also at a rollback.
#[test]
fn lock_of_a_transaction_ends_with_it() {
    let (_, mut client, mut other) = two();
    for commits in [true, false] {
        dlock::within(&mut client).lock_all(["a", "b"]).acquire_blocking().unwrap();
        write(&client);
        assert!(!is_free(&mut other, "a") && !is_free(&mut other, "b"));
        if commits { client.commit() } else { client.rollback() }.unwrap();
        assert!(is_free(&mut other, "a") && is_free(&mut other, "b"));
    }
    assert_eq!(rows(&other), 1);
}

#[test]
fn wait_that_ends_leaves_the_transaction_as_it_was() {
    let (_, mut client, mut other) = two();
    let mut held = dlock::on(&mut other).lock("b");
    held.acquire_blocking().unwrap();
    write(&client);
    let lock = dlock::within(&mut client).lock_all(["a", "b"]).timeout(SHORT);
    let begun = Instant::now();
    let error = lock.acquire_blocking().unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    assert!(begun.elapsed() >= SHORT, "{:?}", begun.elapsed());
    assert!(!dlock::within(&mut client).lock("b").try_acquire_blocking().unwrap());
    assert_eq!(rows(&client), 1);
    // All or none.
    assert!(is_free(held.conn(), "a"));
    assert!(held.release_blocking().unwrap());
    dlock::within(&mut client).lock("b").acquire_blocking().unwrap();
    client.rollback().unwrap();
    assert!(is_free(&mut other, "b"));
}

#[test]
fn deadlock_is_told_and_the_transaction_goes_on() {
    let (_, mut one, mut other) = two();
    dlock::within(&mut one).lock("a").acquire_blocking().unwrap();
    dlock::within(&mut other).lock("b").acquire_blocking().unwrap();
    fn wait(client: &mut Connection, key: &str) -> bool {
        write(client);
        let got = dlock::within(client).lock(key).timeout(2 * SOON).acquire_blocking();
        let deadlock = matches!(&got, Err(Error::Deadlock { .. }));
        assert!(deadlock || got.is_ok(), "{got:?}");
        assert_eq!(rows(client), 1);
        // The other one can go on then.
        client.rollback().unwrap();
        deadlock
    }
    let (first, second) = thread::scope(|scope| {
        let first = scope.spawn(|| wait(&mut one, "b"));
        let second = wait(&mut other, "a");
        (first.join().unwrap(), second)
    });
    assert!(first != second, "one of them ends as a deadlock, and one only");
}

#[test]
fn dropped_lock_is_given_back() {
    let (_, mut client, mut other) = two();
    let mut lock = dlock::on(&mut client).lock("k");
    lock.acquire_blocking().unwrap();
    drop(lock);
    assert!(is_free(&mut other, "k"));
    assert_eq!(rows(&client), 0);
    // And with its connection.
    let mut lock = dlock::on(&mut client).lock("k");
    lock.acquire_blocking().unwrap();
    std::mem::forget(lock);
    assert!(!is_free(&mut other, "k"));
    drop(client);
    dlock::on(&mut other).lock("k").timeout(SOON).acquire_blocking().unwrap();
}

/// Whatever the server says: a code that is none, or that it has it already, is no grant.
#[test]
fn answer_that_means_nothing_is_never_a_grant() {
    for fault in ["null", "code:2", "code:3", "code:4", "code:5", "code:6", "cut", "hang_up"] {
        let (double, mut client, mut other) = two();
        double.fault(fault, "'k'");
        let mut lock = dlock::on(&mut client).lock("k");
        let tried = lock.try_acquire_blocking();
        let error = tried.unwrap_err();
        assert!(!lock.is_held(), "{fault}: {error}");
        drop(lock);
        match fault {
            "code:2" => assert!(matches!(error, Error::Deadlock { .. }), "{error:?}"),
            "code:4" => assert!(matches!(error, Error::Reentrant { .. }), "{error:?}"),
            _ => assert!(!error.is_timeout(), "{fault}: {error:?}"),
        }
        drop(client);
        dlock::on(&mut other).lock("k").timeout(SOON).acquire_blocking().unwrap();
    }
}

#[test]
fn user_without_rights_is_told_what_to_grant() {
    let double = Double::start();
    let mut client = double.login("powerless", "FREEPDB1").unwrap();
    let error = dlock::on(&mut client).lock("k").acquire_blocking().unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Permission { .. }), "{error:?}");
    assert!(text.contains("GRANT EXECUTE ON SYS.DBMS_LOCK"), "{text}");
}

#[test]
fn number_is_that_of_sqlalchemy_dlock() {
    let (_, mut client, other) = two();
    let mut lock = dlock::on(&mut client).key_scheme(KeyScheme::SqlalchemyDlock).lock("user:42");
    lock.acquire_blocking().unwrap();
    let held = "SELECT l.id1 FROM v$lock l WHERE l.type = 'UL'";
    assert_eq!(count(&other, held), 1_016_801_241);
    assert!(lock.release_blocking().unwrap());
}
