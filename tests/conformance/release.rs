//! However a guard goes, its lock is free.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use dlock::Locker;
use dlock_tests::{Site, eventually_async, on_a_thread};

/// Somebody else can have the lock, soon.
async fn assert_free(locker: &Locker, key: &str) {
    eventually_async("the lock is free", Duration::from_secs(2), async || {
        match locker.lock(key).try_acquire().await.unwrap() {
            Some(guard) => guard.release().await.is_ok(),
            None => false,
        }
    })
    .await;
}

fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// A release that was begun and dropped is one release, and not a second one later on.
pub(crate) async fn double_release_is_harmless(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    for round in 0..50 {
        let guard = ours.lock("k").acquire().await.unwrap();
        if round % 2 == 0 {
            drop(guard.release());
        } else {
            let _ = poll_once(guard.release());
        }
        let held = theirs.lock("k").acquire().await.unwrap();
        assert!(ours.lock("k").try_acquire().await.unwrap().is_none());
        held.verify().await.unwrap();
        held.release().await.unwrap();
    }
}

pub(crate) async fn error_of_the_body_comes_out_unchanged(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    #[derive(Debug, PartialEq)]
    struct Mine(u32);
    let result = ours.lock("k").run(async |_| Err::<(), Mine>(Mine(7))).await;
    assert_eq!(result.unwrap(), Err(Mine(7)));
    // The answer of `run` says that the lock is free, not that it soon will be.
    theirs.lock("k").try_acquire().await.unwrap().unwrap().release().await.unwrap();
    let result = on_a_thread(move || ours.lock("k").run_blocking(|_| Err::<(), Mine>(Mine(8))));
    assert_eq!(result.unwrap(), Err(Mine(8)));
    theirs.lock("k").try_acquire().await.unwrap().unwrap().release().await.unwrap();
}

pub(crate) async fn panic_passes_on(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let lock = ours.lock("k");
    let body = async move { lock.run(async |_| panic!("of the async body")).await.unwrap() };
    let panic = tokio::spawn(body).await.unwrap_err().into_panic();
    assert_eq!(panic.downcast_ref(), Some(&"of the async body"));
    assert_free(&theirs, "k").await;

    let lock = ours.lock("k");
    let body = move || lock.run_blocking(|_| panic!("of the sync body")).unwrap();
    let panic = std::thread::spawn(body).join().unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"of the sync body"));
    assert_free(&theirs, "k").await;
}

/// Nobody uses the locker again, and there is no other traffic that the release could ride on.
pub(crate) async fn dropped_guard_frees_without_further_use(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let guard = ours.lock("k").acquire().await.unwrap();
    drop(guard);
    assert_free(&theirs, "k").await;
    // The guard alone keeps the engine alive, until it has let go.
    let guard = ours.lock("k").acquire().await.unwrap();
    drop(ours);
    assert!(theirs.lock("k").try_acquire().await.unwrap().is_none());
    guard.verify().await.unwrap();
    drop(guard);
    assert_free(&theirs, "k").await;
}

pub(crate) async fn dropped_run_frees(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let lock = ours.lock("k");
    let running = lock.run(async |_| std::future::pending::<()>().await);
    let cut = tokio::time::timeout(Duration::from_millis(100), running).await;
    assert!(cut.is_err());
    assert_free(&theirs, "k").await;
}

pub(crate) async fn guard_dropped_on_a_current_thread_runtime(site: Site) {
    let theirs = site.locker().await;
    let locker = on_a_thread({
        let site = site.clone();
        move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let locker = site.locker().await;
                drop(locker.lock("k").acquire().await.unwrap());
                locker
            })
        }
    });
    assert_free(&theirs, "k").await;
    drop(locker);
}

pub(crate) async fn guard_dropped_after_its_runtime_is_gone(site: Site) {
    let theirs = site.locker().await;
    let locker = on_a_thread({
        let site = site.clone();
        move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            let locker = runtime.block_on(site.locker());
            let guard = runtime.block_on(locker.lock("k").acquire()).unwrap();
            drop(runtime);
            drop(guard);
            locker
        }
    });
    assert_free(&theirs, "k").await;
    drop(locker);
}

pub(crate) async fn guard_dropped_on_a_plain_thread(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let guard = ours.lock("k").acquire().await.unwrap();
    on_a_thread(move || drop(guard));
    assert_free(&theirs, "k").await;
}

/// The locker's own engine on a runtime that ends: what it held is free, and its guards know.
pub(crate) async fn guard_outlives_the_engines_runtime(site: Site) {
    let theirs = site.locker().await;
    let guard = on_a_thread({
        let site = site.clone();
        move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            let handle = runtime.handle().clone();
            runtime.block_on(async {
                let locker = site.builder().runtime(handle).connect().await.unwrap();
                locker.lock("k").acquire().await.unwrap()
            })
        }
    });
    assert!(guard.is_lost());
    assert!(guard.release().await.unwrap_err().is_lost());
    assert_free(&theirs, "k").await;
}

pub(crate) async fn leaked_guard_holds_until_the_end(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    ours.lock("k").acquire().await.unwrap().leak();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(theirs.lock("k").try_acquire().await.unwrap().is_none());
    assert!(ours.lock("k").try_acquire().await.unwrap().is_none());
    ours.close().await;
    assert_free(&theirs, "k").await;
}
