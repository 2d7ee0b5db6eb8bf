//! Guards that change the mode of their lock while they hold it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dlock::{Error, Guard, Lock, Locker, Mode, Wait};
use dlock_tests::{Backend, Site, eventually_async, in_time};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::modes::is_free;

const SHORT: Duration = Duration::from_millis(300);
/// Nobody waits for this long unless a test fails.
const LONG: Duration = Duration::from_secs(30);

async fn readers(locker: &Locker, wait: impl Into<Wait>) -> Guard {
    locker.lock("k").shared().timeout(wait).acquire().await.unwrap()
}

/// Lets a call begin and shows that it does not end by itself.
async fn begins<T>(call: &mut (impl Future<Output = T> + Unpin)) {
    assert!(timeout(SHORT, call).await.is_err(), "it did not wait");
}

/// The guard holds this, says so, and keeps out who is to be kept out.
async fn holds(guard: &Guard, mode: Mode, others: &Locker) {
    assert_eq!(guard.mode(), mode);
    guard.verify().await.unwrap();
    assert!(!is_free(others.lock("k")).await);
    assert_eq!(is_free(others.lock("k").shared()).await, mode != Mode::Exclusive);
}

pub(crate) async fn change_of_mode_is_refused_where_there_is_none(site: Site) {
    let locker = site.locker().await;
    let mut guard = locker.lock("k").acquire().await.unwrap();
    let (has_up, has_down) = match site.backend {
        Some(Backend::Oracle) => (true, true),
        Some(Backend::Mssql) => (true, false),
        _ => (false, false),
    };
    for (up, has) in [(true, has_up), (false, has_down)] {
        let changed = if up { guard.upgrade().await } else { guard.downgrade().await };
        match changed {
            // It is exclusive already.
            Ok(()) => assert!(has),
            Err(Error::Unsupported { instead, .. }) => {
                assert!(!has && instead.contains("still held"), "{instead}");
            }
            Err(error) => panic!("{error}"),
        }
        assert_eq!(guard.mode(), if up || !has { Mode::Exclusive } else { Mode::Shared });
        guard.verify().await.unwrap();
    }
    guard.release().await.unwrap();
}

pub(crate) async fn downgrade_lets_readers_in_and_no_writer_between(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let mut guard = ours.lock("k").acquire().await.unwrap();
    guard.downgrade().await.unwrap();
    holds(&guard, Mode::Shared, &theirs).await;
    guard.upgrade().await.unwrap();
    let writer = tokio::spawn({
        let lock = theirs.lock("k").timeout(LONG);
        async move { lock.acquire().await }
    });
    let waits = async || {
        let status = ours.status().await.unwrap();
        status.iter().any(|status| !status.waiters.is_empty())
    };
    eventually_async("the writer waits", LONG, waits).await;
    guard.downgrade().await.unwrap();
    assert_eq!(guard.mode(), Mode::Shared);
    guard.verify().await.unwrap();
    assert!(!writer.is_finished());
    // And up again, before the writer.
    guard.upgrade().await.unwrap();
    holds(&guard, Mode::Exclusive, &site.locker().await).await;
    guard.release().await.unwrap();
    in_time("the writer's turn", LONG, writer).await.unwrap().unwrap().release().await.unwrap();
}

pub(crate) async fn upgrade_waits_for_readers_and_lets_no_writer_between(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let reader = readers(&theirs, LONG).await;
    let mut guard = readers(&ours, LONG).await;
    let writer = tokio::spawn({
        let lock = theirs.lock("k").timeout(LONG);
        async move { lock.acquire().await }
    });
    let mut upgrade = Box::pin(guard.upgrade());
    begins(&mut upgrade).await;
    reader.release().await.unwrap();
    in_time("the upgrade", LONG, upgrade).await.unwrap();
    holds(&guard, Mode::Exclusive, &site.locker().await).await;
    assert!(!writer.is_finished());
    guard.release().await.unwrap();
    in_time("the writer's turn", LONG, writer).await.unwrap().unwrap().release().await.unwrap();
    assert!(is_free(ours.lock("k")).await);
}

pub(crate) async fn upgrade_that_runs_out_leaves_what_was_held(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let reader = readers(&theirs, LONG).await;
    for wait in [Wait::NoWait, Wait::For(SHORT)] {
        let mut guard = readers(&ours, wait).await;
        let begun = std::time::Instant::now();
        let error = in_time("the end of the wait", LONG, guard.upgrade()).await.unwrap_err();
        assert!(error.is_timeout(), "{error}");
        assert!(wait == Wait::NoWait || begun.elapsed() >= SHORT);
        holds(&guard, Mode::Shared, &site.locker().await).await;
        guard.release().await.unwrap();
    }
    reader.release().await.unwrap();
    assert!(is_free(ours.lock("k")).await);
}

