//! Migrations: `CREATE INDEX CONCURRENTLY` waits for every statement that has a snapshot, also for one
//! that waits for a lock.

use std::time::{Duration, Instant};

use dlock::{Key, NativeKey, on};
use dlock_tests::{Site, Witness, eventually_async, in_time};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::task::JoinSet;

const SOON: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(200);
/// How long instances wait for the lock of the migration.
const PATIENCE: Duration = Duration::from_secs(60);
/// What the others may cost the migration.
const COST: Duration = Duration::from_secs(1);
const BUILD: &str = "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t (n)";
const VALID: &str = "SELECT count(*) FROM pg_index WHERE indexrelid = to_regclass('i') AND indisvalid \
    AND $1 IS NOT NULL";

/// A database of the test's own with a table: an index waits for all statements of its database, also
/// for those of other tests.
async fn database(site: &Site) -> Site {
    let name = site.name.replace('-', "_");
    let mut witness = Witness::at(&site.url).await;
    witness.run(&format!("CREATE DATABASE {name}")).await;
    let (server, _) = site.url.rsplit_once('/').unwrap();
    let site = site.through(&format!("{server}/{name}"));
    run(&mut connect(&site).await, "CREATE TABLE t AS SELECT n FROM generate_series(1, 1000) n")
        .await
        .unwrap();
    site
}

async fn connect(site: &Site) -> PgConnection {
    PgConnection::connect(&site.url).await.unwrap()
}

async fn run(conn: &mut PgConnection, sql: &str) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(conn).await.map(drop)
}

/// Four instances start at the same time: one builds the index, and the others that wait for it do not
/// hold it up.
pub(crate) async fn index_is_built_beside_those_who_wait(site: Site) {
    let site = database(&site).await;
    let mut conn = connect(&site).await;
    // A busy machine may take its time once, but not each time.
    for round in 1.. {
        run(&mut conn, "DROP INDEX IF EXISTS i").await.unwrap();
        let start = Instant::now();
        run(&mut conn, BUILD).await.unwrap();
        let alone = start.elapsed();
        run(&mut conn, "DROP INDEX i").await.unwrap();

        let (told, mut built) = tokio::sync::mpsc::unbounded_channel();
        let mut instances = JoinSet::new();
        for n in 0..4 {
            let (site, told) = (site.named(&n.to_string()), told.clone());
            instances.spawn(async move {
                let locker = site.builder().retry_every(PAUSE).connect().await.unwrap();
                let lock = locker.lock("migrate").timeout(PATIENCE);
                let body = async |_: &_| {
                    let mut conn = connect(&site).await;
                    // The others wait by then.
                    tokio::time::sleep(2 * PAUSE).await;
                    let start = Instant::now();
                    run(&mut conn, BUILD).await.unwrap();
                    told.send(start.elapsed()).unwrap();
                };
                lock.run(body).await.unwrap();
            });
        }
        let beside = in_time("the index", PATIENCE / 2, built.recv()).await.unwrap();
        in_time("all instances", PATIENCE, async {
            while let Some(done) = instances.join_next().await {
                done.unwrap();
            }
        })
        .await;
        assert_eq!(Witness::at(&site.url).await.number(VALID, &site).await, 1);
        println!("alone {alone:?}, beside three who wait {beside:?}");
        if beside < alone + COST {
            return;
        }
        assert!(round < 5, "alone {alone:?}, beside three who wait {beside:?}");
    }
}

/// Where the lock is on the connection that builds, a waiting statement makes a deadlock of it.
pub(crate) async fn connections_that_build_under_one_lock_make_no_deadlock(site: Site) {
    let site = database(&site).await;
    let mut instances = JoinSet::new();
    for _ in 0..4 {
        let mut conn = connect(&site).await;
        instances.spawn(async move {
            let lock = on(&mut conn).lock("migrate").timeout(PATIENCE).retry_every(PAUSE);
            let built = lock.run(async |conn| {
                tokio::time::sleep(2 * PAUSE).await;
                run(conn, BUILD).await
            });
            built.await.unwrap();
        });
    }
    in_time("all instances", PATIENCE, instances.join_all()).await;
    assert_eq!(Witness::at(&site.url).await.number(VALID, &site).await, 1);
}

/// Such a wait says after its time who is in the way, as others do.
pub(crate) async fn connection_that_tries_has_its_time(site: Site) {
    let (mut one, mut other) = (connect(&site).await, connect(&site).await);
    let mut held = on(&mut one).lock(&site.namespace);
    held.acquire().await.unwrap();
    let start = Instant::now();
    let time = Duration::from_millis(500);
    let mut waiting = on(&mut other).lock(&site.namespace).timeout(time).retry_every(PAUSE);
    let error = waiting.acquire().await.unwrap_err();
    assert!(start.elapsed() >= time);
    assert!(error.is_timeout(), "{error}");
    assert!(error.to_string().contains("pid "), "{error}");
    assert!(!waiting.is_held());
    drop(waiting);

    // The last try is made when the time is up.
    let mut waiting = on(&mut other).lock(&site.namespace).timeout(SOON / 2).retry_every(PATIENCE);
    let (got, freed) = tokio::join!(in_time("the last try", SOON, waiting.acquire()), async {
        tokio::time::sleep(PAUSE).await;
        held.release().await
    });
    got.unwrap();
    assert!(freed.unwrap());
    assert!(waiting.release().await.unwrap());
    let zero = on(&mut one).lock("k").retry_every(Duration::ZERO).acquire().await.unwrap_err();
    assert!(zero.to_string().contains("retry_every"), "{zero}");
}

/// Without `retry_every`: when the server sees a circle of the statement that waits for the lock and an
/// index whose builder has it, and ends the former, that goes on by tries.
pub(crate) async fn victim_of_a_deadlock_goes_on(site: Site) {
    let site = database(&site).await;
    let locker = site.locker().await;
    let NativeKey::Id(id) = locker.explain("k").native else { panic!("no id") };
    let mut witness = Witness::at(&site.url).await;
    let mut builder = connect(&site).await;
    for round in 1.. {
        run(&mut builder, &format!("DROP INDEX IF EXISTS i; SELECT pg_advisory_lock({id})"))
            .await
            .unwrap();
        let lock = locker.lock(Key::from("k")).timeout(PATIENCE);
        let waiting = tokio::spawn(async move { lock.acquire().await });
        eventually_async("it waits", SOON, async || witness.waits(&site).await == 1).await;
        // The server looks for a circle when a statement has waited for a second (`deadlock_timeout`):
        // that which began first looks first, and is the one to go.
        let built = in_time("the index", PATIENCE / 2, run(&mut builder, BUILD)).await;
        if built.is_ok() {
            assert_eq!(witness.waits(&site).await, 0);
            // It tries, and it was not told.
            assert!(!waiting.is_finished());
            run(&mut builder, &format!("SELECT pg_advisory_unlock({id})")).await.unwrap();
            let guard = in_time("the grant", SOON, waiting).await.unwrap().unwrap();
            assert_eq!(witness.locks(&site).await, 1);
            guard.release().await.unwrap();
            return;
        }
        // On a busy machine the other one may be first.
        assert!(round < 5, "{built:?}");
        waiting.abort();
        run(&mut builder, "SELECT pg_advisory_unlock_all()").await.unwrap();
    }
}
