//! Files that are moved, and disks that are full or cannot be written.

use dlock_tests::Disk;

use super::*;

/// A folder on a small disk, where this process may mount one.
fn small_disk(test: &str) -> Option<(Folder, Disk)> {
    let folder = Folder::new();
    let disk = Disk::mount(&folder.0, "1m");
    if disk.is_none() {
        dlock_tests::not_run(test, "this user cannot mount a small disk");
    }
    Some((folder, disk?))
}

#[tokio::test]
async fn a_full_disk_is_waited_for() {
    let Some((folder, disk)) = small_disk("sqlite disks::a_full_disk_is_waited_for") else {
        return;
    };
    for parameters in ["", "?journal_mode=delete"] {
        let locker = folder.locker_with(parameters, 1500 * MS).await;
        let kept = locker.lock("kept").acquire().await.unwrap();
        let before = kept.fence().unwrap();
        disk.fill();
        // WAL goes on in what room it has.
        let mut held = Vec::new();
        let error = loop {
            let lock = locker.lock(format!("k{}", held.len())).timeout(300 * MS);
            match lock.acquire().await {
                Ok(guard) => held.push(guard),
                Err(error) => break error,
            }
        };
        assert!(error.is_timeout() || matches!(error, Error::Unavailable { .. }), "{error:?}");
        let loss = timeout(Duration::from_secs(4), kept.lost()).await.expect("it is told");
        assert_eq!(loss.reason, LostReason::Unconfirmed);
        disk.free();
        let again = locker.lock("kept").timeout(Duration::from_secs(5)).acquire().await.unwrap();
        assert!(again.fence().unwrap() > before);
        again.release().await.unwrap();
        drop(held);
        locker.close().await;
        let mut raw = folder.raw().await;
        let check = sqlx::query_scalar::<_, String>("PRAGMA integrity_check");
        assert_eq!(check.fetch_one(&mut raw).await.unwrap(), "ok");
    }
}

#[tokio::test]
async fn a_disk_that_cannot_be_written_is_refused() {
    let test = "sqlite disks::a_disk_that_cannot_be_written_is_refused";
    let Some((folder, disk)) = small_disk(test) else { return };
    folder.locker(Duration::from_secs(5)).await.close().await;
    assert!(disk.make_read_only());
    let error = Locker::connect(&folder.url()).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("write it"), "{source}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_copy_in_its_place_goes_on() {
    let folder = Folder::new();
    let one = folder.locker(900 * MS).await;
    let guard = one.lock("a").acquire().await.unwrap();
    for end in ["", "-wal", "-shm"] {
        let file = folder.file(&format!("locks.db{end}"));
        let moved = folder.file(&format!("moved.db{end}"));
        std::fs::rename(&file, &moved).unwrap();
        if end != "-shm" {
            std::fs::copy(&moved, &file).unwrap();
        }
    }
    // SQLite itself would renew it in the file that was moved away.
    sleep(Duration::from_secs(2)).await;
    let two = folder.locker(900 * MS).await;
    assert!(two.lock("a").try_acquire().await.unwrap().is_none(), "its row is in the copy");
    guard.verify().await.unwrap();
    let fence = guard.fence().map(|fence| fence + 1);
    guard.release().await.unwrap();
    let next = two.lock("a").acquire().await.unwrap();
    assert_eq!(next.fence(), fence);
    assert!(one.lock("a").try_acquire().await.unwrap().is_none());
}
