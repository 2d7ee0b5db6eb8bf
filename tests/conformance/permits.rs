//! Semaphores: so many at once, in all processes together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

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
                // All of them are had at once, however slow the machine is.
                let begun = Instant::now();
                while most.load(Ordering::SeqCst) < 3 && begun.elapsed() < SOON {
                    sleep(Duration::from_millis(1)).await;
                }
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

/// Two others work with at most two of three: the third one is free at every moment.
pub(crate) async fn free_one_is_found_by_every_try(site: Site) {
    let clients = [site.locker().await, site.named("theirs").locker().await];
    let mut workers = JoinSet::new();
    for client in &clients {
        let lock = client.lock("k").permits(3).timeout(PATIENCE);
        workers.spawn(async move {
            loop {
                let guard = lock.acquire().await.unwrap();
                sleep(Duration::from_micros(fastrand::u64(..2000))).await;
                guard.release().await.unwrap();
            }
        });
    }
    let tries = clients.map(|client| client.lock("k").permits(3));
    for n in 0..100 {
        let free = tries[n % 2].try_acquire().await.unwrap();
        free.unwrap_or_else(|| panic!("try {n} was refused")).release().await.unwrap();
    }
    workers.abort_all();
}

/// Nobody but who holds a permit keeps it for its time: not the one who found it, or stood in line.
pub(crate) async fn are_granted_at_once_though_each_is_kept(site: Site) {
    let (ours, theirs) = (site.locker().await, site.named("theirs").locker().await);
    let kept = Duration::from_secs(20);
    let asked = Instant::now();
    let mut all = JoinSet::new();
    for n in 0..4 {
        let locker = if n % 2 == 0 { &ours } else { &theirs };
        let lock = locker.lock("k").permits(4).min_hold(kept).timeout(PATIENCE);
        all.spawn(async move { lock.acquire().await.unwrap() });
    }
    let held = all.join_all().await;
    assert!(asked.elapsed() < kept / 2, "it took {:?}", asked.elapsed());
    assert!(ours.lock("k").permits(4).try_acquire().await.unwrap().is_none());
    drop(held);
    assert!(theirs.lock("k").permits(4).try_acquire().await.unwrap().is_none());
}

/// The caller had one lock, whatever it consists of: the queue and other permits are not its loss.
pub(crate) async fn that_are_lost_are_told_of_once(site: Site) {
    let (ours, theirs) = (site.locker().await, site.named("theirs").locker().await);
    let told = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&told);
    let lock = ours.lock("k").permits(2).timeout(PATIENCE);
    let lock = lock.on_lost(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let held = lock.acquire().await.unwrap();
    let other = theirs.lock("k").permits(2).timeout(PATIENCE).acquire().await.unwrap();
    // First in line, with no permit.
    let waiting = tokio::spawn(async move { lock.acquire().await.map(drop) });
    sleep(Duration::from_millis(300)).await;
    ours.close().await;
    assert!(waiting.await.unwrap().is_err());
    assert!(held.is_lost());
    eventually_async("the loss is told", SOON, async || told.load(Ordering::SeqCst) > 0).await;
    sleep(Duration::from_millis(100)).await;
    assert_eq!(told.load(Ordering::SeqCst), 1);
    drop(other);
}

/// Under a permit its key is not to be had in any other way: that would depend on which it is.
pub(crate) async fn exclude_the_plain_lock_inside(site: Site) {
    let locker = site.locker().await;
    let (plain, permits) = (locker.lock("k"), locker.lock("k").permits(3));
    for _ in 0..10 {
        let body = async |guard: &dlock::Guard| {
            assert_eq!(guard.fence(), None);
            for inner in [plain.clone(), plain.clone().reentrant(), locker.lock("k").permits(2)] {
                let again = inner.try_acquire().await;
                assert!(matches!(again, Err(Error::Reentrant { .. })), "{inner:?}: {again:?}");
            }
            locker.lock("k").permits(2).reentrant().run(async |_| ()).await.unwrap();
        };
        permits.run(body).await.unwrap();
    }
    // Who holds it alone may have a permit of it.
    plain
        .run(async |_| permits.clone().reentrant().run(async |_| ()).await)
        .await
        .unwrap()
        .unwrap();
}
