//! Waits that somebody stops from outside: `pg_cancel_backend`, `KILL QUERY`.

use std::time::{Duration, Instant};

use dlock::Error;
use dlock_tests::{Site, Witness};

use crate::db::{Application, connect, is_free, lock, rows, run, table, until_held, until_waiting};

/// They are no grant and no timeout; they leave nothing, and the transaction goes on.
pub(crate) async fn are_errors_that_leave_nothing<C: Application>(site: Site) {
    let (mut conn, mut other) = (connect::<C>(&site).await, connect::<C>(&site).await);
    let mut witness = Witness::at(&site.url).await;
    table(&mut conn).await;
    for inside in [false, true] {
        if inside {
            run(&mut conn, "BEGIN").await;
            run(&mut conn, "INSERT INTO done VALUES (1)").await;
        }
        for again in [false, true] {
            let mut held = lock(&site, &mut other);
            held.acquire().await.unwrap();
            let mut waiting = lock(&site, &mut conn).timeout(Duration::from_secs(30));
            if again {
                waiting = waiting.reentrant();
            }
            let begun = Instant::now();
            let stops = async {
                until_waiting(&mut witness, &site, 1).await;
                C::stop(&mut witness, &site).await;
            };
            let (result, ()) = tokio::join!(waiting.acquire(), stops);
            let error = result.unwrap_err();
            assert!(
                matches!(error, Error::Backend { .. } | Error::Unavailable { .. }),
                "{error:?}"
            );
            assert!(begun.elapsed() < Duration::from_secs(20) && !waiting.is_held());
            assert!(!waiting.release().await.unwrap());
            assert!(held.release().await.unwrap());
            assert!(is_free(&site, &mut other).await);
        }
        until_held(&mut witness, &site, 0).await;
        if inside {
            assert_eq!(rows(&mut conn).await, 1);
            run(&mut conn, "COMMIT").await;
            assert_eq!(rows(&mut conn).await, 1);
        }
    }
}
