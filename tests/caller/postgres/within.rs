//! Locks that last as long as the caller's transaction.

use std::time::{Duration, Instant};

use dlock::{Error, Locker, Mode, Wait, on, within};
use dlock_tests::{Site, Witness, eventually_async};
use sqlx::Executor as _;

use super::{Conn, connect, counted, pool};
use crate::db::{SOON, is_free, lock, number, rows, run, table, until_waiting};

const SHORT: Duration = Duration::from_millis(60);

pub(crate) async fn lock_ends_with_the_transaction(site: Site) {
    let (pool, mut other) = (pool(&site, 1).await, connect(&site).await);
    let locker = site.locker().await;
    for commit in [true, false] {
        let mut tx = pool.begin().await.unwrap();
        within(&mut tx).lock(&site.namespace).acquire().await.unwrap();
        // A transaction that has it may take it again.
        assert!(within(&mut tx).lock(&site.namespace).try_acquire().await.unwrap());
        assert!(!is_free(&site, &mut other).await);
        tx.execute("SELECT 1").await.unwrap();
        let theirs = within(&mut tx).namespace(&site.namespace).lock("k");
        theirs.acquire().await.unwrap();
        assert!(locker.lock("k").try_acquire().await.unwrap().is_none(), "it is a locker's lock");
        if commit {
            tx.commit().await.unwrap();
        } else {
            drop(tx);
            drop(pool.acquire().await.unwrap());
        }
        assert!(is_free(&site, &mut other).await);
        drop(locker.lock("k").acquire().await.unwrap());
    }
}

pub(crate) async fn shared_and_exclusive_exclude_as_they_say(site: Site) {
    let (mut one, mut two) = (connect(&site).await, connect(&site).await);
    let taken = async |conn: &mut Conn, in_tx: bool, mode: Mode| match in_tx {
        true => within(conn).lock(&site.namespace).mode(mode).try_acquire().await.unwrap(),
        false => {
            let mut lock = on(conn).lock(&site.namespace).mode(mode);
            lock.try_acquire().await.unwrap() && lock.release().await.unwrap()
        }
    };
    for ours in [Mode::Exclusive, Mode::Shared] {
        for theirs in [Mode::Exclusive, Mode::Shared] {
            for (i, j) in [(true, true), (true, false)] {
                run(&mut one, "BEGIN").await;
                run(&mut two, "BEGIN").await;
                assert!(taken(&mut one, i, ours).await);
                let both = taken(&mut two, j, theirs).await;
                assert_eq!(both, ours == Mode::Shared && theirs == Mode::Shared);
                run(&mut two, "ROLLBACK").await;
                run(&mut one, "ROLLBACK").await;
            }
        }
    }
    let update = within(&mut one).lock("k").mode(Mode::Update).acquire().await.unwrap_err();
    assert!(matches!(update, Error::Unsupported { .. }), "{update}");
}

/// Without one the lock would end with its own statement, and protect nothing.
pub(crate) async fn without_a_transaction_is_refused(site: Site) {
    let (mut conn, mut other) = (connect(&site).await, connect(&site).await);
    for wait in [Wait::NoWait, SHORT.into(), Wait::Forever] {
        let lock = within(&mut conn).lock(&site.namespace).timeout(wait);
        let error = lock.acquire().await.unwrap_err();
        assert!(matches!(error, Error::Config { .. }), "{error:?}");
        assert!(error.to_string().contains("dlock::on"), "{error}");
        assert!(is_free(&site, &mut other).await);
        run(&mut conn, "SELECT 1").await;
    }
    run(&mut conn, "BEGIN").await;
    assert!(conn.execute("SELECT no_such_column").await.is_err());
    let error = within(&mut conn).lock(&site.namespace).acquire().await.unwrap_err();
    assert!(matches!(error, Error::Config { .. }), "{error:?}");
    assert!(error.to_string().contains("failed"), "{error}");
}

/// A wait that is over, and one that is a deadlock, cost the transaction nothing.
pub(crate) async fn transaction_is_as_usable_after_as_before(site: Site) {
    let (mut conn, mut other) = (connect(&site).await, connect(&site).await);
    table(&mut conn).await;
    let mut held = lock(&site, &mut other);
    held.acquire().await.unwrap();
    run(&mut conn, "BEGIN; INSERT INTO done VALUES (1)").await;
    let begun = Instant::now();
    let error = within(&mut conn).lock(&site.namespace).timeout(SHORT).acquire().await;
    let Error::Timeout { waited, holder, .. } = error.unwrap_err() else { panic!() };
    assert!(waited >= SHORT && begun.elapsed() < SHORT + SOON);
    assert!(holder.is_some_and(|holder| holder.who.contains(&site.name)));
    assert!(!within(&mut conn).lock(&site.namespace).try_acquire().await.unwrap());
    assert_eq!(rows(&mut conn).await, 1);
    held.release().await.unwrap();
    within(&mut conn).lock(&site.namespace).acquire().await.unwrap();
    run(&mut conn, "INSERT INTO done VALUES (2); COMMIT").await;
    assert_eq!(rows(&mut conn).await, 2);
}

/// Whoever rolls back to a point from before the lock has it no more.
pub(crate) async fn rollback_to_an_older_savepoint_frees_it(site: Site) {
    let (mut conn, mut other) = (connect(&site).await, connect(&site).await);
    run(&mut conn, "BEGIN; SAVEPOINT older").await;
    within(&mut conn).lock(&site.namespace).acquire().await.unwrap();
    run(&mut conn, "SAVEPOINT younger; ROLLBACK TO SAVEPOINT younger").await;
    assert!(!is_free(&site, &mut other).await);
    run(&mut conn, "ROLLBACK TO SAVEPOINT older").await;
    assert!(is_free(&site, &mut other).await);
    // The same with those of sqlx.
    let pool = pool(&site, 1).await;
    let mut tx = pool.begin().await.unwrap();
    let mut inner = sqlx::Acquire::begin(&mut tx).await.unwrap();
    within(&mut inner).lock(&site.namespace).acquire().await.unwrap();
    inner.rollback().await.unwrap();
    assert!(is_free(&site, &mut other).await);
    tx.commit().await.unwrap();
}

