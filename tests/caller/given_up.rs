//! Locks that are dropped while they are held, and waits that are.

use std::time::{Duration, Instant};

use dlock::{Connection, on};
use dlock_tests::{Site, Witness, eventually_async};
use tokio::time::timeout;

use crate::db::{Application, SOON, connect, is_free, lock, pool, rows, run, table, until_waiting};

const MOMENT: Duration = Duration::from_millis(50);

async fn until_free(site: &Site, other: &mut impl Connection) {
    eventually_async("it is free", SOON, async || is_free(site, other).await).await;
}

/// The connection of a pool is closed with its lock, and another one comes in its place.
pub(crate) async fn connection_of_a_pool_is_closed<C: Application>(site: Site) {
    let (pool, mut other) = (pool::<C>(&site, 1).await, connect::<C>(&site).await);
    let mut witness = Witness::at(&site.url).await;
    for way in ["dropped", "in a transaction", "body cancelled", "wait cancelled"] {
        let mut conn = pool.acquire().await.unwrap();
        let mut lock = on(&mut conn).lock(&site.namespace).timeout(Duration::from_secs(4));
        match way {
            "dropped" => {
                lock.acquire().await.unwrap();
                drop(lock);
            }
            "in a transaction" => {
                lock.acquire().await.unwrap();
                lock.conn().execute("BEGIN").await.unwrap();
                assert!(lock.conn().execute("SELECT no_such_column").await.is_err());
                drop(lock);
            }
            "body cancelled" => {
                let body = async |_: &mut _| {
                    std::future::pending::<()>().await;
                    Ok::<_, dlock::Error>(())
                };
                assert!(timeout(MOMENT, lock.run(body)).await.is_err());
            }
            _ => {
                let mut held = crate::db::lock(&site, &mut other);
                held.acquire().await.unwrap();
                assert!(timeout(MOMENT, lock.acquire()).await.is_err());
                drop(lock);
                until_waiting(&mut witness, &site, 1).await;
                drop(conn);
                // The only place is free before the wait is over.
                let begun = Instant::now();
                drop(pool.acquire().await.unwrap());
                assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
                held.release().await.unwrap();
                until_free(&site, &mut other).await;
                continue;
            }
        }
        drop(conn);
        until_free(&site, &mut other).await;
    }
    assert_eq!(witness.locks(&site).await, 0);
    drop(pool.acquire().await.unwrap());
}

/// Nobody waits for the answer, but the release is on its way.
pub(crate) async fn bare_connection_gives_it_back<C: Application>(site: Site) {
    let (mut conn, mut other) = (connect::<C>(&site).await, connect::<C>(&site).await);
    let mut held = lock(&site, &mut conn);
    held.acquire().await.unwrap();
    drop(held);
    until_free(&site, &mut other).await;
    run(&mut conn, "SELECT 1").await;
    let mut held = lock(&site, &mut conn);
    held.acquire().await.unwrap();
    assert!(held.release().await.unwrap());
    conn.close().await.unwrap();
}

/// A job that is cancelled in the middle of a statement, on a connection of a pool that it knows
/// nothing of: the next job on that connection gets the lock, and afterwards everybody does.
pub(crate) async fn bare_connection_of_a_pool_is_put_right<C: Application>(site: Site) {
    let (pool, mut other) = (pool::<C>(&site, 1).await, connect::<C>(&site).await);
    let slow = match site.backend.unwrap().is_postgres() {
        true => "SELECT pg_sleep(0.2)",
        false => "SELECT SLEEP(0.2)",
    };
    let key = &*site.namespace;
    for _ in 0..3 {
        let mut conn = pool.acquire().await.unwrap();
        assert!(timeout(MOMENT, conn.job(key, slow)).await.is_err());
        drop(conn);
        let mut conn = pool.acquire().await.unwrap();
        conn.job(key, "SELECT 1").await.unwrap();
        drop(conn);
        assert!(is_free(&site, &mut other).await);
    }
    // Also when it is cancelled while it waits, and the next job wants something else.
    let mut held = lock(&site, &mut other);
    held.acquire().await.unwrap();
    let mut conn = pool.acquire().await.unwrap();
    let wait = Duration::from_secs(2);
    {
        let mut waiting = on(&mut *conn).lock(key).timeout(wait);
        assert!(timeout(MOMENT, waiting.acquire()).await.is_err());
    }
    held.release().await.unwrap();
    drop(conn);
    let mut conn = pool.acquire().await.unwrap();
    let another = format!("{key}-another");
    conn.job(&another, "SELECT 1").await.unwrap();
    assert!(is_free(&site, &mut other).await);
}

