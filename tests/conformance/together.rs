//! Several keys, all or none.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dlock::{Error, Locker, Wait};
use dlock_tests::{Site, eventually_async, in_time, on_a_thread};
use tokio::task::JoinSet;
use tokio::time::sleep;

const PATIENCE: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_secs(5);

async fn is_free(locker: &Locker, key: &str) -> bool {
    locker.lock(key).try_acquire().await.unwrap().is_some()
}

pub(crate) async fn are_all_held_or_none(site: Site) {
    let (ours, theirs) = (site.locker().await, site.named("theirs").locker().await);
    let all = ours.lock_all(["a", "b", "c", "d"]);
    let guard = all.acquire().await.unwrap();
    assert_eq!(guard.keys().count(), 4);
    guard.verify().await.unwrap();
    for key in ["a", "b", "c", "d"] {
        assert!(theirs.lock(key).try_acquire().await.unwrap().is_none(), "{key}");
    }
    guard.release().await.unwrap();

    // Whichever of them is taken, none of the others is kept.
    for taken in ["a", "b", "c", "d"] {
        let held = theirs.lock(taken).acquire().await.unwrap();
        assert!(all.try_acquire().await.unwrap().is_none());
        for key in ["a", "b", "c", "d"].into_iter().filter(|key| *key != taken) {
            assert!(is_free(&theirs, key).await, "{key} is held after the try at {taken}");
        }
        let waiting = all.clone().timeout(Duration::from_millis(100));
        match waiting.acquire().await {
            Err(Error::Timeout { key, waited, .. }) => {
                assert_eq!(key, taken.into());
                assert!(waited >= Duration::from_millis(100), "{waited:?}");
            }
            other => panic!("{other:?}"),
        }
        for key in ["a", "b", "c", "d"].into_iter().filter(|key| *key != taken) {
            assert!(is_free(&theirs, key).await, "{key} is held after the failure at {taken}");
        }
        held.release().await.unwrap();
    }
    drop(all.acquire().await.unwrap());
    for key in ["a", "b", "c", "d"] {
        eventually_async("it is free", SOON, async || is_free(&theirs, key).await).await;
    }
}

pub(crate) async fn count_once_and_are_not_nothing(site: Site) {
    let locker = site.locker().await;
    let guard = locker.lock_all(["7", "7"]).acquire().await.unwrap();
    assert_eq!(guard.keys().count(), 1);
    drop(guard);
    let same = locker.lock_all([dlock::Key::from(7), "7".into(), b"7".into()]);
    assert_eq!(same.keys().count(), 1);
    assert_eq!(same.run(async |_| 1).await.unwrap(), 1);
    let none = locker.lock_all::<&str>([]);
    for refused in [none.acquire().await.map(drop), none.run(async |_| ()).await] {
        assert!(matches!(refused, Err(Error::Config { .. })), "{refused:?}");
    }
}

/// Everybody wants two or three of five keys, in any order, from two clients.
pub(crate) async fn in_any_order_never_wait_for_each_other(site: Site) {
    let clients = [site.locker().await, site.named("theirs").locker().await];
    let held: Arc<Mutex<HashMap<usize, usize>>> = Arc::default();
    let mut workers = JoinSet::new();
    for worker in 0..8 {
        let (locker, held) = (clients[worker % 2].clone(), Arc::clone(&held));
        workers.spawn(async move {
            for _ in 0..15 {
                let mut keys: Vec<usize> = (0..5).collect();
                fastrand::shuffle(&mut keys);
                keys.truncate(fastrand::usize(2..4));
                let names = keys.iter().map(|key| format!("key {key}"));
                let all = locker.lock_all(names).timeout(PATIENCE);
                let guard = all.acquire().await.unwrap();
                for key in &keys {
                    assert_eq!(held.lock().unwrap().insert(*key, worker), None);
                }
                sleep(Duration::from_micros(fastrand::u64(0..500))).await;
                for key in &keys {
                    assert_eq!(held.lock().unwrap().remove(key), Some(worker));
                }
                guard.release().await.unwrap();
            }
        });
    }
    in_time("all have had their turns", Duration::from_secs(50), workers.join_all()).await;
}

