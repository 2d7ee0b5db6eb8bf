//! Who comes first when readers and writers want one key.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dlock::{Locker, Wait};
use dlock_tests::{Site, Witness, eventually_async, in_time};
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};

const HOLD: Duration = Duration::from_millis(20);
/// Far more than a few holds, and far less than for ever.
const SOON: Duration = Duration::from_secs(10);

/// Tasks that take the key shared again and again; they end when they are dropped.
fn read(readers: &mut JoinSet<()>, locker: &Locker, tasks: u32) {
    for _ in 0..tasks {
        let lock = locker.lock("k").shared().timeout(Wait::Forever);
        readers.spawn(async move {
            loop {
                let guard = lock.acquire().await.unwrap();
                sleep(HOLD).await;
                guard.release().await.unwrap();
            }
        });
    }
}

pub(crate) async fn writer_is_not_starved_by_readers(site: Site) {
    let ours = site.locker().await;
    let mut readers = JoinSet::new();
    for name in ["one", "two"] {
        read(&mut readers, &site.named(name).locker().await, 3);
    }
    sleep(5 * HOLD).await;
    let writer = ours.lock("k").timeout(Wait::Forever);
    for _ in 0..10 {
        let start = Instant::now();
        let guard = in_time("the writer's turn", SOON, writer.acquire()).await.unwrap();
        println!("the writer has waited {:?}", start.elapsed());
        // Nobody reads meanwhile.
        assert!(ours.lock("k").shared().try_acquire().await.unwrap().is_none());
        guard.release().await.unwrap();
        sleep(HOLD).await;
    }
    assert!(readers.try_join_next().is_none());
}

/// However busy this process is among its own.
pub(crate) async fn readers_elsewhere_have_their_turn(site: Site) {
    let ours = site.locker().await;
    let theirs = site.named("theirs").locker().await;
    let mut busy = JoinSet::new();
    read(&mut busy, &ours, 3);
    for _ in 0..3 {
        let lock = ours.lock("k").timeout(Wait::Forever);
        busy.spawn(async move {
            loop {
                let guard = lock.acquire().await.unwrap();
                sleep(Duration::from_millis(1)).await;
                guard.release().await.unwrap();
            }
        });
    }
    sleep(5 * HOLD).await;
    for lock in [theirs.lock("k").shared(), theirs.lock("k")] {
        let lock = lock.timeout(Wait::Forever);
        for _ in 0..10 {
            let guard = in_time("the others' turn", SOON, lock.acquire()).await.unwrap();
            guard.release().await.unwrap();
        }
    }
    assert!(busy.try_join_next().is_none());
}

/// A wait is asked for anew in slices, and each time it is at the end of the line: readers who take
/// longer than their own slice must not be let in by that.
pub(crate) async fn writer_is_not_starved_by_slow_readers(site: Site) {
    const SLICE: Duration = Duration::from_millis(200);
    let ours = site.builder().slice(SLICE).connect().await.unwrap();
    let mut readers = JoinSet::new();
    for name in ["one", "two", "three"] {
        let lock = site.named(name).locker().await.lock("k").shared().timeout(Wait::Forever);
        readers.spawn(async move {
            loop {
                let guard = lock.acquire().await.unwrap();
                sleep(Duration::from_millis(fastrand::u64(500..900))).await;
                guard.release().await.unwrap();
            }
        });
    }
    sleep(3 * SLICE).await;
    let writer = ours.lock("k").timeout(Wait::Forever);
    for _ in 0..3 {
        in_time("the writer's turn", SOON, writer.acquire())
            .await
            .unwrap()
            .release()
            .await
            .unwrap();
    }
}

/// A writer's wait that takes several slices is the next one when its turn has come.
pub(crate) async fn writer_is_next_after_a_long_reader(site: Site) {
    const SLICE: Duration = Duration::from_secs(1);
    let long = site.named("long").locker().await;
    let ours = site.builder().slice(SLICE / 10).connect().await.unwrap();
    let reading = long.lock("k").shared().acquire().await.unwrap();
    let start = tokio::time::Instant::now();
    let granted = Arc::new(Mutex::new(Vec::new()));
    let mut all = JoinSet::new();
    for name in ["one", "two", "three"] {
        let lock = site.named(name).locker().await.lock("k").shared().timeout(Wait::Forever);
        let granted = Arc::clone(&granted);
        all.spawn(async move {
            loop {
                sleep(Duration::from_millis(fastrand::u64(100..300))).await;
                let guard = lock.acquire().await.unwrap();
                granted.lock().unwrap().push(("reader", Instant::now()));
                sleep(HOLD).await;
                guard.release().await.unwrap();
            }
        });
    }
    let writer = ours.lock("k").timeout(Wait::Forever);
    let writing = tokio::spawn({
        let granted = Arc::clone(&granted);
        async move {
            let guard = writer.acquire().await.unwrap();
            granted.lock().unwrap().push(("writer", Instant::now()));
            guard
        }
    });
    // In the middle of a slice.
    sleep_until(start + 3 * SLICE + SLICE / 2).await;
    assert!(!writing.is_finished());
    let left = Instant::now();
    reading.release().await.unwrap();
    let guard = in_time("the writer's turn", SOON, writing).await.unwrap();
    let granted = granted.lock().unwrap().clone();
    let next = granted.iter().find(|(_, at)| *at > left);
    assert_eq!(next.map(|(who, _)| *who), Some("writer"), "{granted:?}");
    guard.verify().await.unwrap();
    guard.release().await.unwrap();
    // The slices have left nothing behind.
    let mut witness = Witness::at(&site.url).await;
    assert_eq!(witness.locks(&site).await, 0);
    let gone = async || witness.waits(&site).await == 0;
    eventually_async("nobody waits for the writer", SOON, gone).await;
}

pub(crate) async fn two_readers_share_an_only_session(site: Site) {
    let locker = site.builder().max_sessions(1).connect().await.unwrap();
    let lock = locker.lock("k").shared();
    let one = lock.acquire().await.unwrap();
    let other = in_time("the other reader", SOON, lock.acquire()).await.unwrap();
    let theirs = site.named("theirs").locker().await;
    assert!(theirs.lock("k").try_acquire().await.unwrap().is_none());
    one.release().await.unwrap();
    assert!(theirs.lock("k").try_acquire().await.unwrap().is_none());
    other.verify().await.unwrap();
    other.release().await.unwrap();
    theirs.lock("k").try_acquire().await.unwrap().unwrap().release().await.unwrap();
    assert_eq!(Witness::at(&site.url).await.sessions(&site).await, 1);
}
