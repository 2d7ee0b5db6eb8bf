//! The blocking calls, from wherever sync code may run.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use dlock::Locker;
use dlock_tests::{Site, on_a_thread};
use tokio::runtime::{Builder, Runtime};
use tokio::task::LocalSet;

/// Every blocking call there is: alone, against another client, and with a wait that is granted
/// and one that is not.
fn use_all(site: &Site) {
    let (ours, theirs) = (site.locker_blocking(), site.locker_blocking());
    use_locks(&ours, &theirs);
    ours.close_blocking();
    theirs.close_blocking();
}

fn use_locks(ours: &Locker, theirs: &Locker) {
    let lock = ours.lock("k").timeout(Duration::from_secs(10));
    let guard = lock.acquire_blocking().unwrap();
    assert!(theirs.lock("k").try_acquire_blocking().unwrap().is_none());
    let impatient = theirs.lock("k").timeout(Duration::from_millis(50));
    assert!(impatient.acquire_blocking().unwrap_err().is_timeout());
    guard.release_blocking().unwrap();

    let held = theirs.lock("k").try_acquire_blocking().unwrap().unwrap();
    let releasing = thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        held.release_blocking().unwrap();
    });
    assert!(!lock.run_blocking(|guard| guard.is_lost()).unwrap());
    releasing.join().unwrap();
    drop(lock.acquire_blocking().unwrap());
    theirs.lock("k").timeout(Duration::from_secs(10)).run_blocking(|_| ()).unwrap();
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

pub(crate) async fn on_a_plain_thread(site: Site) {
    on_a_thread(move || use_all(&site));
}

pub(crate) async fn on_a_worker_of_a_runtime(site: Site) {
    tokio::spawn(async move { use_all(&site) }).await.unwrap();
}

pub(crate) async fn in_a_current_thread_runtime(site: Site) {
    on_a_thread(move || {
        let runtime = current_thread();
        runtime.block_on(async {
            use_all(&site);
            tokio::spawn(async move { use_all(&site) }).await.unwrap();
        });
    });
}

pub(crate) async fn in_a_local_set(site: Site) {
    on_a_thread(move || {
        let runtime = current_thread();
        LocalSet::new().block_on(&runtime, async {
            tokio::task::spawn_local(async move { use_all(&site) }).await.unwrap();
        });
    });
}

pub(crate) async fn in_spawn_blocking(site: Site) {
    tokio::task::spawn_blocking(move || use_all(&site)).await.unwrap();
}

/// A task that has used its budget up: tokio's own channels would answer "later" to it for ever.
pub(crate) async fn in_a_task_without_budget(site: Site) {
    tokio::spawn(async move {
        while tokio::task::coop::has_budget_remaining() {
            tokio::task::coop::consume_budget().await;
        }
        use_all(&site);
    })
    .await
    .unwrap();
}

pub(crate) async fn while_unwinding(site: Site) {
    struct OnDrop<'a>(&'a Site);
    impl Drop for OnDrop<'_> {
        fn drop(&mut self) {
            assert!(thread::panicking());
            use_all(self.0);
        }
    }
    let unwind = move || {
        let panic = catch_unwind(AssertUnwindSafe(|| {
            let _drop = OnDrop(&site);
            panic!("on purpose");
        }));
        assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"on purpose"));
    };
    let inside = unwind.clone();
    on_a_thread(unwind);
    tokio::spawn(async move { inside() }).await.unwrap();
}

/// The one place where a blocking call cannot work says so instead of hanging.
pub(crate) async fn inside_the_engines_own_thread(site: Site) {
    on_a_thread(move || {
        let runtime = current_thread();
        let handle = runtime.handle().clone();
        runtime.block_on(async {
            let builder = site.builder().runtime(handle.clone());
            assert_config(builder.connect_blocking().map(drop));
            let locker = site.builder().runtime(handle).connect().await.unwrap();
            assert_config(locker.lock("k").acquire_blocking().map(drop));
            assert_config(locker.lock("k").try_acquire_blocking().map(drop));
            assert_config(locker.lock("k").run_blocking(|_| ()));
            let guard = locker.lock("k").acquire().await.unwrap();
            assert_config(guard.release_blocking());
            // The release itself was begun all the same.
            let guard = locker.lock("k").acquire().await.unwrap();
            guard.release().await.unwrap();
            locker.close_blocking();
        });
    });
}

fn assert_config(result: dlock::Result<()>) {
    assert!(matches!(result, Err(dlock::Error::Config { .. })), "{result:?}");
}

/// The engine is a task among those that block: none of them keeps it from running.
pub(crate) async fn on_workers_of_the_engines_runtime(site: Site) {
    on_a_thread(move || {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (ours, theirs) = runtime.block_on(async {
            let handle = tokio::runtime::Handle::current();
            let builder = site.builder().runtime(handle);
            (builder.connect().await.unwrap(), site.locker().await)
        });
        // Several times, for it depends on which worker runs the engine at the moment.
        for _ in 0..20 {
            let (ours, theirs) = (ours.clone(), theirs.clone());
            runtime.block_on(async {
                tokio::spawn(async move { use_locks(&ours, &theirs) }).await.unwrap();
            });
        }
    });
}
