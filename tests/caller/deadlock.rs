//! Two connections that wait for each other.

use std::time::{Duration, Instant};

use dlock::{Error, on};
use dlock_tests::Site;

use crate::db::{Application, connect, rows, run, table};

const LONG: Duration = Duration::from_secs(20);

/// The server ends one of the waits; what the victim held, it holds on.
pub(crate) async fn is_told_and_costs_nothing<C: Application>(site: Site) {
    cross::<C>(&site, false).await;
}

/// The transaction goes on with what it has done, in both.
pub(crate) async fn leaves_the_transaction_as_it_was<C: Application>(site: Site) {
    cross::<C>(&site, true).await;
}

async fn cross<C: Application>(site: &Site, inside: bool) {
    let (mut one, mut two) = (connect::<C>(site).await, connect::<C>(site).await);
    let [a, b] = ["a", "b"].map(|key| format!("{}-{key}", site.namespace));
    for conn in [&mut one, &mut two] {
        table(conn).await;
        if inside {
            run(conn, "BEGIN").await;
            run(conn, "INSERT INTO done VALUES (1)").await;
        }
    }
    let met = tokio::sync::Barrier::new(2);
    let begun = Instant::now();
    let side = async |conn: &mut C, mine: &str, theirs: &str| {
        let mut held = on(conn).lock(mine);
        held.acquire().await.unwrap();
        met.wait().await;
        let mut wanted = on(held.conn()).lock(theirs).timeout(LONG);
        let result = wanted.acquire().await;
        assert_eq!(wanted.release().await.unwrap(), result.is_ok());
        assert!(held.is_held());
        assert!(held.release().await.unwrap(), "what it had before, it has still");
        result
    };
    let (left, right) = tokio::join!(side(&mut one, &a, &b), side(&mut two, &b, &a));
    assert!(begun.elapsed() < LONG / 2, "nobody has seen it");
    let (victim, error) = match (left, right) {
        (Err(error), Ok(())) => (&mut one, error),
        (Ok(()), Err(error)) => (&mut two, error),
        other => panic!("{other:?}"),
    };
    assert!(matches!(error, Error::Deadlock { .. }), "{error:?}");
    if inside {
        assert_eq!(rows(victim).await, 1, "what was done before is there");
        run(victim, "INSERT INTO done VALUES (2)").await;
        run(victim, "ROLLBACK").await;
        assert_eq!(rows(victim).await, 0, "the transaction was still the same");
    }
}
