//! Taking a lock again under that very lock is refused at once; elsewhere it is waited for.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use dlock::{Error, Key};
use dlock_tests::{Backend, Site, eventually, in_time, on_a_thread};
use tokio::task::JoinSet;
use tokio::time::sleep;

const SOON: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(10);

fn assert_reentrant<T>(result: dlock::Result<T>, start: Instant) {
    match result {
        Err(Error::Reentrant { key }) => assert_eq!(key, Key::from("k")),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("granted twice"),
    }
    assert!(start.elapsed() < SOON, "refused only after {:?}", start.elapsed());
}

pub(crate) async fn same_key_inside_run(site: Site) {
    let (locker, other) = (site.locker().await, site.locker().await);
    let outer = locker.lock("k");
    outer
        .run(async |_| {
            let start = Instant::now();
            assert_reentrant(locker.lock("k").acquire().await, start);
            assert_reentrant(locker.lock("k").try_acquire().await, start);
            assert_reentrant(locker.lock(b"k").run(async |_| ()).await, start);
            assert_reentrant(outer.clone().acquire_blocking(), start);
            assert_reentrant(outer.run_blocking(|_| ()), start);
            // After an await as well, and from a nested body of another key.
            sleep(Duration::from_millis(1)).await;
            let inner = async |_: &_| assert_reentrant(outer.acquire().await, Instant::now());
            locker.lock("inner").run(inner).await.unwrap();
            // Another client is another holder, and sees that the lock is held.
            assert!(other.lock("k").try_acquire().await.unwrap().is_none());
        })
        .await
        .unwrap();
    outer.try_acquire().await.unwrap().unwrap().release().await.unwrap();
}

pub(crate) async fn same_key_inside_run_blocking(site: Site) {
    on_a_thread(move || {
        let locker = site.locker_blocking();
        let outer = locker.lock("k");
        outer
            .run_blocking(|_| {
                let start = Instant::now();
                assert_reentrant(locker.lock("k").acquire_blocking(), start);
                assert_reentrant(locker.lock("k").try_acquire_blocking(), start);
                assert_reentrant(locker.lock("k").run_blocking(|_| ()), start);
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                assert_reentrant(runtime.block_on(outer.acquire()), start);
            })
            .unwrap();
        outer.try_acquire_blocking().unwrap().unwrap().release_blocking().unwrap();
    });
}

/// Bodies of two futures on one task are two holders: they wait for each other.
pub(crate) async fn siblings_wait_for_each_other(site: Site) {
    let locker = site.locker().await;
    let lock = locker.lock("k").timeout(PATIENCE);
    let inside = std::cell::Cell::new(0);
    let body = async |_: &_| {
        inside.set(inside.get() + 1);
        assert_eq!(inside.get(), 1);
        sleep(Duration::from_millis(20)).await;
        inside.set(inside.get() - 1);
    };
    let (a, b, c) = tokio::join!(lock.run(body), lock.run(body), lock.run(body));
    a.and(b).and(c).unwrap();
}

/// A task that the body spawns does not run under the body's lock.
pub(crate) async fn spawned_task_waits(site: Site) {
    let locker = site.locker().await;
    let lock = locker.lock("k").timeout(PATIENCE);
    let mut spawned = JoinSet::new();
    lock.run(async |_| {
        let lock = lock.clone();
        spawned.spawn(async move { lock.acquire().await });
        sleep(Duration::from_millis(100)).await;
        assert!(spawned.try_join_next().is_none());
    })
    .await
    .unwrap();
    let guard = in_time("its turn", PATIENCE, spawned.join_next()).await.unwrap().unwrap().unwrap();
    guard.release().await.unwrap();
}

pub(crate) async fn spawned_thread_waits(site: Site) {
    on_a_thread(move || {
        let locker = site.locker_blocking();
        let lock = locker.lock("k").timeout(PATIENCE);
        let spawned = lock
            .run_blocking(|_| {
                let lock = lock.clone();
                let spawned = std::thread::spawn(move || lock.acquire_blocking());
                std::thread::sleep(Duration::from_millis(100));
                assert!(!spawned.is_finished());
                spawned
            })
            .unwrap();
        spawned.join().unwrap().unwrap().release_blocking().unwrap();
    });
}

/// A guard taken by hand may move anywhere: a second acquire waits, and says who has the lock.
pub(crate) async fn guard_by_hand_is_waited_for(site: Site) {
    let locker = site.locker().await;
    let lock = locker.lock("k").timeout(Duration::from_millis(100));
    let guard = lock.acquire().await.unwrap();
    let error = lock.acquire().await.unwrap_err();
    assert!(error.is_timeout(), "{error}");
    let text = error.to_string();
    assert!(text.contains("held by this process"), "{text}");
    guard.release().await.unwrap();
}

