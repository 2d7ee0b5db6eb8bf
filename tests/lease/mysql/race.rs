//! Many who want the same at the same moment.

use std::sync::Arc;

use dlock::{LeaseOptions, Locker};
use dlock_tests::Site;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

pub(crate) async fn has_one_winner_and_fences_grow_by_one(site: Site) {
    const TAKERS: usize = 20;
    const ROUNDS: u64 = 30;
    let mut lockers = Vec::new();
    for _ in 0..TAKERS {
        lockers.push(site.locker().await);
    }
    // Half of the rounds are for a row that is not there yet.
    let mut last = 0;
    for round in 0..ROUNDS {
        let key = if round % 2 == 0 { "k".to_owned() } else { format!("k{round}") };
        let barrier = Arc::new(Barrier::new(TAKERS));
        let mut takers = JoinSet::new();
        for locker in &lockers {
            let (lock, barrier) = (locker.lock(&key), barrier.clone());
            takers.spawn(async move {
                barrier.wait().await;
                lock.try_acquire().await.unwrap()
            });
        }
        let mut won: Vec<_> = takers.join_all().await.into_iter().flatten().collect();
        assert_eq!(won.len(), 1, "winners of round {round}");
        let fence = won[0].fence().unwrap();
        if round % 2 == 0 {
            assert!(round == 0 || fence == last + 1, "{fence} after {last}");
            last = fence;
        }
        won.remove(0).release().await.unwrap();
    }
}

pub(crate) async fn of_batches_grants_each_key_once(site: Site) {
    let mut takers = JoinSet::new();
    for _ in 0..4 {
        let locker = site.locker().await;
        takers.spawn(async move {
            for _ in 0..25 {
                let mut asks = JoinSet::new();
                for _ in 0..10 {
                    let lock = locker.lock(fastrand::u32(0..20));
                    asks.spawn(async move {
                        let guard = lock.try_acquire().await.unwrap()?;
                        let granted = (guard.key().to_string(), guard.fence().unwrap());
                        tokio::task::yield_now().await;
                        guard.release().await.unwrap();
                        Some(granted)
                    });
                }
                for granted in asks.join_all().await.into_iter().flatten() {
                    FENCES.lock().unwrap().push(granted);
                }
            }
        });
    }
    takers.join_all().await;
    let mut fences = std::mem::take(&mut *FENCES.lock().unwrap());
    assert!(fences.len() > 100, "{}", fences.len());
    let all = fences.len();
    fences.sort();
    fences.dedup();
    assert_eq!(fences.len(), all, "no fence twice");
}

/// Each test runs in a process of its own, or at least is the only one on its database.
static FENCES: std::sync::Mutex<Vec<(String, u64)>> = std::sync::Mutex::new(Vec::new());

/// One gives back what the other takes in the same breath: their transactions meet on two rows.
pub(crate) async fn of_two_who_swap_grants_both(site: Site) {
    let mut swappers = JoinSet::new();
    for (mine, other) in [("a", "b"), ("b", "a")] {
        let locker = site.locker().await;
        swappers.spawn(async move {
            for _ in 0..100 {
                let guard = locker.lock(mine).acquire().await.unwrap();
                let lock = locker.lock(other);
                let (released, taken) = tokio::join!(guard.release(), lock.acquire());
                released.unwrap();
                taken.unwrap().release().await.unwrap();
            }
        });
    }
    swappers.join_all().await;
}

/// A process that comes again under its name takes its lease at once; its earlier holder is told.
pub(crate) async fn named_owners_have_fences_of_their_own(site: Site) {
    let locker = async || {
        let lease = LeaseOptions::new().owner("worker-1");
        Locker::builder(&site.url).lease_options(lease).connect().await.unwrap()
    };
    let (one, two) = (locker().await, locker().await);
    let before = one.lock("k").acquire().await.unwrap();
    let after = two.lock("k").try_acquire().await.unwrap().expect("it is the same owner's");
    assert_eq!(after.fence(), before.fence().map(|fence| fence + 1));
    assert!(before.verify().await.unwrap_err().is_lost());
    after.verify().await.unwrap();
    assert!(site.locker().await.lock("k").try_acquire().await.unwrap().is_some(), "its own key");
    let stranger = Locker::connect(&site.url).await.unwrap();
    assert!(stranger.lock("k").try_acquire().await.unwrap().is_none());
    drop(before);
    after.verify().await.unwrap();
    after.release().await.unwrap();
}