/// Two who read and both want to write wait for each other.
pub(crate) async fn upgrades_of_two_readers_are_a_deadlock(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let (mut one, mut other) = (readers(&ours, LONG).await, readers(&theirs, LONG).await);
    // To fail at one is to give up the other.
    let (is_first, ended) = in_time("the end of one", LONG, async {
        tokio::select! {
            ended = one.upgrade() => (true, ended),
            ended = other.upgrade() => (false, ended),
        }
    })
    .await;
    let error = ended.unwrap_err();
    assert!(matches!(error, Error::Deadlock { .. }), "{error}");
    // It is told to one of the two: that goes, and the other one has its way.
    let (victim, mut winner) = if is_first { (one, other) } else { (other, one) };
    assert_eq!(victim.mode(), Mode::Shared);
    victim.verify().await.unwrap();
    victim.release().await.unwrap();
    in_time("the other upgrade", LONG, winner.upgrade()).await.unwrap();
    holds(&winner, Mode::Exclusive, &site.locker().await).await;
}

/// Readers of one process share a grant of the server's.
pub(crate) async fn upgrade_waits_for_readers_of_its_own_process(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let (mut guard, other) = (readers(&ours, LONG).await, readers(&ours, LONG).await);
    let mut upgrade = Box::pin(guard.upgrade());
    begins(&mut upgrade).await;
    // Who comes now has a grant of its own, and is in the way as much.
    let late = readers(&ours, LONG).await;
    other.release().await.unwrap();
    begins(&mut upgrade).await;
    late.release().await.unwrap();
    in_time("the upgrade", LONG, upgrade).await.unwrap();
    holds(&guard, Mode::Exclusive, &theirs).await;
    guard.release().await.unwrap();
    assert!(is_free(theirs.lock("k")).await);

    let (mut one, mut other) = (readers(&ours, LONG).await, readers(&ours, LONG).await);
    let mut upgrade = Box::pin(one.upgrade());
    begins(&mut upgrade).await;
    let error = in_time("the refusal", LONG, other.upgrade()).await.unwrap_err();
    assert!(matches!(error, Error::Deadlock { .. }), "{error}");
    assert_eq!(other.mode(), Mode::Shared);
    other.release().await.unwrap();
    in_time("the upgrade", LONG, upgrade).await.unwrap();
    holds(&one, Mode::Exclusive, &theirs).await;
}

/// Nor do writers of its process, who are in line behind it, get it with what it becomes.
pub(crate) async fn upgraded_lock_is_not_handed_on_unasked(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let mut guard = readers(&ours, LONG).await;
    in_time("the upgrade", LONG, guard.upgrade()).await.unwrap();
    let acquire = |lock: Lock| tokio::spawn(async move { lock.acquire().await });
    let mut reader = acquire(ours.lock("k").shared().timeout(LONG));
    let mut writer = acquire(ours.lock("k").timeout(LONG));
    sleep(SHORT).await;
    assert!(!reader.is_finished() && !writer.is_finished());
    holds(&guard, Mode::Exclusive, &theirs).await;
    guard.release().await.unwrap();
    // In whichever order.
    let (first, second) = in_time("a turn", LONG, async {
        tokio::select! {
            first = &mut reader => (first, writer),
            first = &mut writer => (first, reader),
        }
    })
    .await;
    first.unwrap().unwrap().release().await.unwrap();
    let second = in_time("the other turn", LONG, second).await.unwrap().unwrap();
    second.release().await.unwrap();
    assert!(is_free(theirs.lock("k")).await);
}

pub(crate) async fn upgrade_that_is_dropped_leaves_what_was_held(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let reader = readers(&theirs, LONG).await;
    for round in 0..20 {
        let mut guard = readers(&ours, LONG).await;
        let time = Duration::from_millis(round * 3);
        assert!(timeout(time, guard.upgrade()).await.is_err());
        holds(&guard, Mode::Shared, &theirs).await;
        if round % 2 == 0 {
            drop(guard);
        } else {
            guard.release().await.unwrap();
        }
    }
    let mut guard = readers(&ours, LONG).await;
    assert!(timeout(SHORT, guard.upgrade()).await.is_err());
    reader.release().await.unwrap();
    // What was dropped may still be answered: the next one has its own answer.
    in_time("the upgrade", LONG, guard.upgrade()).await.unwrap();
    holds(&guard, Mode::Exclusive, &theirs).await;
    guard.release().await.unwrap();
    assert!(is_free(theirs.lock("k")).await);
}

/// The session that holds the lock holds others too, and works for them.
pub(crate) async fn upgrade_that_waits_keeps_nobody_else(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let reader = readers(&theirs, LONG).await;
    let kept = ours.lock("kept").acquire().await.unwrap();
    let mut guard = readers(&ours, LONG).await;
    let mut upgrade = Box::pin(guard.upgrade());
    begins(&mut upgrade).await;
    let others = async {
        for n in 0..50 {
            let other = ours.lock(format!("other {n}")).acquire().await.unwrap();
            kept.verify().await.unwrap();
            other.release().await.unwrap();
        }
        kept.release().await.unwrap();
    };
    tokio::select! {
        biased;
        ended = &mut upgrade => panic!("{ended:?} before the reader has gone"),
        () = in_time("the work for others", LONG, others) => {}
    }
    reader.release().await.unwrap();
    in_time("the upgrade", LONG, upgrade).await.unwrap();
    holds(&guard, Mode::Exclusive, &theirs).await;
}