/// It is held until its session ends, and no other connection is taken for that one.
pub(crate) async fn forgotten_lock_is_of_its_session_only<C: Application>(site: Site) {
    let mut other = connect::<C>(&site).await;
    let mut conn = connect::<C>(&site).await;
    let mut held = lock(&site, &mut conn);
    held.acquire().await.unwrap();
    std::mem::forget(held);
    assert!(!is_free(&site, &mut other).await);
    // In the same place.
    let old = std::mem::replace(&mut conn, connect::<C>(&site).await);
    old.close().await.unwrap();
    until_free(&site, &mut other).await;
    for _ in 0..3 {
        let mut held = lock(&site, &mut conn);
        held.acquire().await.unwrap();
        assert!(!is_free(&site, &mut other).await);
        assert!(held.release().await.unwrap());
        assert!(is_free(&site, &mut other).await);
        let mut waiting = lock(&site, &mut conn);
        let _ = timeout(Duration::from_micros(1), waiting.acquire()).await;
        drop(waiting);
        // Where nothing can be sent behind a running statement, the next use gives it back.
        let mut again = lock(&site, &mut conn);
        again.acquire().await.unwrap();
        assert!(again.release().await.unwrap());
        until_free(&site, &mut other).await;
    }
}

/// Each cancelled `acquire` may have counted: all of them are given back, and no other.
pub(crate) async fn every_cancelled_count_is_given_back<C: Application>(site: Site) {
    let (mut conn, mut other) = (connect::<C>(&site).await, connect::<C>(&site).await);
    for micros in (0..600).step_by(25) {
        let mut outer = lock(&site, &mut conn);
        outer.acquire().await.unwrap();
        for _ in 0..3 {
            let keys = [site.namespace.clone(), format!("{}-b", site.namespace)];
            let mut inner = on(outer.conn()).lock_all(keys).reentrant();
            let _ = timeout(Duration::from_micros(micros), inner.acquire()).await;
            let _ = timeout(Duration::from_micros(micros), inner.release()).await;
        }
        assert!(!is_free(&site, &mut other).await, "{micros}");
        assert!(outer.release().await.unwrap(), "{micros}");
        assert!(is_free(&site, &mut other).await, "{micros}");
    }
}

/// What is dropped in the middle gives back no lock but its own, wherever the middle is.
pub(crate) async fn nested_lock_that_is_dropped_leaves_the_outer_one<C: Application>(site: Site) {
    let (pool, mut other) = (pool::<C>(&site, 1).await, connect::<C>(&site).await);
    for reentrant in [false, true] {
        for micros in (0..400).step_by(20) {
            let mut tx = pool.begin().await.unwrap();
            let mut outer = on(&mut tx).lock(&site.namespace);
            outer.acquire().await.unwrap();
            {
                let inner = on(outer.conn()).lock(&site.namespace);
                let mut inner = if reentrant { inner.reentrant() } else { inner };
                let _ = timeout(Duration::from_micros(micros), inner.acquire()).await;
            }
            assert!(!is_free(&site, &mut other).await, "{reentrant}, {micros}");
            assert!(outer.release().await.unwrap(), "{reentrant}, {micros}");
            assert!(is_free(&site, &mut other).await, "{reentrant}, {micros}");
            tx.commit().await.unwrap();
        }
    }
}

