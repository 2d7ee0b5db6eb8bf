//! Limits that the caller or the server has set, and clients that vanish.

use std::time::{Duration, Instant};

use dlock::{Error, on, within};
use dlock_tests::{Site, Witness, eventually_async};
use sqlx::Connection as _;

use super::{Conn, connect};
use crate::db::{SOON, is_free, lock, number, run};

/// Not only when the wait is over: it has other locks, and others wait for them.
pub(crate) async fn client_that_is_gone_leaves_the_queue(site: Site) {
    let mut other = connect(&site).await;
    let mut witness = Witness::at(&site.url).await;
    for begin in ["SELECT", "BEGIN"] {
        let mut conn = connect(&site).await;
        run(&mut conn, begin).await;
        let mut first = on(&mut conn).lock(format!("{}-first", site.namespace));
        first.acquire().await.unwrap();
        let mut held = lock(&site, &mut other);
        held.acquire().await.unwrap();
        let waiting = async {
            on(first.conn()).lock(&site.namespace).timeout(dlock::Wait::Forever).acquire().await
        };
        tokio::select! {
            _ = waiting => panic!("it is taken"),
            () = crate::db::until_waiting(&mut witness, &site, 1) => {}
        }
        drop(first);
        // Without a word.
        drop(conn);
        let begun = Instant::now();
        let gone = async || witness.waits(&site).await == 0 && witness.locks(&site).await == 1;
        eventually_async("it has gone", Duration::from_secs(20), gone).await;
        println!("gone after {:?}", begun.elapsed());
        held.release().await.unwrap();
    }
}

/// Many locks of others make no difference to a limit of statements.
pub(crate) async fn many_locks_of_others_break_no_transaction(site: Site) {
    const ENOUGH: u32 = 7;
    let (mut conn, mut other) = (connect(&site).await, connect(&site).await);
    let mut crowd = connect(&site).await;
    run(&mut crowd, "SELECT count(pg_advisory_lock(77, n)) FROM generate_series(1, 6000) n").await;
    let mut held = lock(&site, &mut other);
    held.acquire().await.unwrap();
    // Three milliseconds can be too short for any statement on a busy machine, but not always.
    let end = Instant::now() + Duration::from_secs(60);
    let mut whole = [0; 2];
    while whole.iter().any(|rounds| *rounds < ENOUGH) {
        assert!(Instant::now() < end, "{whole:?}");
        let busy = whole[1] < whole[0];
        let key = if busy { site.namespace.clone() } else { format!("{}-b", site.namespace) };
        if is_whole_after(&mut conn, key, busy).await {
            whole[usize::from(busy)] += 1;
        }
    }
    assert!(held.release().await.unwrap());
    crowd.close().await.unwrap();
}

/// Asks for a lock in a transaction whose statements may take three milliseconds, and waits for two of them if it is
/// busy. Whether the answer is right, and the transaction as good as before.
async fn is_whole_after(conn: &mut Conn, key: String, busy: bool) -> bool {
    // The last one may have been stopped while it was rolled back, and its limit still be there.
    let Ok(mut tx) = conn.begin().await else { return false };
    run::<Conn>(&mut tx, "SET LOCAL statement_timeout = '3ms'").await;
    let mut lock = on(&mut tx).lock(key).timeout(Duration::from_millis(2));
    let result = lock.acquire().await;
    let as_it_should = match &result {
        Ok(()) => !busy,
        Err(error) => busy && error.is_timeout(),
    };
    let released = lock.release().await.is_ok();
    let usable = sqlx::query("SELECT 1").execute(&mut *tx).await.is_ok();
    // The limit is one for this statement too.
    let ended = tx.rollback().await.is_ok();
    if !(as_it_should && released && usable && ended) {
        println!("{result:?}, {released}, {usable}, {ended}");
        return false;
    }
    true
}

