//! Many processes with many tasks on one file.

use super::*;

const KEYS: usize = 4;

/// Counts up, in so many tasks, under a lock.
pub(super) async fn count(folder: &Folder, locker: &Locker, tasks: usize, times: usize) {
    let mut counting = tokio::task::JoinSet::new();
    for task in 0..tasks {
        let name = format!("count{}", task % KEYS);
        let (locker, file) = (locker.clone(), folder.file(&name));
        counting.spawn(async move {
            let mut last = 0;
            for _ in 0..times {
                let lock = locker.lock(&*name).timeout(Duration::from_secs(60));
                let guard = lock.acquire().await.unwrap();
                let fence = guard.fence().unwrap();
                assert!(fence > last, "{fence} after {last}");
                last = fence;
                increment(&file);
                guard.release().await.unwrap();
            }
        });
    }
    while let Some(counted) = counting.join_next().await {
        counted.unwrap();
    }
}

async fn all_count(processes: usize, part: &str, parameters: &str, counts: [u64; KEYS]) {
    let folder = Folder::new();
    let mut children: Vec<_> = (0..processes).map(|_| process(&folder, part, parameters)).collect();
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    let mut raw = folder.raw().await;
    for (key, expected) in counts.into_iter().enumerate().filter(|(_, expected)| *expected > 0) {
        let name = format!("count{key}");
        let counted = std::fs::read_to_string(folder.file(&name)).unwrap();
        assert_eq!(counted, expected.to_string());
        let (_, fence, expires_at) = row(&mut raw, &name).await;
        assert_eq!(expires_at, 0, "the row stays, and is free");
        assert!(fence as u64 >= expected, "a fence for each grant: {fence}");
    }
}

#[tokio::test]
async fn processes_exclude_each_other() {
    all_count(4, "count", "", [400, 0, 0, 0]).await;
}

#[tokio::test]
async fn eight_processes_with_eight_tasks_each() {
    all_count(8, "crowd", "", [192; KEYS]).await;
}

#[tokio::test]
async fn the_same_without_wal() {
    all_count(8, "crowd", "?journal_mode=delete&synchronous=normal", [192; KEYS]).await;
}

#[cfg(unix)]
#[tokio::test]
async fn the_same_where_wal_cannot_be_had() {
    // Has no shared memory, and locks the whole file, readers and all: as bad as file systems are.
    all_count(4, "crowd", "?vfs=unix-dotfile&synchronous=normal", [96; KEYS]).await;
}
