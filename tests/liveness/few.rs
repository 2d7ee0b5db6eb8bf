//! Servers that have few connections to give, and keys that are more than sessions.

use std::time::{Duration, Instant};

use dlock::Error;
use dlock_tests::{Server, Site, eventually_async, in_time, not_run};
use sqlx::{Connection as _, MySqlConnection, PgConnection};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::world::{World, can_limit};

const SOON: Duration = Duration::from_secs(15);

/// Where one connection is all that the user may have.
pub(crate) async fn one_connection_is_enough_to_connect(site: Site) {
    if !can_limit(&site) {
        return not_run("liveness", "no user's sessions can be limited here");
    }
    let mut world = World::new(&site, 1, 1, 0).await;
    world.locker.clone().close().await;
    world.limit(Some(1)).await;
    let connect = || world.site.through(world.proxy.url()).builder().max_sessions(1).connect();
    // The server may need a moment to see that the last one has gone.
    let start = Instant::now();
    let locker = loop {
        match in_time("an answer", SOON, connect()).await {
            Ok(locker) => break locker,
            Err(error) if start.elapsed() < SOON && error.is_retryable() => {
                sleep(Duration::from_millis(50)).await;
            }
            Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
        }
    };
    let guard = in_time("a lock", SOON, locker.lock("k").acquire()).await.unwrap();
    // Another one of this user has no connection left, and says so.
    let error = in_time("an answer", SOON, connect()).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert!(text.contains("no connection left") && text.contains("max_sessions"), "{text}");
    guard.release().await.unwrap();
    world.locker = locker;
    world.end().await.unwrap();
}

/// Who waits is granted what becomes free, though the server has no connection for the wait.
pub(crate) async fn full_server_does_not_keep_a_waiter_from_a_free_key(site: Site) {
    let mut world = World::new(&site, 8, 1, 0).await;
    world.limit(Some(1)).await;
    let held = world.theirs.lock("k").acquire().await.unwrap();
    let lock = world.locker.lock("k").timeout(SOON);
    let waiting = tokio::spawn(async move { lock.acquire().await });
    sleep(Duration::from_millis(500)).await;
    held.release().await.unwrap();
    let guard = in_time("the lock", SOON, waiting).await.unwrap().unwrap();
    guard.release().await.unwrap();
    world.end().await.unwrap();
}

/// Each key is granted in its turn, beside another program that queues for all of them.
pub(crate) async fn more_keys_than_sessions_are_granted_in_turn(site: Site) {
    let world = World::new(&site, 3, 1, 0).await;
    let mut crowd = JoinSet::new();
    for key in 0..6 {
        for _ in 0..3 {
            let lock = world.theirs.lock(format!("k{key}"));
            crowd.spawn(async move {
                loop {
                    let guard = lock.acquire().await.unwrap();
                    sleep(Duration::from_millis(5)).await;
                    guard.release().await.unwrap();
                }
            });
        }
    }
    sleep(Duration::from_millis(500)).await;
    let mut waiting = JoinSet::new();
    for key in 0..6 {
        let lock = world.locker.lock(format!("k{key}")).timeout(2 * SOON);
        waiting.spawn(async move { lock.acquire().await.unwrap().release().await.unwrap() });
    }
    in_time("all keys", 2 * SOON, waiting.join_all()).await;
    crowd.shutdown().await;
    world.end().await.unwrap();
}

/// The first call after a long rest, without a retry by the caller.
pub(crate) async fn first_call_after_a_long_rest_is_answered(site: Site) {
    let site = site.ttl(Duration::from_secs(2));
    let mut lockers = Vec::new();
    for _ in 0..5 {
        lockers.push(site.locker().await);
    }
    sleep(Duration::from_millis(4500)).await;
    drop(lockers[0].lock("a").try_acquire().await.unwrap().unwrap());
    drop(lockers[1].lock_all(["b", "c"]).try_acquire().await.unwrap().unwrap());
    drop(lockers[2].lock("d").permits(2).acquire().await.unwrap());
    drop(lockers[3].lock("e").timeout(Duration::ZERO).acquire().await.unwrap());
    lockers[4].status().await.unwrap();
}

/// Where waiting sessions could take all that a server has, the application gets some too; and the
/// share that a locker may take is told.
pub(crate) async fn waiters_leave_the_last_connections_to_others(site: Site) {
    let postgres = site.backend.is_some_and(dlock_tests::Backend::is_postgres);
    let settings: &[&str] = match postgres {
        true => &["max_connections=20", "superuser_reserved_connections=0"],
        false => &["max_connections=20"],
    };
    let Some(server) = Server::like(&site, settings) else { return };
    let site = Site::at(server.url());
    let holder = site.locker().await;
    let mut held = Vec::new();
    for key in 0..8 {
        held.push(holder.lock(format!("k{key}")).acquire().await.unwrap());
    }
    let report = holder.check().await.unwrap().to_string();
    assert!(report.contains("may take 8 of the server's 20 connections"), "{report}");
    let mut lockers = Vec::new();
    let mut waiting = JoinSet::new();
    for _ in 0..3 {
        let locker = site.locker().await;
        for key in 0..8 {
            let lock = locker.lock(format!("k{key}")).timeout(4 * SOON);
            waiting.spawn(async move { lock.acquire().await.unwrap().release().await.unwrap() });
        }
        lockers.push(locker);
    }
    sleep(Duration::from_secs(2)).await;
    // Who is not the one who looks after the server.
    let app = match postgres {
        true => server.url().to_owned(),
        false => server.url().replace("root@", "app:secret@").replace("/test", "/app"),
    };
    for _ in 0..10 {
        eventually_async("two connections for the application", SOON / 3, async || {
            let both = match postgres {
                true => {
                    let (one, other) =
                        (PgConnection::connect(&app).await, PgConnection::connect(&app).await);
                    one.is_ok() && other.is_ok()
                }
                false => {
                    let (one, other) = (
                        MySqlConnection::connect(&app).await,
                        MySqlConnection::connect(&app).await,
                    );
                    one.is_ok() && other.is_ok()
                }
            };
            sleep(Duration::from_millis(100)).await;
            both
        })
        .await;
    }
    for guard in held {
        guard.release().await.unwrap();
    }
    // Nobody has waited in vain.
    in_time("all that was waited for", 3 * SOON, waiting.join_all()).await;
}
