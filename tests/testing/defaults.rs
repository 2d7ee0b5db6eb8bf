//! Each test has its own default locker.

use std::sync::{Arc, Barrier};
use std::thread;

use dlock::testing::Locker;
use dlock::{Error, Result, locked, registry};

#[locked(key = "shared by all tests", timeout = 0)]
async fn work() -> Result<()> {
    Ok(())
}

#[locked(key = "shared by all tests", timeout = 0)]
fn sync_work() -> Result<()> {
    Ok(())
}

#[locked(key = "invoice", timeout = 0, locker = "billing")]
async fn bill() -> Result<()> {
    Ok(())
}

/// As `cargo test` runs tests: at the same time, in one process, each on a thread.
#[test]
fn tests_in_parallel_do_not_meet() {
    let all = Arc::new(Barrier::new(8));
    let tests = (0..8).map(|n| {
        let all = all.clone();
        thread::spawn(move || {
            let dlock = Locker::new();
            let _default = dlock.install_scoped();
            if n % 2 == 0 {
                dlock.busy("shared by all tests");
            }
            all.wait();
            assert_eq!(sync_work().is_err(), n % 2 == 0);
            all.wait();
        })
    });
    tests.collect::<Vec<_>>().into_iter().for_each(|test| test.join().unwrap());
    let error = sync_work().unwrap_err();
    assert!(matches!(error, Error::NotInstalled { .. }));
    // A thread of the code's own is told what to do about it.
    assert!(
        error.to_string().contains("testing::Locker::install_scoped on this thread"),
        "{error}"
    );
}

#[test]
fn it_ends_with_the_guard() {
    let (outer, inner) = (Locker::new(), Locker::new());
    let default = outer.install_scoped();
    inner.busy("shared by all tests");
    let inner_default = inner.install_scoped();
    assert!(sync_work().unwrap_err().is_timeout());
    drop(inner_default);
    sync_work().unwrap();
    drop(default);
    assert!(registry::default().is_err());
}

#[tokio::test]
async fn tasks_of_this_runtime_see_it() {
    let dlock = Locker::new();
    let _default = dlock.install_scoped();
    tokio::spawn(work()).await.unwrap().unwrap();
    tokio::task::spawn_blocking(sync_work).await.unwrap().unwrap();
    let local = tokio::task::LocalSet::new();
    local.run_until(async { tokio::task::spawn_local(work()).await }).await.unwrap().unwrap();
    assert_eq!(dlock.history().len(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_of_this_runtime_see_it() {
    let dlock = Locker::new();
    let default = dlock.install_scoped();
    for _ in 0..20 {
        let task = tokio::spawn(async {
            tokio::task::yield_now().await;
            work().await
        });
        task.await.unwrap().unwrap();
    }
    tokio::task::spawn_blocking(sync_work).await.unwrap().unwrap();
    assert_eq!(dlock.history().len(), 42);
    // It may be dropped on another thread than it was made on.
    tokio::spawn(async move { drop(default) }).await.unwrap();
    assert!(work().await.is_err());
}

#[test]
fn scopes_on_one_runtime_do_not_meet() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let tests = (0..20).map(|n| {
        runtime.spawn(async move {
            let dlock = Locker::new();
            if n % 2 == 0 {
                dlock.busy("shared by all tests");
            }
            let body = async {
                for _ in 0..10 {
                    tokio::task::yield_now().await;
                    assert_eq!(work().await.is_err(), n % 2 == 0);
                }
            };
            dlock.scope(body).await;
            assert!(registry::default().is_err());
        })
    });
    let tests: Vec<_> = tests.collect();
    tests.into_iter().for_each(|test| runtime.block_on(test).unwrap());
}

#[tokio::test]
async fn other_names_can_be_installed() {
    let dlock = Locker::new();
    assert!(matches!(bill().await.unwrap_err(), Error::NotInstalled { .. }));
    let _billing = dlock.install_scoped_as("billing");
    bill().await.unwrap();
    assert!(registry::default().is_err());
}