pub(crate) async fn upgrade_of_what_is_lost_meanwhile_is_lost(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let _reader = readers(&theirs, LONG).await;
    let mut guard = readers(&ours, LONG).await;
    let mut upgrade = Box::pin(guard.upgrade());
    begins(&mut upgrade).await;
    ours.close().await;
    let error = in_time("the news", LONG, upgrade).await.unwrap_err();
    assert!(error.is_lost(), "{error}");
    assert!(guard.upgrade().await.unwrap_err().is_lost());
}

pub(crate) async fn upgrade_under_itself_is_refused(site: Site) {
    let locker = site.locker().await;
    let lock = locker.lock("k").shared().reentrant();
    lock.run(async |_| {
        let mut inner = lock.acquire().await.unwrap();
        let error = inner.upgrade().await.unwrap_err();
        assert!(matches!(error, Error::Config { .. }), "{error}");
        assert_eq!(inner.mode(), Mode::Shared);
        inner.release().await.unwrap();
    })
    .await
    .unwrap();
}

/// One plans to write: others may read meanwhile, and nobody else may plan.
pub(crate) async fn update_lock_becomes_exclusive(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let mut guard = ours.lock("k").mode(Mode::Update).timeout(LONG).acquire().await.unwrap();
    let reader = readers(&theirs, LONG).await;
    let planner = tokio::spawn({
        let lock = ours.lock("k").mode(Mode::Update).timeout(LONG);
        async move { lock.acquire().await }
    });
    let mut upgrade = Box::pin(guard.upgrade());
    begins(&mut upgrade).await;
    assert!(!planner.is_finished());
    reader.release().await.unwrap();
    in_time("the upgrade", LONG, upgrade).await.unwrap();
    holds(&guard, Mode::Exclusive, &theirs).await;
    assert!(!planner.is_finished());
    guard.release().await.unwrap();
    let planner = in_time("its turn", LONG, planner).await.unwrap().unwrap();
    assert_eq!(planner.mode(), Mode::Update);
}

/// Who is inside, and how: each says so before it lets go.
#[derive(Default)]
struct Inside(Mutex<HashMap<u32, Mode>>);

impl Inside {
    fn enter(&self, id: u32, mode: Mode) {
        let mut all = self.0.lock().unwrap();
        all.remove(&id);
        for (other, theirs) in &*all {
            assert!(theirs.is_compatible_with(mode), "{id}: {mode}, {other}: {theirs}");
        }
        all.insert(id, mode);
    }

    fn leave(&self, id: u32) {
        self.0.lock().unwrap().remove(&id);
    }
}

/// Readers and writers of two clients at random, of whom some change from one to the other, and some
/// do not wait for that.
pub(crate) async fn holders_go_together_whatever_becomes_of_upgrades(site: Site) {
    const ROUNDS: u32 = 30;
    let lockers = [site.locker().await, site.locker().await];
    let modes = match site.backend {
        Some(Backend::Mssql) => [Mode::Shared, Mode::Shared, Mode::Update, Mode::Exclusive],
        _ => [Mode::Shared, Mode::Shared, Mode::Shared, Mode::Exclusive],
    };
    let (inside, changed) = (Arc::new(Inside::default()), Arc::new(AtomicU32::new(0)));
    let mut tasks = JoinSet::new();
    for id in 0..6_u32 {
        let locker = lockers[id as usize % 2].clone();
        let (inside, changed) = (Arc::clone(&inside), Arc::clone(&changed));
        tasks.spawn(async move {
            for _ in 0..ROUNDS {
                let mode = modes[fastrand::usize(..modes.len())];
                let lock = locker.lock("k").mode(mode);
                let mut guard = lock.timeout(LONG).acquire().await.unwrap();
                inside.enter(id, mode);
                sleep(Duration::from_millis(fastrand::u64(..3))).await;
                let patience = Duration::from_millis(fastrand::u64(..40));
                match timeout(patience, guard.upgrade()).await {
                    Ok(Ok(())) => {
                        inside.enter(id, Mode::Exclusive);
                        assert_eq!(guard.mode(), Mode::Exclusive);
                        changed.fetch_add(u32::from(mode != Mode::Exclusive), Ordering::Relaxed);
                    }
                    Ok(Err(Error::Deadlock { .. })) => assert_eq!(guard.mode(), mode),
                    Ok(Err(error)) => panic!("{error}"),
                    // It may come a moment later, and the guard says so then.
                    Err(_) => assert!([mode, Mode::Exclusive].contains(&guard.mode())),
                }
                inside.leave(id);
                if fastrand::bool() {
                    guard.release().await.unwrap();
                }
            }
        });
    }
    in_time("all rounds", 2 * LONG, tasks.join_all()).await;
    assert!(changed.load(Ordering::Relaxed) > 0);
    let free = async || is_free(lockers[0].lock("k")).await;
    eventually_async("all is given back", LONG, free).await;
}
