//! What a lease excludes.

use super::*;

#[tokio::test]
async fn two_lockers_of_one_file_exclude_each_other() {
    let folder = Folder::new();
    let (one, two) =
        (folder.locker(Duration::from_secs(5)).await, folder.locker(Duration::from_secs(5)).await);
    let guard = one.lock("a").acquire().await.unwrap();
    assert!(two.lock("a").try_acquire().await.unwrap().is_none());
    assert!(two.lock("b").try_acquire().await.unwrap().is_some());
    let asked = Instant::now();
    let late = two.lock("a").timeout(300 * MS).acquire().await.unwrap_err();
    let waited = asked.elapsed();
    assert!(late.is_timeout(), "{late}");
    assert!((300 * MS..450 * MS).contains(&waited), "{waited:?}");
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
async fn processes_exclude_each_other() {
    let folder = Folder::new();
    let mut children: Vec<_> = (0..4).map(|_| process(&folder, "count")).collect();
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(std::fs::read_to_string(folder.file("count")).unwrap(), "400");
    let (_, fence, expires_at) = row(&mut folder.raw().await, "count").await;
    assert_eq!(expires_at, 0, "the row stays, and is free");
    assert!(fence > 0);
}

#[tokio::test]
async fn fences_grow_and_rows_stay() {
    let folder = Folder::new();
    let (one, two) =
        (folder.locker(Duration::from_secs(5)).await, folder.locker(Duration::from_secs(5)).await);
    let mut raw = folder.raw().await;
    let mut owners = Vec::new();
    for round in 1..=6 {
        let locker = if round % 2 == 0 { &one } else { &two };
        let guard = locker.lock("a").acquire().await.unwrap();
        assert_eq!(guard.fence(), Some(round));
        owners.push(row(&mut raw, "a").await.0);
        guard.release().await.unwrap();
        let (_, fence, expires_at) = row(&mut raw, "a").await;
        assert_eq!((fence as u64, expires_at), (round, 0));
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

#[tokio::test]
async fn a_busy_file_is_waited_for() {
    let folder = Folder::new();
    let locker = folder.locker(Duration::from_secs(10)).await;
    let held = locker.lock("held").acquire().await.unwrap();
    let mut raw = folder.raw().await;
    let busy = Duration::from_secs(3);
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut raw).await.unwrap();
    let began = Instant::now();
    let rival = folder.locker(Duration::from_secs(10)).await;
    assert!(began.elapsed() < Duration::from_secs(1), "connected in {:?}", began.elapsed());
    let commit = async {
        sleep(busy).await;
        sqlx::raw_sql("COMMIT").execute(&mut raw).await.unwrap();
    };
    let take = async {
        let guard = locker.lock("a").timeout(Duration::from_secs(10)).acquire().await.unwrap();
        (guard, began.elapsed())
    };
    let attempt = async {
        // A try does not wait for the lock, but it does for an answer.
        drop(rival.lock("c").try_acquire().await.unwrap().expect("nobody has it"));
        began.elapsed()
    };
    let release = async {
        held.verify().await.unwrap();
        assert!(began.elapsed() < busy, "readers are not kept");
        held.release().await.unwrap();
        began.elapsed()
    };
    let give_up = async {
        let asked = Instant::now();
        let error = rival.lock("b").timeout(500 * MS).acquire().await.unwrap_err();
        assert!(error.is_timeout() || matches!(error, Error::Unavailable { .. }), "{error}");
        asked.elapsed()
    };
    let (_, (_guard, taken), tried, released, gave_up) =
        tokio::join!(commit, take, attempt, release, give_up);
    assert!((busy..busy + Duration::from_secs(1)).contains(&tried), "{tried:?}");
    assert!((busy..busy + Duration::from_secs(1)).contains(&taken), "{taken:?}");
    assert!((busy..busy + Duration::from_secs(1)).contains(&released), "{released:?}");
    assert!((500 * MS..750 * MS).contains(&gave_up), "{gave_up:?}");
}
