//! Locks next to rows that are read and written under them.

use dlock::{Error, within};
use dlock_tests::{Site, Witness};

use super::connect;
use crate::db::{lock, number, run, until_waiting};

/// What a statement sees that comes after the wait: the last holder's work, unless the transaction's
/// view is older than the wait.
pub(crate) async fn view_is_as_old_as_the_isolation_level_says(site: Site) {
    let (mut conn, mut other) = (connect(&site).await, connect(&site).await);
    let mut witness = Witness::at(&site.url).await;
    let table = site.name.replace('-', "_");
    run(&mut other, &format!("CREATE TABLE {table} AS SELECT 1::int8 AS n")).await;
    for (level, fresh) in
        [("READ COMMITTED", true), ("REPEATABLE READ", false), ("SERIALIZABLE", false)]
    {
        run(&mut other, &format!("UPDATE {table} SET n = 1")).await;
        run(&mut other, "BEGIN").await;
        within(&mut other).lock(&site.namespace).acquire().await.unwrap();
        run(&mut other, &format!("UPDATE {table} SET n = 2")).await;
        run(&mut conn, &format!("BEGIN ISOLATION LEVEL {level}")).await;
        let finish = async {
            until_waiting(&mut witness, &site, 1).await;
            run(&mut other, "COMMIT").await;
        };
        let (waited, ()) = tokio::join!(within(&mut conn).lock(&site.namespace).acquire(), finish);
        waited.unwrap();
        let seen = number(&mut conn, &format!("SELECT n FROM {table}")).await;
        assert_eq!(seen, if fresh { 2 } else { 1 }, "{level}");
        run(&mut conn, "ROLLBACK").await;
        // With the lock before the transaction, nothing is missed.
        run(&mut other, &format!("UPDATE {table} SET n = 3")).await;
        let mut held = lock(&site, &mut conn);
        held.acquire().await.unwrap();
        run(held.conn(), &format!("BEGIN ISOLATION LEVEL {level}")).await;
        assert_eq!(number(held.conn(), &format!("SELECT n FROM {table}")).await, 3);
        run(held.conn(), "COMMIT").await;
        held.release().await.unwrap();
    }
    run(&mut other, &format!("DROP TABLE {table}")).await;
}

/// A transaction that waits on a row of one that waits for its lock.
pub(crate) async fn deadlock_with_a_row_is_told(site: Site) {
    for session in [true, false] {
        let (mut one, mut two) = (connect(&site).await, connect(&site).await);
        let mut witness = Witness::at(&site.url).await;
        let table = site.name.replace('-', "_");
        run(&mut one, &format!("CREATE TABLE {table} AS SELECT 1::int8 AS n")).await;
        run(&mut one, "BEGIN").await;
        run(&mut one, &format!("UPDATE {table} SET n = 2")).await;
        // The one that waits for the lock is the first to look, and so the victim.
        run(&mut two, "SET deadlock_timeout = '20s'").await;
        run(&mut two, "BEGIN").await;
        within(&mut two).lock(&site.namespace).acquire().await.unwrap();
        let update = format!("UPDATE {table} SET n = 3");
        let cross = async {
            until_waiting(&mut witness, &site, 1).await;
            run(&mut two, &update).await;
        };
        let take = async {
            let result = match session {
                true => lock(&site, &mut one).acquire().await,
                false => within(&mut one).lock(&site.namespace).acquire().await,
            };
            assert_eq!(number(&mut one, &format!("SELECT n FROM {table}")).await, 2, "its own");
            run(&mut one, "ROLLBACK").await;
            result
        };
        let (result, ()) = tokio::join!(take, cross);
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Deadlock { .. }), "{error:?}");
        run(&mut two, &format!("COMMIT; DROP TABLE {table}")).await;
    }
}
