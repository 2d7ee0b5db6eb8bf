//! What a lease excludes.

use super::*;

#[tokio::test]
async fn two_lockers_of_one_file_exclude_each_other() {
    let folder = Folder::new();
    let (one, two) = (
        folder.locker(Duration::from_secs(30)).await,
        folder.locker(Duration::from_secs(30)).await,
    );
    let guard = one.lock("a").acquire().await.unwrap();
    assert!(two.lock("a").try_acquire().await.unwrap().is_none());
    assert!(two.lock("b").try_acquire().await.unwrap().is_some());
    once_within(450 * MS, async || {
        let asked = Instant::now();
        let late = two.lock("a").timeout(300 * MS).acquire().await.unwrap_err();
        assert!(late.is_timeout(), "{late}");
        assert!(asked.elapsed() >= 300 * MS, "{:?}", asked.elapsed());
        asked.elapsed()
    })
    .await;
    guard.release().await.unwrap();
    assert!(two.lock("a").try_acquire().await.unwrap().is_some());

    let file = folder.file("count");
    let mut tasks = tokio::task::JoinSet::new();
    for locker in [&one, &two] {
        for _ in 0..5 {
            let (locker, file) = (locker.clone(), file.clone());
            tasks.spawn(async move {
                for _ in 0..20 {
                    let guard = locker.lock("count").acquire().await.unwrap();
                    increment(&file);
                    drop(guard);
                }
            });
        }
    }
    tasks.join_all().await;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "200");
}

#[tokio::test]
async fn fences_grow_and_rows_stay() {
    let folder = Folder::new();
    let (one, two) =
        (folder.locker(Duration::from_secs(5)).await, folder.locker(Duration::from_secs(5)).await);
    let mut raw = folder.raw().await;
    let mut owners = Vec::new();
    let mut first = 0;
    for round in 0..6 {
        let locker = if round % 2 == 0 { &one } else { &two };
        let guard = locker.lock("a").acquire().await.unwrap();
        if round == 0 {
            first = guard.fence().unwrap();
        }
        assert_eq!(guard.fence(), Some(first + round));
        owners.push(row(&mut raw, "a").await.0);
        guard.release().await.unwrap();
        let (_, fence, expires_at) = row(&mut raw, "a").await;
        assert_eq!((fence as u64, expires_at), (first + round, 0));
    }
    owners.sort();
    owners.dedup();
    assert_eq!(owners.len(), 6, "an owner for each grant");
    // A guard that is dropped leaves no more than one that is released.
    drop(one.lock("b").acquire().await.unwrap());
    one.close().await;
    assert_eq!(row(&mut raw, "b").await.2, 0);
    // Nor does one that is still held at the end.
    let guard = two.lock("b").acquire().await.unwrap();
    two.close().await;
    assert_eq!(row(&mut raw, "b").await.2, 0);
    assert!(guard.is_lost());
}

#[tokio::test]
async fn a_held_lock_goes_round() {
    // Two who want a key all the time: neither is shut out.
    let folder = Folder::new();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let locker = folder.locker(Duration::from_secs(5)).await;
        tasks.spawn(async move {
            let (mut grants, mut longest) = (0, Duration::ZERO);
            let end = Instant::now() + Duration::from_secs(3);
            while Instant::now() < end {
                let asked = Instant::now();
                let guard = locker.lock("a").acquire().await.unwrap();
                longest = longest.max(asked.elapsed());
                grants += 1;
                sleep(MS).await;
                guard.release().await.unwrap();
            }
            (grants, longest)
        });
    }
    let grants = tasks.join_all().await;
    assert!(grants.iter().all(|(grants, _)| *grants > 20), "{grants:?}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn who_waits_is_told_of_a_release() {
    let folder = Folder::new();
    // At ever longer intervals: by then it asks every fifth second or so.
    let lease = LeaseOptions::new().ttl(Duration::from_secs(60)).poll(20 * MS, 3600 * 1000 * MS);
    let locker = async || {
        Locker::builder(&folder.url()).lease_options(lease.clone()).connect().await.unwrap()
    };
    let (one, two) = (locker().await, locker().await);
    let mut held = Vec::new();
    let mut waiting = tokio::task::JoinSet::new();
    for key in ["a", "b", "c", "d"] {
        held.push(one.lock(key).acquire().await.unwrap());
        let lock = two.lock(key);
        waiting.spawn(async move { lock.acquire().await.unwrap() });
    }
    sleep(Duration::from_secs(12)).await;
    assert!(waiting.try_join_next().is_none());
    let released = Instant::now();
    drop(held);
    waiting.join_all().await;
    assert!(released.elapsed() < 2000 * MS, "{:?}", released.elapsed());
}
