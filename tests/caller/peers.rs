//! What locks of other libraries on the caller's connection get wrong, each with what ours do.
//!
//! Found in sqlalchemy-dlock 0.9.0, PALs 0.4.0, postgresql-lock 0.2.2 and django-database-locks 0.5.

use std::time::{Duration, Instant};

use dlock::{Error, Key, LostReason, Mode, Wait, on, within};
use dlock_tests::{Site, Witness, on_a_thread, once_within};
use tokio::task::JoinSet;

use sqlx::pool::PoolConnection;

use crate::db::{Application, SOON, connect, is_free, lock, number, pool, run};
use crate::run::Failure;

const MOMENT: Duration = Duration::from_millis(40);

/// sqlalchemy-dlock polls: a timeout of 0.2 took 1.00 s.
pub(crate) async fn fifth_of_a_second_takes_a_fifth_of_a_second<C: Application>(site: Site) {
    let (mut conn, mut other) = (connect::<C>(&site).await, connect::<C>(&site).await);
    let mut held = lock(&site, &mut other);
    held.acquire().await.unwrap();
    once_within(Duration::from_millis(700), async || {
        let begun = Instant::now();
        let mut waiting = lock(&site, &mut conn).timeout(Duration::from_millis(200));
        assert!(waiting.acquire().await.unwrap_err().is_timeout());
        assert!(begun.elapsed() >= Duration::from_millis(200));
        begun.elapsed()
    })
    .await;
    held.release().await.unwrap();
}

/// sqlalchemy-dlock says `locked` after its backend was killed, and after a release that failed.
pub(crate) async fn release_after_the_session_has_ended_says_lost<C: Application>(site: Site) {
    let mut witness = Witness::at(&site.url).await;
    let pool = pool::<C>(&site, 1).await;
    let mut conn = pool.acquire().await.unwrap();
    let mut held = on(&mut conn).lock(&site.namespace);
    held.acquire().await.unwrap();
    witness.terminate(&site).await;
    let error = held.release().await.unwrap_err();
    assert!(matches!(error, Error::Lost { reason: LostReason::SessionEnded, .. }), "{error:?}");
    drop(conn);
    let mut conn = pool.acquire().await.unwrap();
    let mut held = on(&mut conn).lock(&site.namespace);
    assert!(!held.is_held());
    held.acquire().await.unwrap();
    assert!(held.release().await.unwrap());
}

/// A release of sqlalchemy-dlock's transaction lock is a warning and nothing else, inside `with`
/// too, and `locked` is false while it is held. Ours has no release; and one of the session's does
/// not take it for its own.
pub(crate) async fn lock_of_a_transaction_has_no_release<C: Application>(site: Site) {
    let (mut conn, mut other) = (connect::<C>(&site).await, connect::<C>(&site).await);
    run(&mut conn, "BEGIN").await;
    let taken = within(&mut conn).lock(&site.namespace).acquire().await;
    if !site.backend.unwrap().is_postgres() {
        assert!(matches!(taken, Err(Error::Unsupported { .. })), "{taken:?}");
        return;
    }
    assert!(!lock(&site, &mut conn).release().await.unwrap());
    assert!(!is_free(&site, &mut other).await);
    run(&mut conn, "COMMIT").await;
    assert!(is_free(&site, &mut other).await);
}

/// PALs makes its default, 30 s, of an `acquire_timeout` of 0.
pub(crate) async fn timeout_of_zero_is_zero<C: Application>(site: Site) {
    let (mut conn, mut other) = (connect::<C>(&site).await, connect::<C>(&site).await);
    let mut held = lock(&site, &mut other);
    held.acquire().await.unwrap();
    let begun = Instant::now();
    let error = lock(&site, &mut conn).timeout(Duration::ZERO).acquire().await.unwrap_err();
    assert!(error.is_timeout() && begun.elapsed() < SOON, "{error}");
    held.release().await.unwrap();
}

/// PALs leaves its `lock_timeout` on the pooled connection, and keeps that connection when it did
/// not get the lock.
pub(crate) async fn failed_acquire_keeps_no_connection_and_no_setting<C: Application>(site: Site) {
    let (pool, mut other) = (pool::<C>(&site, 1).await, connect::<C>(&site).await);
    let mut held = lock(&site, &mut other);
    held.acquire().await.unwrap();
    let session = match site.backend.unwrap().is_postgres() {
        true => "SELECT pg_backend_pid()::int8 + 1000000 * current_setting('lock_timeout')::int8",
        false => "SELECT CAST(CONNECTION_ID() AS SIGNED)",
    };
    let first = number::<C>(&mut pool.acquire().await.unwrap(), session).await;
    for _ in 0..3 {
        let mut conn = pool.acquire().await.unwrap();
        let busy = on(&mut conn).lock(&site.namespace).timeout(MOMENT).acquire().await;
        assert!(busy.unwrap_err().is_timeout());
        assert_eq!(number::<C>(&mut conn, session).await, first, "the same, and as it was");
    }
    held.release().await.unwrap();
}

