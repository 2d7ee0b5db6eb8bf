//! Semaphores: so many at once, in all processes together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dlock::{Error, Lock, Wait};
use dlock_tests::{Site, eventually_async, in_time, on_a_thread};
use tokio::task::JoinSet;
use tokio::time::sleep;

const PATIENCE: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_secs(5);

pub(crate) async fn as_many_as_they_are_hold_at_once(site: Site) {
    let (ours, theirs) = (site.locker().await, site.named("theirs").locker().await);
    let [ours, theirs] = [ours.lock("k").permits(3), theirs.lock("k").permits(3)];
    let mut held = vec![
        ours.acquire().await.unwrap(),
        theirs.acquire().await.unwrap(),
        ours.try_acquire().await.unwrap().unwrap(),
    ];
    assert!(held.iter().all(|guard| *guard.key() == "k".into()));
    for lock in [&ours, &theirs] {
        assert!(lock.try_acquire().await.unwrap().is_none());
        let late = lock.clone().timeout(Duration::from_millis(100)).acquire().await.unwrap_err();
        let Error::Timeout { key, waited, .. } = late else { panic!("{late}") };
        assert_eq!(key, "k".into());
        assert!(waited >= Duration::from_millis(100), "{waited:?}");
    }
    // Whichever goes, another one may come.
    for n in 0..3 {
        held.swap_remove(n % held.len()).release().await.unwrap();
        let waiting = theirs.clone().timeout(PATIENCE);
        held.push(waiting.acquire().await.unwrap());
        assert!(ours.try_acquire().await.unwrap().is_none());
    }
    drop(held);
}

pub(crate) async fn never_exceed_their_number(site: Site) {
    let clients = [site.locker().await, site.named("theirs").locker().await];
    let inside = Arc::new(AtomicU32::new(0));
    let most = Arc::new(AtomicU32::new(0));
    let mut workers = JoinSet::new();
    for worker in 0..10 {
        let lock = clients[worker % 2].lock("k").permits(3).timeout(PATIENCE);
        let (inside, most) = (Arc::clone(&inside), Arc::clone(&most));
        workers.spawn(async move {
            for _ in 0..6 {
                let guard = lock.acquire().await.unwrap();
                most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                sleep(Duration::from_millis(5)).await;
                inside.fetch_sub(1, Ordering::SeqCst);
                guard.release().await.unwrap();
            }
        });
    }
    in_time("all have had their turns", Duration::from_secs(50), workers.join_all()).await;
    assert_eq!(most.load(Ordering::SeqCst), 3);
}

/// Who has gone from the line leaves neither a permit nor the gate behind.
pub(crate) async fn that_nobody_waits_for_any_more_are_free(site: Site) {
    let (ours, theirs) = (site.locker().await, site.named("theirs").locker().await);
    let [ours, theirs] = [ours.lock("k").permits(2), theirs.lock("k").permits(2)];
    let held = [ours.acquire().await.unwrap(), ours.acquire().await.unwrap()];
    let patient = theirs.clone().timeout(Wait::Forever);
    for _ in 0..10 {
        let wait = Duration::from_millis(fastrand::u64(..30));
        let dropped = tokio::time::timeout(wait, patient.acquire()).await;
        assert!(dropped.is_err(), "{dropped:?}");
    }
    drop(held);
    let both = async |lock: &Lock| {
        let one = lock.try_acquire().await.unwrap();
        let other = lock.try_acquire().await.unwrap();
        one.is_some() && other.is_some()
    };
    eventually_async("both are free", SOON, async || both(&ours).await).await;
    eventually_async("both are free", SOON, async || both(&theirs).await).await;
}

pub(crate) async fn of_one_are_the_plain_lock(site: Site) {
    let (ours, theirs) = (site.locker().await, site.named("theirs").locker().await);
    let guard = ours.lock("k").permits(1).acquire().await.unwrap();
    assert!(theirs.lock("k").try_acquire().await.unwrap().is_none());
    guard.release().await.unwrap();
    let guard = theirs.lock("k").acquire().await.unwrap();
    assert!(ours.lock("k").permits(1).try_acquire().await.unwrap().is_none());
    guard.release().await.unwrap();
}

pub(crate) async fn that_cannot_be_are_refused(site: Site) {
    let locker = site.locker().await;
    let lock = || locker.lock("k");
    for nonsense in [
        lock().permits(0),
        lock().permits(1_000_000),
        lock().permits(2).shared(),
        lock().permits(2).fenced(),
        lock().permits(1).shared(),
    ] {
        let refused = nonsense.acquire().await;
        assert!(matches!(refused, Err(Error::Config { .. })), "{nonsense:?}: {refused:?}");
    }
}

pub(crate) async fn are_refused_under_themselves(site: Site) {
    let locker = site.locker().await;
    let lock = locker.lock("k").permits(2);
    lock.run(async |_| {
        let again = lock.acquire().await;
        assert!(matches!(again, Err(Error::Reentrant { .. })), "{again:?}");
        lock.clone().reentrant().run(async |_| ()).await.unwrap();
    })
    .await
    .unwrap();
    on_a_thread(move || lock.run_blocking(|guard| guard.key().clone()).unwrap());
}