pub(crate) async fn cost_is_one_round_trip(site: Site) {
    let (proxy, mut conn) = counted(&site).await;
    let mut other = connect(&site).await;
    let mut held = lock(&site, &mut other);
    run(&mut conn, "BEGIN").await;
    let mut before = proxy.round_trips();
    let mut cost = || {
        let cost = proxy.round_trips() - before;
        before += cost;
        cost
    };
    within(&mut conn).lock(&site.namespace).acquire().await.unwrap();
    assert_eq!(cost(), 1);
    let keys = ["a", "b", "c"].map(|key| format!("{}-{key}", site.namespace));
    within(&mut conn).lock_all(&keys).acquire().await.unwrap();
    assert_eq!(cost(), 1, "of several as well");
    assert!(within(&mut conn).lock(&site.namespace).try_acquire().await.unwrap());
    assert_eq!(cost(), 1);
    run(&mut conn, "ROLLBACK; BEGIN").await;
    cost();
    held.acquire().await.unwrap();
    assert!(!within(&mut conn).lock(&site.namespace).try_acquire().await.unwrap());
    assert_eq!(cost(), 1);
    let busy = within(&mut conn).lock(&site.namespace).timeout(SHORT).acquire().await;
    assert!(busy.unwrap_err().is_timeout());
    assert_eq!(cost(), 3, "one to put the transaction right, one to ask who has it");
    held.release().await.unwrap();
}

/// Whichever of several is busy, none is held after, and the time is that of one.
pub(crate) async fn several_are_all_or_none(site: Site) {
    let (mut conn, mut other, mut third) =
        (connect(&site).await, connect(&site).await, connect(&site).await);
    let mut witness = Witness::at(&site.url).await;
    let keys = ["a", "b", "c"].map(|key| format!("{}-{key}", site.namespace));
    run(&mut conn, "BEGIN").await;
    for busy in &keys {
        let mut held = on(&mut other).lock(busy);
        held.acquire().await.unwrap();
        assert!(!within(&mut conn).lock_all(&keys).try_acquire().await.unwrap());
        let begun = Instant::now();
        let error = within(&mut conn).lock_all(&keys).timeout(SHORT * 5).acquire().await;
        assert!(error.unwrap_err().is_timeout());
        assert!(begun.elapsed() >= SHORT * 5 && begun.elapsed() < SHORT * 5 + SOON);
        assert_eq!(witness.locks(&site).await, 1);
        held.release().await.unwrap();
    }
    // One that waits in vain for its last has waited for its first as well.
    let mut all: Vec<_> = keys.iter().collect();
    let locker = Locker::connect(&site.url).await.unwrap();
    all.sort_by_key(|key| locker.explain(*key).native);
    let (mut first, mut last) = (on(&mut other).lock(all[0]), on(&mut third).lock(all[2]));
    first.acquire().await.unwrap();
    last.acquire().await.unwrap();
    let begun = Instant::now();
    let release = async {
        tokio::time::sleep(SHORT * 5).await;
        first.release().await.unwrap();
    };
    let waiting = within(&mut conn).lock_all(&keys).timeout(SHORT * 10);
    let (waited, ()) = tokio::join!(waiting.acquire(), release);
    assert!(waited.unwrap_err().is_timeout());
    let waited = begun.elapsed();
    assert!(waited >= SHORT * 10 && waited < SHORT * 10 + SOON, "{waited:?}");
    last.release().await.unwrap();
    run(&mut conn, "COMMIT").await;
}

/// A wait that was given up goes on to its end, and what it gets ends with the transaction.
pub(crate) async fn cancelled_wait_leaves_nothing(site: Site) {
    let (pool, mut other) = (pool(&site, 1).await, connect(&site).await);
    let mut witness = Witness::at(&site.url).await;
    for (granted, whole) in [(true, true), (false, true), (true, false), (false, false)] {
        let mut held = lock(&site, &mut other);
        held.acquire().await.unwrap();
        if whole {
            let mut tx = pool.begin().await.unwrap();
            let wait = within(&mut tx).lock(&site.namespace).timeout(SHORT * 5).acquire();
            assert!(tokio::time::timeout(SHORT, wait).await.is_err());
        } else {
            let mut conn = pool.acquire().await.unwrap();
            run::<Conn>(&mut conn, "BEGIN").await;
            let wait = within(&mut conn).lock(&site.namespace).timeout(SHORT * 5).acquire();
            assert!(tokio::time::timeout(SHORT, wait).await.is_err());
        }
        if granted {
            held.release().await.unwrap();
            run::<Conn>(&mut pool.acquire().await.unwrap(), "SELECT 1").await;
        } else {
            run::<Conn>(&mut pool.acquire().await.unwrap(), "SELECT 1").await;
            held.release().await.unwrap();
        }
        until_waiting(&mut witness, &site, 0).await;
        // Of a connection that is closed the server learns a moment later.
        let free = async || is_free(&site, &mut other).await;
        eventually_async("it is free", SOON, free).await;
        let inside = "SELECT count(*) FROM pg_stat_activity WHERE pid = pg_backend_pid() \
            AND xact_start <> query_start";
        assert_eq!(number::<Conn>(&mut pool.acquire().await.unwrap(), inside).await, 0);
    }
}