/// A pool's connection that goes back after its transaction has no lock.
pub(crate) async fn transaction_of_a_pool_leaves_none_in_it<C: Application>(site: Site) {
    let (pool, mut other) = (pool::<C>(&site, 1).await, connect::<C>(&site).await);
    let mut witness = Witness::at(&site.url).await;
    // In one that has failed PostgreSQL takes no release, see `ConnectionLock`.
    for broken in [false, !site.backend.unwrap().is_postgres()] {
        let mut tx = pool.begin().await.unwrap();
        let mut held = on(&mut tx).lock(&site.namespace);
        held.acquire().await.unwrap();
        if broken {
            assert!(held.conn().execute("SELECT no_such_column").await.is_err());
        }
        drop(held);
        drop(tx);
        let conn = pool.acquire().await.unwrap();
        // One that could not let go was closed, and the server sees that a moment later.
        until_free(&site, &mut other).await;
        assert_eq!(witness.locks(&site).await, 0);
        drop(conn);
    }
}

/// What the abandoned wait was granted, or came to, is settled by the next use of the same lock.
pub(crate) async fn cancelled_wait_is_settled_by_the_next_use<C: Application>(site: Site) {
    let (mut conn, mut other) = (connect::<C>(&site).await, connect::<C>(&site).await);
    table(&mut conn).await;
    for (inside, granted, again) in [
        (false, false, false),
        (false, true, false),
        (false, true, true),
        (false, false, true),
        (true, false, false),
        (true, true, false),
        (true, true, true),
        (true, false, true),
    ] {
        let case = format!("inside {inside}, granted {granted}, again {again}");
        if inside {
            run(&mut conn, "BEGIN").await;
            run(&mut conn, "INSERT INTO done VALUES (1)").await;
        }
        let mut held = lock(&site, &mut other);
        held.acquire().await.unwrap();
        let time = Duration::from_millis(200);
        let mut waiting = lock(&site, &mut conn).timeout(time);
        assert!(timeout(MOMENT, waiting.acquire()).await.is_err(), "{case}");
        if granted {
            held.release().await.unwrap();
            tokio::time::sleep(time).await;
        } else {
            tokio::time::sleep(time).await;
            held.release().await.unwrap();
        }
        if again {
            waiting.acquire().await.unwrap_or_else(|error| panic!("{case}: {error}"));
            assert!(!is_free(&site, &mut other).await, "{case}");
            assert!(waiting.release().await.unwrap(), "{case}");
        } else {
            assert!(!waiting.is_held());
            let released = waiting.release().await;
            assert!(!released.unwrap_or_else(|error| panic!("{case}: {error}")));
        }
        assert!(is_free(&site, &mut other).await, "{case}");
        if inside {
            assert_eq!(rows(&mut conn).await, 1, "{case}");
            run(&mut conn, "ROLLBACK").await;
        }
        assert_eq!(rows(&mut conn).await, 0, "{case}");
    }
}

/// Locks of others on the same connection outlive it: each gives back its own count.
pub(crate) async fn nested_lock_that_fails_leaves_the_outer_one<C: Application>(site: Site) {
    let (mut conn, mut other) = (connect::<C>(&site).await, connect::<C>(&site).await);
    let mut outer = lock(&site, &mut conn);
    outer.acquire().await.unwrap();
    for _ in 0..200 {
        // However short the time is: what is held already is not waited for.
        let mut inner = lock(&site, outer.conn()).reentrant().timeout(Duration::from_micros(1));
        if inner.acquire().await.is_ok() {
            assert!(inner.release().await.unwrap());
        }
    }
    let inner = lock(&site, outer.conn()).reentrant();
    assert!(!inner.release().await.unwrap());
    assert!(!is_free(&site, &mut other).await);
    assert!(outer.release().await.unwrap());
    assert!(is_free(&site, &mut other).await);
}