/// Of PostgreSQL 17 and newer: it ends the session, not the statement.
pub(crate) async fn limit_of_transactions_ends_no_wait(site: Site) {
    let (mut conn, mut other) = (connect(&site).await, connect(&site).await);
    let sql = "SELECT count(*) FROM pg_settings WHERE name = 'transaction_timeout'";
    if number(&mut conn, sql).await == 0 {
        return;
    }
    run(&mut conn, "SET transaction_timeout = '200ms'").await;
    let mut held = lock(&site, &mut other);
    held.acquire().await.unwrap();
    let mut waiting = lock(&site, &mut conn).timeout(Duration::from_secs(1));
    let error = waiting.acquire().await.unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    drop(waiting);
    assert_eq!(number(&mut conn, "SELECT 1::int8").await, 1);
    assert!(held.release().await.unwrap());
}

/// Whoever may not look at other sessions waits and times out like everybody else.
pub(crate) async fn holder_that_may_not_be_seen_is_left_out(site: Site) {
    let name = site.name.replace('-', "_");
    let mut witness = Witness::at(&site.url).await;
    witness.run(&format!("CREATE DATABASE {name}")).await;
    witness.run(&format!("CREATE ROLE {name} LOGIN")).await;
    let (at, _) = site.url.rsplit_once('/').unwrap();
    let theirs = site.through(&format!("{at}/{name}"));
    let (_, rest) = theirs.url.rsplit_once('@').unwrap();
    let poor = site.through(&format!("postgres://{name}@{rest}"));
    let mut other = connect(&theirs).await;
    run(&mut other, "REVOKE ALL ON pg_catalog.pg_stat_activity FROM PUBLIC").await;
    let mut conn = connect(&poor).await;
    let mut held = lock(&site, &mut other);
    held.acquire().await.unwrap();
    let wait = Duration::from_millis(20);
    for begin in ["SELECT", "BEGIN"] {
        run(&mut conn, begin).await;
        let error = lock(&site, &mut conn).timeout(wait).acquire().await.unwrap_err();
        assert!(error.is_timeout(), "{error:?}");
    }
    let error = within(&mut conn).lock(&site.namespace).timeout(wait).acquire().await.unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    run(&mut conn, "COMMIT").await;
    held.release().await.unwrap();
    drop((conn, other));
    let gone = async || witness.sessions(&site).await == 0;
    eventually_async("they have gone", SOON, gone).await;
    witness.run(&format!("DROP DATABASE {name} WITH (FORCE)")).await;
    witness.run(&format!("DROP ROLE {name}")).await;
}

/// The body has ended the caller's transaction, and broken another one.
pub(crate) async fn broken_transaction_of_the_body_keeps_nothing(site: Site) {
    let (mut conn, mut other) = (connect(&site).await, connect(&site).await);
    for end in ["COMMIT; BEGIN", "ROLLBACK; BEGIN"] {
        run(&mut conn, "BEGIN").await;
        let body = async |conn: &mut Conn| {
            run(conn, end).await;
            sqlx::query("SELECT no_such_column").execute(conn).await
        };
        let error = lock(&site, &mut conn).run(body).await.unwrap_err();
        assert!(error.to_string().contains("no_such_column"), "{error}");
        assert!(is_free(&site, &mut other).await);
        assert_eq!(
            number(&mut conn, "SELECT 1::int8").await,
            1,
            "the connection is as good as new"
        );
    }
}

/// A pooler that gives one session to two clients, and both would have the lock.
pub(crate) async fn pooler_is_refused_where_it_shows(site: Site) {
    let Some(server) = dlock_tests::Server::like(&site, &[]) else { return };
    let settings = ["pool_mode=transaction", "default_pool_size=1"];
    let Some(pooler) = server.beside("pgbouncer", &settings) else { return };
    let (mut one, mut two) =
        (super::pooler::client(pooler.url()).await, super::pooler::client(pooler.url()).await);
    let mut held = on(&mut one).lock("k");
    held.acquire().await.unwrap();
    for reentrant in [false, true] {
        let lock = on(&mut two).lock("k").timeout(Duration::from_millis(20));
        let mut lock = if reentrant { lock.reentrant() } else { lock };
        let error = lock.acquire().await.unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
        assert!(error.to_string().contains("pooler"), "{error}");
    }
    assert!(held.release().await.unwrap());
    let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
    assert_eq!(number(&mut two, held).await, 0);
}
