//! Readers and writers, side by side and one after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use dlock::{Error, Guard, Lock, Mode, Wait};
use dlock_tests::{Site, in_time};
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::modes::{is_free, readers};

const PATIENCE: Duration = Duration::from_secs(10);
/// So long nobody is kept out by a stream of others.
const TURN: Duration = Duration::from_secs(20);

/// Whoever works under the lock marks it: a reader as one more, a writer as far too many.
async fn work(at_work: &AtomicI64, mode: Mode) {
    const WRITER: i64 = -1_000_000;
    let mark = if mode == Mode::Shared { 1 } else { WRITER };
    let before = at_work.fetch_add(mark, Ordering::SeqCst);
    let right = if mode == Mode::Shared { before >= 0 } else { before == 0 };
    assert!(right, "{mode}, and {before} at it already");
    sleep(Duration::from_micros(fastrand::u64(..500))).await;
    at_work.fetch_sub(mark, Ordering::SeqCst);
}

pub(crate) async fn and_writers_are_never_at_it_together(site: Site) {
    if readers(&site).await.is_none() {
        return;
    }
    for most in [8, 2] {
        let at_work = Arc::new(AtomicI64::new(0));
        let mut workers = JoinSet::new();
        for _ in 0..2 {
            let locker = site.builder().max_sessions(most).connect().await.unwrap();
            for _ in 0..6 {
                let (locker, at_work) = (locker.clone(), Arc::clone(&at_work));
                workers.spawn(async move {
                    for _ in 0..30 {
                        let writes = fastrand::u8(..4) == 0;
                        let mode = if writes { Mode::Exclusive } else { Mode::Shared };
                        let lock = locker.lock("k").mode(mode).timeout(TURN);
                        let guard = lock.acquire().await.unwrap();
                        work(&at_work, mode).await;
                        guard.release().await.unwrap();
                    }
                });
            }
        }
        workers.join_all().await;
    }
}

/// Callers who take turns at this lock so that it is never free, until told otherwise.
fn stream(lock: &Lock, overlap: u32, over: &Arc<AtomicBool>, tasks: &mut JoinSet<()>) {
    for n in 0..overlap {
        let (lock, over) = (lock.clone().timeout(TURN), Arc::clone(over));
        tasks.spawn(async move {
            sleep(Duration::from_millis(u64::from(n))).await;
            while !over.load(Ordering::SeqCst) {
                let guard = lock.acquire().await.unwrap();
                sleep(Duration::from_millis(u64::from(overlap))).await;
                drop(guard);
            }
        });
    }
}

pub(crate) async fn writer_has_its_turn_among_readers(site: Site) {
    let Some((ours, theirs)) = readers(&site).await else { return };
    for (reading, writer) in
        [(vec![&ours], &ours), (vec![&ours], &theirs), (vec![&ours, &theirs], &ours)]
    {
        let (over, mut tasks) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
        for locker in &reading {
            stream(&locker.lock("k").shared(), 8, &over, &mut tasks);
        }
        sleep(Duration::from_millis(50)).await;
        // They do overlap nearly all the time; a busy machine may part them for a moment.
        let mut busy = 0;
        for _ in 0..20 {
            busy += u32::from(!is_free(writer.lock("k")).await);
        }
        assert!(busy >= 10, "only {busy} of 20 tries came to a lock that was held");
        for _ in 0..3 {
            let lock = writer.lock("k").timeout(TURN);
            let guard = in_time("the writer's turn", TURN, lock.acquire()).await.unwrap();
            guard.release().await.unwrap();
        }
        over.store(true, Ordering::SeqCst);
        tasks.join_all().await;
    }
}

pub(crate) async fn reader_has_its_turn_among_others(site: Site) {
    let Some((ours, theirs)) = readers(&site).await else { return };
    let streams = [vec![Mode::Exclusive], vec![Mode::Shared], vec![Mode::Exclusive, Mode::Shared]];
    for modes in streams {
        let (over, mut tasks) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
        for mode in modes {
            stream(&ours.lock("k").mode(mode), 4, &over, &mut tasks);
        }
        sleep(Duration::from_millis(50)).await;
        for _ in 0..3 {
            let lock = theirs.lock("k").shared().timeout(TURN);
            let guard = in_time("the reader's turn", TURN, lock.acquire()).await.unwrap();
            guard.release().await.unwrap();
        }
        over.store(true, Ordering::SeqCst);
        tasks.join_all().await;
    }
}