/// In postgresql-lock a try that fails counts: after the next success one release does not do.
pub(crate) async fn failed_try_does_not_count<C: Application>(site: Site) {
    let (mut conn, mut other) = (connect::<C>(&site).await, connect::<C>(&site).await);
    let mut held = lock(&site, &mut other);
    held.acquire().await.unwrap();
    let mut ours = lock(&site, &mut conn).reentrant();
    for _ in 0..3 {
        assert!(!ours.try_acquire().await.unwrap());
    }
    held.release().await.unwrap();
    assert!(ours.try_acquire().await.unwrap());
    assert!(ours.release().await.unwrap());
    assert!(is_free(&site, &mut other).await);
}

/// postgresql-lock takes the lock again inside its own `with`, and does not look at what the unlock
/// says; one release of a PALs lock that was acquired twice frees it.
pub(crate) async fn second_acquire_is_told_and_the_unlock_is_looked_at<C: Application>(site: Site) {
    let (mut conn, mut other) = (connect::<C>(&site).await, connect::<C>(&site).await);
    let mut outer = lock(&site, &mut conn);
    outer.acquire().await.unwrap();
    assert!(matches!(outer.acquire().await, Err(Error::Reentrant { .. })));
    assert!(outer.is_held() && !is_free(&site, &mut other).await);
    let inner = lock(&site, outer.conn()).run(async |_| Ok::<_, Error>(())).await;
    assert!(matches!(inner, Err(Error::Reentrant { .. })));
    run(outer.conn(), C::LET_GO).await;
    let error = outer.release().await.unwrap_err();
    assert!(matches!(error, Error::Lost { reason: LostReason::NotHeld, .. }), "{error:?}");
}

/// With sqlalchemy-dlock an SQL error in the body aborts the transaction: the unlock fails in it and
/// hides the error, and the lock goes past the rollback and back into the pool.
pub(crate) async fn aborted_transaction_hides_no_error_and_keeps_no_lock<C: Application>(
    site: Site,
) {
    let (pool, mut other) = (pool::<C>(&site, 1).await, connect::<C>(&site).await);
    let mut conn = pool.acquire().await.unwrap();
    let body = async |conn: &mut PoolConnection<C::Database>| {
        conn.execute("BEGIN").await?;
        conn.execute("SELECT no_such_column").await
    };
    let error = on(&mut conn).lock(&site.namespace).run(body).await.unwrap_err();
    assert!(error.to_string().contains("no_such_column"), "{error}");
    assert!(is_free(&site, &mut other).await);
    drop(conn);
    run::<C>(&mut pool.acquire().await.unwrap(), "SELECT 1").await;
    assert!(is_free(&site, &mut other).await);
}

/// On MariaDB sqlalchemy-dlock's default of no timeout fails at once, since `GET_LOCK(…, -1)` is
/// NULL; on PostgreSQL a `statement_timeout` ends its wait.
pub(crate) async fn wait_without_end_has_none<C: Application>(site: Site) {
    let (mut conn, mut other) = (connect::<C>(&site).await, connect::<C>(&site).await);
    run(&mut conn, C::limit(site.backend)).await;
    let mut held = lock(&site, &mut other);
    held.acquire().await.unwrap();
    let release = async {
        tokio::time::sleep(Duration::from_millis(600)).await;
        held.release().await.unwrap();
    };
    let mut waiting = lock(&site, &mut conn).timeout(Wait::Forever);
    let (waited, ()) = tokio::join!(waiting.acquire(), release);
    waited.unwrap();
    assert!(waiting.release().await.unwrap());
}

/// django-database-locks has no `finally`: an exception of the body leaves the lock held, and
/// renewed.
pub(crate) async fn error_and_panic_of_the_body_release<C: Application>(site: Site) {
    let mut other = connect::<C>(&site).await;
    let mut conn = connect::<C>(&site).await;
    let body = async |_: &mut C| Err::<(), _>(Failure::Body(4));
    assert!(matches!(lock(&site, &mut conn).run(body).await, Err(Failure::Body(4))));
    assert!(is_free(&site, &mut other).await);
    let theirs = site.clone();
    let panics = tokio::spawn(async move {
        let mut conn = pool::<C>(&theirs, 1).await.acquire().await.unwrap();
        let body = async |_: &mut PoolConnection<C::Database>| -> Result<(), Error> {
            panic!("as planned")
        };
        on(&mut conn).lock(&theirs.namespace).run(body).await
    });
    assert!(panics.await.unwrap_err().is_panic());
    let free = async || is_free(&site, &mut other).await;
    dlock_tests::eventually_async("it is free", crate::db::SOON, free).await;
}