/// With `reentrant` a body gets the lock that it runs under once more, and the last one gives it back.
pub(crate) async fn counts_where_it_may(site: Site) {
    let (locker, other) = (site.locker().await, site.named("other").locker().await);
    let lock = locker.lock("k").reentrant();
    let theirs = other.lock("k");
    let is_taken = async || theirs.try_acquire().await.unwrap().is_none();
    let mut kept = None;
    lock.run(async |outer| {
        let inner = lock.acquire().await.unwrap();
        assert_eq!((inner.fence(), inner.mode()), (outer.fence(), outer.mode()));
        inner.verify().await.unwrap();
        inner.release().await.unwrap();
        drop(lock.try_acquire().await.unwrap().unwrap());
        let depth = lock.run(async |_| lock.run(async |_| 3).await.unwrap()).await.unwrap();
        assert_eq!(depth, 3);
        assert_eq!(lock.run_blocking(|_| 1).unwrap(), 1);
        assert!(is_taken().await, "given back by an inner one");
        // Whoever does not say so is refused as ever.
        assert_reentrant(locker.lock("k").acquire().await, Instant::now());
        locker.lock_all(["k", "other"]).acquire().await.unwrap_err();
        kept = Some(lock.acquire().await.unwrap());
    })
    .await
    .unwrap();
    assert!(is_taken().await, "given back while a guard was left");
    kept.unwrap().release().await.unwrap();
    assert!(!is_taken().await);

    // From outside it is a lock like any other.
    let guard = lock.acquire().await.unwrap();
    let impatient = lock.clone().timeout(Duration::from_millis(50));
    assert!(impatient.acquire().await.unwrap_err().is_timeout());
    guard.release().await.unwrap();
}

pub(crate) async fn reader_does_not_become_a_writer(site: Site) {
    let locker = site.locker().await;
    let (read, write) = (locker.lock("k").reentrant().shared(), locker.lock("k").reentrant());
    read.run(async |_| {
        assert_reentrant(write.acquire().await, Instant::now());
        read.run(async |_| ()).await.unwrap();
    })
    .await
    .unwrap();
    write.run(async |_| drop(read.acquire().await.unwrap())).await.unwrap();
    write.acquire().await.unwrap().release().await.unwrap();
}

/// A lock that is lost is not the caller's any more: it is not had once more, and nothing begins
/// under it.
pub(crate) async fn under_a_lost_lock_is_lost(site: Site) {
    let locker = site.locker().await;
    let lock = locker.lock("k").reentrant();
    let ended = lock.run(async |guard| {
        lock.acquire().await.unwrap().release().await.unwrap();
        // No await after that: the body would be dropped there.
        locker.clone().close_blocking();
        assert!(guard.is_lost());
        assert!(lock.acquire_blocking().unwrap_err().is_lost());
        assert!(lock.try_acquire_blocking().unwrap_err().is_lost());
        assert!(lock.run_blocking(|_| panic!("it is lost")).unwrap_err().is_lost());
        assert!(locker.lock("k").acquire_blocking().unwrap_err().is_lost());
        let body = lock.run(async |_| panic!("it is lost"));
        let mut body = pin!(body);
        let polled = body.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(Err::<(), _>(error)) = polled else { panic!("{polled:?}") };
        assert!(error.is_lost());
        let mut body = pin!(guard.protect(async { panic!("it is lost") }));
        let polled = body.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(Err::<(), _>(error)) = polled else { panic!("{polled:?}") };
        assert!(error.is_lost());
    });
    assert!(ended.await.unwrap_err().is_lost());
}

/// What the inner one asks for is had, or refused: never ignored.
pub(crate) async fn terms_of_the_inner_one_count(site: Site) {
    const HOLD: Duration = Duration::from_secs(2);
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let again = || ours.lock("k").reentrant();
    let asked = Instant::now();
    let body = async |_: &_| again().min_hold(HOLD).run(async |_| ()).await;
    ours.lock("k").run(body).await.unwrap().unwrap();
    assert!(theirs.lock("k").try_acquire().await.unwrap().is_none());
    drop(theirs.lock("k").timeout(10 * HOLD).acquire().await.unwrap());
    assert!(asked.elapsed() >= HOLD, "only for {:?}", asked.elapsed());

    if site.backend.is_some_and(Backend::is_lease) {
        let minute = Duration::from_secs(60);
        let outer = again().ttl(minute).owner("ada").timeout(10 * HOLD);
        let body = async |_: &_| {
            for other in [again().ttl(minute / 2), again().owner("eve"), again().auto_renew(false)]
            {
                let refused = other.acquire().await;
                assert!(matches!(refused, Err(Error::Config { .. })), "{other:?}: {refused:?}");
            }
            // The same function once more.
            outer.run(async |_| again().run(async |_| ()).await).await.unwrap().unwrap();
        };
        outer.run(body).await.unwrap();
    }

    // Each is told as long as it has the lock.
    let told: [Arc<AtomicU32>; 3] = Default::default();
    let counting = |n: usize| {
        let told = Arc::clone(&told[n]);
        again().timeout(10 * HOLD).on_lost(move |_| {
            told.fetch_add(1, Ordering::SeqCst);
        })
    };
    let body = async |_: &_| {
        counting(1).run(async |_| ()).await.unwrap();
        let inner = counting(2).acquire().await.unwrap();
        ours.clone().close().await;
        // The body is dropped here.
        drop(inner.lost().await);
        sleep(PATIENCE).await;
    };
    let lost = counting(0).run(body).await;
    assert!(lost.is_err_and(|error| error.is_lost()));
    let called = |n: usize| told[n].load(Ordering::SeqCst);
    eventually("both are told", PATIENCE, || called(0) == 1 && called(2) == 1).await;
    assert_eq!(called(1), 0, "it has gone before");
}
