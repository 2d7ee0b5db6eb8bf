//! Processes that are killed in the middle of a statement.

use super::*;

/// Enough for there to be some that nobody was killed with.
const KEYS: u64 = 200;

/// Takes and gives back, and says nothing of it.
pub(super) async fn churn(folder: &Folder, locker: &Locker) {
    std::fs::write(folder.file("ready"), "").unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let locker = locker.clone();
        tasks.spawn(async move {
            loop {
                let key = format!("k{}", fastrand::u64(..KEYS));
                let lock = locker.lock(key).timeout(Duration::from_secs(60));
                let guard = lock.acquire().await.unwrap();
                if fastrand::bool() {
                    drop(guard);
                } else {
                    guard.release().await.unwrap();
                }
            }
        });
    }
    tasks.join_next().await.unwrap().unwrap();
}

async fn fences(raw: &mut SqliteConnection) -> Vec<(String, i64)> {
    let sql = "SELECT name, fence FROM dlock_leases ORDER BY name";
    let rows = sqlx::query(sql).fetch_all(raw).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// `kill -9`, over and over.
async fn outlived(parameters: &str) {
    let folder = Folder::new();
    let locker = folder.locker_with(parameters, Duration::from_secs(2)).await;
    let mut raw = folder.raw().await;
    let mut last = Vec::new();
    let mut first = None;
    let mut grants = 0;
    for round in 0..15 {
        let mut children: Vec<_> = (0..2).map(|_| process(&folder, "churn", parameters)).collect();
        while !folder.file("ready").exists() {
            sleep(5 * MS).await;
        }
        sleep(MS * fastrand::u32(1..150)).await;
        for child in &mut children {
            child.kill().unwrap();
        }
        for child in &mut children {
            child.wait().unwrap();
        }
        let killed = Instant::now();
        let own = locker.lock("own").acquire().await.unwrap();
        let first = *first.get_or_insert(own.fence().unwrap());
        assert_eq!(own.fence(), Some(first + round), "of a key that nobody was killed with");
        let waited = killed.elapsed();
        assert!(waited < Duration::from_secs(10), "{waited:?} for a key that nobody has");
        own.release().await.unwrap();
        let check = sqlx::query_scalar::<_, String>("PRAGMA integrity_check");
        assert_eq!(check.fetch_one(&mut raw).await.unwrap(), "ok");
        let now = fences(&mut raw).await;
        for (name, fence) in &last {
            let found = now.iter().find(|(other, _)| other == name);
            assert!(found.is_some_and(|(_, now)| now >= fence), "{name} had {fence}: {found:?}");
            grants += found.map_or(0, |(_, now)| now - fence);
        }
        last = now;
        std::fs::remove_file(folder.file("ready")).unwrap();
    }
    assert!(grants > 15, "{grants}: {last:?}");
    // What was held when its holder was killed is free when its time is over.
    let killed = Instant::now();
    let mut takes = tokio::task::JoinSet::new();
    for key in 0..KEYS {
        let name = format!("k{key}");
        let before = last.iter().find(|(other, _)| *other == name).map(|(_, fence)| *fence);
        let locker = locker.clone();
        takes.spawn(async move {
            let guard = locker.lock(name).acquire().await.unwrap();
            assert!(before.is_none_or(|before| guard.fence() == Some(before as u64 + 1)));
            guard.release().await.unwrap();
        });
    }
    while let Some(took) = takes.join_next().await {
        took.unwrap();
    }
    let waited = killed.elapsed();
    assert!(waited < Duration::from_secs(15), "all their leases ran out together: {waited:?}");
}

#[tokio::test]
async fn the_killed_leave_nothing_but_their_leases() {
    outlived("").await;
}

#[tokio::test]
async fn nor_without_wal() {
    outlived("?journal_mode=delete").await;
}