/// Two threads of a process are one owner for django-database-locks: both hold the lock. And in any
/// thread but the main one its acquire is a ValueError that leaves the lock held.
pub(crate) async fn threads_exclude_each_other<C: Application>(site: Site) {
    let work = |site: Site| {
        on_a_thread(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let mut conn = connect::<C>(&site).await;
                let mut lock = lock(&site, &mut conn).timeout(MOMENT);
                let held = lock.acquire().await.is_ok();
                assert_eq!(lock.release().await.unwrap(), held);
                held
            })
        })
    };
    let mut conn = connect::<C>(&site).await;
    let mut held = lock(&site, &mut conn);
    held.acquire().await.unwrap();
    assert!(!work(site.clone()));
    held.release().await.unwrap();
    assert!(work(site.clone()));
}

/// django-database-locks runs the body without a lock where the database is none it knows.
pub(crate) async fn body_never_runs_without_the_lock<C: Application>(site: Site) {
    let mut conn = connect::<C>(&site).await;
    let never = async |_: &mut C| -> Result<(), Error> { panic!("without the lock") };
    let result = lock(&site, &mut conn).mode(Mode::Update).run(never).await;
    assert!(matches!(result, Err(Error::Unsupported { .. })), "{result:?}");
}

/// A pooled connection that goes back without an unlock takes the lock along, in every one of them.
pub(crate) async fn connection_does_not_go_back_with_a_lock<C: Application>(site: Site) {
    let (pool, mut other) = (pool::<C>(&site, 2).await, connect::<C>(&site).await);
    for _ in 0..5 {
        let mut conn = pool.acquire().await.unwrap();
        let mut held = on(&mut conn).lock(&site.namespace);
        held.acquire().await.unwrap();
        drop(held);
        drop(conn);
        let free = async || is_free(&site, &mut other).await;
        dlock_tests::eventually_async("it is free", crate::db::SOON, free).await;
    }
}

/// Keys that sqlalchemy-dlock refuses on one database or another, or takes for each other: floats,
/// bytes, the ends of the integers, the empty one and long ones.
pub(crate) async fn all_keys_are_locks_of_their_own<C: Application>(site: Site) {
    let (mut conn, mut other) = (connect::<C>(&site).await, connect::<C>(&site).await);
    let keys = [
        Key::display(1.5),
        Key::from(b"\xff\x00"),
        Key::from(i64::MIN),
        Key::from(u64::MAX),
        Key::native(i64::MAX),
        Key::native(i64::MIN),
        Key::from(""),
        Key::from("k".repeat(65)),
        Key::from("K".repeat(65)),
        Key::from("é".repeat(1000)),
    ];
    let mut all = on(&mut conn).namespace(&site.namespace).lock_all(&keys);
    all.acquire().await.unwrap();
    for key in &keys {
        let mut one = on(&mut other).namespace(&site.namespace).lock(key);
        assert!(!one.try_acquire().await.unwrap(), "{key}");
    }
    let mut another = on(&mut other).namespace("another").lock(Key::display(1.5));
    assert!(another.try_acquire().await.unwrap());
    assert!(another.release().await.unwrap());
    assert!(all.release().await.unwrap());
}

/// As sqlalchemy-dlock's tests have it: the session's lock outlives its transactions.
pub(crate) async fn commit_and_rollback_leave_a_lock_of_the_session<C: Application>(site: Site) {
    let (mut conn, mut other) = (connect::<C>(&site).await, connect::<C>(&site).await);
    for end in ["COMMIT", "ROLLBACK"] {
        run(&mut conn, "BEGIN").await;
        let mut held = lock(&site, &mut conn);
        held.acquire().await.unwrap();
        run(held.conn(), end).await;
        assert!(!is_free(&site, &mut other).await);
        assert!(held.release().await.unwrap());
    }
}

/// PALs needed a connection more than its pool had: with more tasks than connections all get on.
pub(crate) async fn more_tasks_than_connections_all_succeed<C: Application>(site: Site) {
    let pool = pool::<C>(&site, 2).await;
    let mut tasks = JoinSet::new();
    for _ in 0..10 {
        let (site, pool) = (site.clone(), pool.clone());
        tasks.spawn(async move {
            let mut conn = pool.acquire().await.unwrap();
            let body = async |_: &mut PoolConnection<C::Database>| {
                tokio::time::sleep(Duration::from_millis(5)).await;
                Ok::<_, Error>(())
            };
            on(&mut conn).lock(&site.namespace).run(body).await.unwrap();
        });
    }
    tasks.join_all().await;
}