/// Those who want a key behind the one that is waited for have it meanwhile.
pub(crate) async fn behind_the_one_that_is_waited_for_are_free(site: Site) {
    let (ours, theirs) = (site.locker().await, site.named("theirs").locker().await);
    let all = ours.lock_all(["x", "y", "z"]).timeout(Wait::Forever);
    let keys: Vec<_> = all.keys().cloned().collect();
    let held = theirs.lock(&keys[1]).acquire().await.unwrap();
    let waiting = tokio::spawn(async move { all.acquire().await });
    eventually_async("the first is held", SOON, async || {
        theirs.lock(&keys[0]).try_acquire().await.unwrap().is_none()
    })
    .await;
    // For a moment the try has it.
    eventually_async("the last is free", SOON, async || {
        theirs.lock(&keys[2]).try_acquire().await.unwrap().is_some()
    })
    .await;
    assert!(!waiting.is_finished());
    held.release().await.unwrap();
    let guard = in_time("it is granted", PATIENCE, waiting).await.unwrap().unwrap();
    assert_eq!(guard.keys().cloned().collect::<Vec<_>>(), keys);
}

pub(crate) async fn that_are_not_wanted_any_more_are_free(site: Site) {
    let (ours, theirs) = (site.locker().await, site.named("theirs").locker().await);
    let all = ours.lock_all(["x", "y", "z"]).timeout(PATIENCE);
    let last = all.keys().last().unwrap().clone();
    let held = theirs.lock(&last).acquire().await.unwrap();
    for _ in 0..20 {
        let wait = Duration::from_micros(fastrand::u64(..5000));
        let dropped = tokio::time::timeout(wait, all.acquire()).await;
        assert!(dropped.is_err(), "{dropped:?}");
    }
    for key in all.keys().filter(|key| **key != last) {
        eventually_async("it is free", SOON, async || {
            theirs.lock(key).try_acquire().await.unwrap().is_some()
        })
        .await;
    }
    held.release().await.unwrap();
}

pub(crate) async fn are_refused_under_themselves(site: Site) {
    let locker = site.locker().await;
    let all = locker.lock_all(["a", "b"]);
    let body = async |_: &_| {
        for key in ["a", "b"] {
            let again = locker.lock(key).acquire().await;
            assert!(matches!(again, Err(Error::Reentrant { .. })), "{again:?}");
        }
        let again = locker.lock_all(["c", "b"]).acquire().await;
        assert!(matches!(again, Err(Error::Reentrant { .. })), "{again:?}");
        locker.lock("c").run(async |_| ()).await.unwrap();
    };
    all.run(body).await.unwrap();
    locker.lock("a").run(async |_| ()).await.unwrap();
}

pub(crate) async fn are_lost_together(site: Site) {
    let locker = site.locker().await;
    let guard = locker.lock_all(["a", "b"]).acquire().await.unwrap();
    let (lost, closing) = (guard.lost(), locker.clone());
    let ended = Arc::new(AtomicBool::new(false));
    let after = Arc::clone(&ended);
    let body = async move {
        closing.close().await;
        sleep(Duration::from_secs(60)).await;
        after.store(true, Ordering::Relaxed);
    };
    let cancelled = guard.protect(body).await;
    assert!(matches!(cancelled, Err(Error::Lost { .. })), "{cancelled:?}");
    assert!(!ended.load(Ordering::Relaxed) && guard.is_lost());
    in_time("the loss", SOON, lost).await;
    assert!(guard.verify().await.unwrap_err().is_lost());
    assert!(guard.release().await.unwrap_err().is_lost());
}

pub(crate) async fn are_taken_without_await_too(site: Site) {
    on_a_thread(move || {
        let (ours, theirs) = (site.locker_blocking(), site.named("theirs").locker_blocking());
        let all = ours.lock_all(["a", "b", "c"]).timeout(Duration::from_millis(100));
        assert_eq!(all.run_blocking(|guard| guard.keys().count()).unwrap(), 3);
        let guard = all.acquire_blocking().unwrap();
        assert!(theirs.lock("b").try_acquire_blocking().unwrap().is_none());
        guard.release_blocking().unwrap();
        let held = theirs.lock("b").acquire_blocking().unwrap();
        assert!(all.try_acquire_blocking().unwrap().is_none());
        let start = Instant::now();
        assert!(all.acquire_blocking().unwrap_err().is_timeout());
        assert!(start.elapsed() >= Duration::from_millis(100));
        held.release_blocking().unwrap();
        drop(all.clone().timeout(PATIENCE).acquire_blocking().unwrap());
    });
}
