//! Many who want the same at the same moment.

use std::sync::Arc;
use std::time::Duration;

use dlock::{LeaseOptions, Locker};
use dlock_tests::Site;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

const TAKERS: usize = 20;

async fn takers(site: &Site, options: &LeaseOptions) -> Vec<Locker> {
    let mut takers = JoinSet::new();
    for _ in 0..TAKERS {
        let builder = site.builder().lease_options(options.clone());
        takers.spawn(async move { builder.connect().await.unwrap() });
    }
    takers.join_all().await
}

/// All try at once; the tokens of those who have got it.
async fn round(takers: &[Locker], key: &str, keep: bool) -> Vec<u64> {
    let start = Arc::new(Barrier::new(takers.len()));
    let end = Arc::new(Barrier::new(takers.len()));
    let mut tries = JoinSet::new();
    for locker in takers {
        let (start, end, lock) = (Arc::clone(&start), Arc::clone(&end), locker.lock(key));
        tries.spawn(async move {
            start.wait().await;
            let guard = lock.try_acquire().await.unwrap();
            let fence = guard.as_ref().map(|guard| guard.fence().unwrap());
            end.wait().await;
            match guard {
                Some(guard) if keep => guard.leak(),
                Some(guard) => guard.release().await.unwrap(),
                None => {}
            }
            fence
        });
    }
    tries.join_all().await.into_iter().flatten().collect()
}

pub(crate) async fn of_twenty_has_one_winner(site: Site) {
    let takers = takers(&site, &LeaseOptions::new()).await;
    // The first round of each key inserts the row, the others update it.
    for key in 0..6 {
        let mut last = None;
        for _ in 0..6 {
            let tokens = round(&takers, &key.to_string(), false).await;
            assert_eq!(tokens.len(), 1, "key {key}: {tokens:?}");
            assert!(last.is_none_or(|last| tokens[0] == last + 1), "{tokens:?} after {last:?}");
            last = Some(tokens[0]);
        }
    }
}

pub(crate) async fn for_what_has_run_out_has_one_winner(site: Site) {
    let ttl = Duration::from_millis(300);
    let takers = takers(&site, &LeaseOptions::new().ttl(ttl).poll(ttl, ttl)).await;
    let locks: Vec<_> = takers.iter().map(|locker| locker.lock("k").auto_renew(false)).collect();
    let mut last = None;
    for _ in 0..5 {
        let start = Arc::new(Barrier::new(locks.len()));
        let mut waits = JoinSet::new();
        for lock in &locks {
            let (start, lock) = (Arc::clone(&start), lock.clone().timeout(ttl / 2));
            waits.spawn(async move {
                start.wait().await;
                let guard = lock.acquire().await.ok()?;
                let fence = guard.fence();
                guard.leak();
                fence
            });
        }
        let won: Vec<_> = waits.join_all().await.into_iter().flatten().collect();
        assert_eq!(won.len(), 1, "{won:?}");
        assert!(last.is_none_or(|last| won[0] == last + 1), "{won:?} after {last:?}");
        last = Some(won[0]);
        tokio::time::sleep(ttl).await;
    }
}

/// Each takes and releases many keys at a time, in orders of their own.
pub(crate) async fn of_many_keys_knows_no_deadlock(site: Site) {
    let mut fights = JoinSet::new();
    for _ in 0..6 {
        let locker = site.locker().await;
        fights.spawn(async move {
            let mut got = 0;
            for _ in 0..15 {
                let mut keys: Vec<u32> = (0..40).collect();
                fastrand::shuffle(&mut keys);
                let mut tries = JoinSet::new();
                for key in keys.into_iter().take(20) {
                    let lock = locker.lock(format!("key {key}"));
                    tries.spawn(async move {
                        let Some(guard) = lock.try_acquire().await.unwrap() else { return 0 };
                        guard.release().await.unwrap();
                        1
                    });
                }
                got += tries.join_all().await.into_iter().sum::<u32>();
            }
            got
        });
    }
    let got = fights.join_all().await;
    assert!(got.iter().all(|got| *got > 20), "{got:?}");
}
