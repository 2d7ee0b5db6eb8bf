//! Locks that are dropped while they are held, and waits that are.

use std::time::{Duration, Instant};

use dlock::on;
use dlock_tests::{Site, Witness, eventually_async};
use sqlx::{Connection as _, Executor as _};
use tokio::time::timeout;

use crate::db::{Conn, SOON, connect, is_free, lock, pool, rows, run, table, until_waiting};

const MOMENT: Duration = Duration::from_millis(50);

async fn until_free(site: &Site, other: &mut Conn) {
    eventually_async("it is free", SOON, async || is_free(site, other).await).await;
}

/// The connection of a pool is closed with its lock, and another one comes in its place.
pub(crate) async fn connection_of_a_pool_is_closed(site: Site) {
    let (pool, mut other) = (pool(&site, 1).await, connect(&site).await);
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
                (&mut **lock.conn()).execute("BEGIN").await.unwrap();
                assert!((&mut **lock.conn()).execute("SELECT no_such_column").await.is_err());
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

/// A bare connection is the caller's: a lock that is dropped stays until it ends.
pub(crate) async fn bare_connection_keeps_it(site: Site) {
    let (mut conn, mut other) = (connect(&site).await, connect(&site).await);
    let mut held = lock(&site, &mut conn);
    held.acquire().await.unwrap();
    drop(held);
    run(&mut conn, "SELECT 1").await;
    assert!(!is_free(&site, &mut other).await);
    conn.close().await.unwrap();
    until_free(&site, &mut other).await;
}

/// What is dropped in the middle gives back no lock but its own, wherever the middle is.
pub(crate) async fn nested_lock_that_is_dropped_leaves_the_outer_one(site: Site) {
    let (pool, mut other) = (pool(&site, 1).await, connect(&site).await);
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
pub(crate) async fn transaction_of_a_pool_leaves_none_in_it(site: Site) {
    let (pool, mut other) = (pool(&site, 1).await, connect(&site).await);
    let mut witness = Witness::at(&site.url).await;
    // In one that has failed PostgreSQL takes no release, see `ConnectionLock`.
    for broken in [false, !site.backend.unwrap().is_postgres()] {
        let mut tx = pool.begin().await.unwrap();
        let mut held = on(&mut tx).lock(&site.namespace);
        held.acquire().await.unwrap();
        if broken {
            assert!((&mut **held.conn()).execute("SELECT no_such_column").await.is_err());
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
pub(crate) async fn cancelled_wait_is_settled_by_the_next_use(site: Site) {
    let (mut conn, mut other) = (connect(&site).await, connect(&site).await);
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
pub(crate) async fn nested_lock_that_fails_leaves_the_outer_one(site: Site) {
    let (mut conn, mut other) = (connect(&site).await, connect(&site).await);
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