pub(crate) async fn fifty_readers_hold_at_once(site: Site) {
    let Some((ours, theirs)) = readers(&site).await else { return };
    let all = Arc::new(Barrier::new(50));
    let mut tasks = JoinSet::new();
    for _ in 0..50 {
        let (lock, all) = (ours.lock("k").shared().timeout(PATIENCE), Arc::clone(&all));
        tasks.spawn(async move {
            let guard = lock.acquire().await.unwrap();
            all.wait().await;
            guard.verify().await.unwrap();
            guard.release().await.unwrap();
        });
    }
    in_time("all fifty at once", PATIENCE, tasks.join_all()).await;
    assert!(is_free(theirs.lock("k")).await);
}

pub(crate) async fn release_of_one_reader_leaves_the_others(site: Site) {
    let Some((ours, theirs)) = readers(&site).await else { return };
    let mut guards: Vec<Guard> = Vec::new();
    for n in 0..10 {
        // Some join at once, some are asked for.
        sleep(Duration::from_millis(n % 3 * 4)).await;
        guards.push(ours.lock("k").shared().acquire().await.unwrap());
    }
    fastrand::shuffle(&mut guards);
    while let Some(guard) = guards.pop() {
        assert!(!is_free(theirs.lock("k")).await);
        guard.release().await.unwrap();
        for other in &guards {
            other.verify().await.unwrap();
        }
    }
    assert!(is_free(theirs.lock("k")).await);
}

pub(crate) async fn same_key_inside_run_of_a_reader(site: Site) {
    let Some((ours, theirs)) = readers(&site).await else { return };
    let reader = ours.lock("k").shared();
    let body = async |_: &Guard| {
        for lock in [&reader, &ours.lock("k")] {
            for result in [lock.acquire().await.map(drop), lock.try_acquire().await.map(drop)] {
                assert!(matches!(result, Err(Error::Reentrant { .. })), "{result:?}");
            }
        }
        assert!(is_free(theirs.lock("k").shared()).await);
    };
    reader.run(body).await.unwrap();
    assert!(is_free(ours.lock("k")).await);
}

pub(crate) async fn dropped_reader_frees_for_a_writer(site: Site) {
    let Some((ours, theirs)) = readers(&site).await else { return };
    for locker in [&ours, &theirs] {
        let guards = [ours.lock("k").shared(), ours.lock("k").shared()];
        let guards = [guards[0].acquire().await.unwrap(), guards[1].acquire().await.unwrap()];
        let lock = locker.lock("k").timeout(PATIENCE);
        let waiting = tokio::spawn(async move { lock.acquire().await });
        sleep(Duration::from_millis(30)).await;
        assert!(!waiting.is_finished());
        drop(guards);
        let guard = in_time("the lock", PATIENCE, waiting).await.unwrap().unwrap();
        guard.release().await.unwrap();
    }
}

pub(crate) async fn cancelled_at_random_moments(site: Site) {
    let Some((ours, theirs)) = readers(&site).await else { return };
    let mut hasty = JoinSet::new();
    for n in 0..10 {
        let locker = [&ours, &theirs][n % 2].clone();
        hasty.spawn(async move {
            for _ in 0..50 {
                let mode = [Mode::Shared, Mode::Exclusive][usize::from(fastrand::u8(..3) == 0)];
                let lock = locker.lock(fastrand::u32(..2)).mode(mode).timeout(PATIENCE);
                let patience = Duration::from_micros(fastrand::u64(..4000));
                if let Ok(guard) = timeout(patience, lock.acquire()).await {
                    let _guard = guard.unwrap();
                    sleep(Duration::from_micros(fastrand::u64(..2000))).await;
                }
            }
        });
    }
    hasty.join_all().await;
    let other = site.locker().await;
    for key in 0..2_u32 {
        let guard = other.lock(key).timeout(PATIENCE).acquire().await.unwrap();
        guard.release().await.unwrap();
    }
}

/// The writer waits for a reader of this process, and the next reader for the writer.
pub(crate) async fn one_behind_a_writer_of_its_process_is_told_so(site: Site) {
    let locker = site.locker().await;
    let held = locker.lock("k").shared().acquire().await.unwrap();
    let writer = locker.lock("k").timeout(Wait::Forever);
    let writer = tokio::spawn(async move { writer.acquire().await.map(drop) });
    // Those of the first few milliseconds may pass it.
    sleep(Duration::from_millis(300)).await;
    let reader = locker.lock("k").shared().timeout(Duration::from_millis(100));
    let text = reader.acquire().await.unwrap_err().to_string();
    assert!(text.contains("held by this process"), "{text}");
    held.release().await.unwrap();
    writer.await.unwrap().unwrap();
}
