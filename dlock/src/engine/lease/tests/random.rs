//! Several processes, many tasks, a database that fails in every way: whatever happens, what must
//! hold holds.

use std::collections::HashMap;
use std::sync::Mutex;

use fastrand::Rng;
use tokio::task::JoinSet;

use super::*;
use crate::Guard;
use crate::clock::Time;
use crate::engine::lease::job::SILENCE;
use crate::locker::Locker;

const KEYS: usize = 4;
const TASKS: usize = 12;
const TIME: Duration = Duration::from_secs(3);
/// The longest that the release of a lease without an end takes: nothing runs out before its statement, and the
/// next one, are given up for their silence.
const RELEASED_WITHIN: Duration = SILENCE.saturating_mul(2).saturating_add(LIMIT);

/// The newest fence that a holder has had.
type Newest = Arc<Mutex<HashMap<usize, u64>>>;

fn fate(random: &mut Rng, silent: bool) -> Fate {
    match random.u32(..1000) {
        0..30 => Fate::Busy,
        30..45 => Fate::Ends(random.bool()),
        45..48 if silent => Fate::Silent(random.bool()),
        _ => Fate::Done,
    }
}

/// Holds one for a while, if it gets it.
async fn task(fake: &Fake, locker: &Locker, newest: &Newest, random: &mut Rng) {
    let key = random.usize(..KEYS);
    let mut lock = locker.lock(key as u64).timeout(random.u64(..400) as u32 * MS);
    match random.u32(..6) {
        // In doubt, a name is not given back: then its row must run out.
        0 => lock = lock.owner(format!("owner {:p}", locker.core().engine())).ttl(300 * MS),
        1 => lock = lock.ttl(200 * MS).auto_renew(random.bool()),
        2 => lock = lock.min_hold(random.u32(..10) * MS),
        3 => lock = lock.ttl(Duration::MAX),
        _ => {}
    }
    let waiting = lock.acquire();
    let patience = if random.u32(..5) == 0 { random.u32(..20) * MS } else { LIMIT };
    let Ok(answer) = timeout(patience, waiting).await else {
        assert!(patience < LIMIT, "an ask is not answered");
        return;
    };
    let Ok(guard) = answer else { return };
    for round in 0..random.u32(1..4) {
        is_held(fake, &guard, key, (round == 0).then_some(newest));
        // Now and then one outstays a lease that is not renewed.
        let long = random.u32(..30) == 0;
        sleep(random.u32(..if long { 300 } else { 8 }) * MS).await;
        is_held(fake, &guard, key, None);
    }
    match random.u32(..3) {
        0 => drop(guard),
        1 => drop(guard.verify().await),
        _ => {
            let release = timeout(RELEASED_WITHIN, guard.release()).await;
            let _ = release.expect("a release is not answered");
        }
    }
}

/// As long as a guard is valid, the row is its own.
fn is_held(fake: &Fake, guard: &Guard, key: usize, newest: Option<&Newest>) {
    // Nobody changes the row meanwhile.
    let inside = fake.inside();
    if guard.is_lost() {
        return;
    }
    let row = &inside.rows[&key.to_string()];
    assert_eq!(Some(row.fence), guard.fence(), "key {key}: {row:?}");
    assert!(!row.owner.is_empty());
    assert!(row.until.is_none_or(|until| until > Time::now()), "the word is beyond the row");
    if let Some(newest) = newest {
        let before = newest.lock().unwrap().insert(key, row.fence);
        assert!(before < Some(row.fence), "key {key}: {} after {before:?}", row.fence);
    }
}

/// With leases that outlast the test, what is not given back shows; with short ones, silence does not
/// last too long.
async fn fight(seed: u64, long: bool) {
    let fake = Fake::new();
    let mut random = Rng::with_seed(seed);
    fake.script({
        let mut random = random.fork();
        move |asked| {
            if matches!(asked, Asked::Open) { Fate::Done } else { fate(&mut random, !long) }
        }
    });
    let newest = Newest::default();
    let mut lockers = Vec::new();
    for _ in 0..3 {
        lockers.push(fake.locker(ttl(if long { LONG } else { 1500 * MS })).await);
    }
    let end = tokio::time::Instant::now() + TIME;
    let mut tasks = JoinSet::new();
    for locker in &lockers {
        for _ in 0..TASKS {
            let (fake, locker, newest) = (fake.clone(), locker.clone(), newest.clone());
            let mut random = random.fork();
            tasks.spawn(async move {
                while tokio::time::Instant::now() < end {
                    task(&fake, &locker, &newest, &mut random).await;
                }
            });
        }
    }
    tasks.spawn({
        let fake = fake.clone();
        async move {
            while tokio::time::Instant::now() < end {
                let busy = random.usize(..KEYS * 3).to_string();
                fake.inside().busy = vec![busy];
                sleep(random.u32(..50) * MS).await;
            }
            fake.inside().busy.clear();
        }
    });
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    fake.script(|_| Fate::Done);
    let free = || fake.inside().rows.values().all(fake::Row::is_free);
    let given_back = timeout(RELEASED_WITHIN, async {
        while !free() {
            sleep(MS).await;
        }
    });
    assert!(given_back.await.is_ok(), "not given back: {:?}", fake.inside().rows);
    drop(lockers);
}

fn seed() -> u64 {
    let seed = std::env::var("DLOCK_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("DLOCK_TEST_SEED={seed}");
    seed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_must_hold_holds() {
    fight(seed(), false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_be_ours_is_given_back() {
    fight(seed(), true).await;
}
