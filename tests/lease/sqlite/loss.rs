//! How a lease is kept and how it ends.

use super::*;

#[tokio::test]
async fn what_is_held_is_renewed() {
    let folder = Folder::new();
    let (one, two) = (folder.locker(300 * MS).await, folder.locker(300 * MS).await);
    let guard = one.lock("a").acquire().await.unwrap();
    let asked = Instant::now();
    let late = two.lock("a").timeout(2 * Duration::from_secs(1)).acquire().await.unwrap_err();
    assert!(late.is_timeout(), "{late}");
    assert!(asked.elapsed() >= Duration::from_secs(2));
    assert!(!guard.is_lost());
    guard.verify().await.unwrap();
    guard.release().await.unwrap();
}

#[tokio::test]
async fn a_killed_holder_is_outlived_by_its_ttl() {
    let folder = Folder::new();
    let locker = folder.locker(Duration::from_secs(2)).await;
    let mut child = process(&folder, "hold", "");
    while !folder.file("ready").exists() {
        sleep(10 * MS).await;
    }
    // Long enough for it to have lived by renewals alone.
    sleep(Duration::from_secs(3)).await;
    assert!(locker.lock("held").try_acquire().await.unwrap().is_none());
    let (killed, fence) = (Instant::now(), row(&mut folder.raw().await, "held").await.1);
    child.kill().unwrap();
    child.wait().unwrap();
    let guard = locker.lock("held").acquire().await.unwrap();
    let freed = killed.elapsed();
    assert!((Duration::from_secs(1)..Duration::from_secs(3)).contains(&freed), "{freed:?}");
    assert_eq!(guard.fence().unwrap(), fence as u64 + 1);
}

#[tokio::test]
async fn a_stolen_lease_is_noticed() {
    let folder = Folder::new();
    let locker = folder.locker(6000 * MS).await;
    let guard = locker.lock("a").acquire().await.unwrap();
    let mut raw = folder.raw().await;
    sleep(400 * MS).await;
    sqlx::query("UPDATE dlock_leases SET owner = 'thief', fence = 7, expires_at = 9e15")
        .execute(&mut raw)
        .await
        .unwrap();
    // By the next renewal, and not by the end of its time.
    let loss = timeout(Duration::from_secs(6), guard.lost()).await.unwrap();
    assert_eq!(loss.reason, LostReason::NotHeld);
    assert!(guard.verify().await.unwrap_err().is_lost());
    assert!(guard.release().await.unwrap_err().is_lost());
    sleep(100 * MS).await;
    assert_eq!(row(&mut raw, "a").await.0, "thief", "not freed by the one who lost it");
    assert_eq!(row(&mut raw, "a").await.2, 9_000_000_000_000_000);
    assert!(locker.lock("a").try_acquire().await.unwrap().is_none());

    let guard = locker.lock("c").acquire().await.unwrap();
    sqlx::query("UPDATE dlock_leases SET expires_at = 1 WHERE name = 'c'")
        .execute(&mut raw)
        .await
        .unwrap();
    let loss = timeout(Duration::from_secs(6), guard.lost())
        .await
        .expect("what has run out is not renewed");
    assert_eq!(loss.reason, LostReason::NotHeld);

    let guard = locker.lock("b").acquire().await.unwrap();
    sqlx::query("UPDATE dlock_leases SET owner = 'thief'").execute(&mut raw).await.unwrap();
    assert!(guard.verify().await.unwrap_err().is_lost(), "asked, it is known at once");
}

#[tokio::test]
async fn a_lease_that_cannot_be_renewed_is_lost_before_it_ends() {
    let folder = Folder::new();
    let locker = folder.locker(600 * MS).await;
    let guard = locker.lock("a").acquire().await.unwrap();
    let mut raw = folder.raw().await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut raw).await.unwrap();
    let loss = timeout(Duration::from_secs(2), guard.lost()).await.unwrap();
    assert_eq!(loss.reason, LostReason::Unconfirmed);
    let left: f64 = sqlx::query_scalar(
        "SELECT expires_at - (julianday('now') - 2440587.5) * 86400000 FROM dlock_leases",
    )
    .fetch_one(&mut raw)
    .await
    .unwrap();
    assert!((-200.0..=10.0).contains(&left), "the row has run out by {left} ms");
    sqlx::raw_sql("COMMIT").execute(&mut raw).await.unwrap();
    let again = locker.lock("a").acquire().await.unwrap();
    assert_eq!(again.fence(), guard.fence().map(|fence| fence + 1));
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_is_replaced_takes_its_locks_with_it() {
    let folder = Folder::new();
    let one = folder.locker(900 * MS).await;
    let guard = one.lock("a").acquire().await.unwrap();
    for file in ["locks.db", "locks.db-wal", "locks.db-shm"] {
        std::fs::remove_file(folder.file(file)).unwrap();
    }
    // SQLite itself would go on in the deleted file.
    let loss = timeout(Duration::from_secs(2), guard.lost()).await.unwrap();
    assert_eq!(loss.reason, LostReason::NotHeld);
    let two = folder.locker(900 * MS).await;
    let guard = two.lock("b").acquire().await.unwrap();
    assert!(one.lock("b").try_acquire().await.unwrap().is_none(), "both are in the new file");
    guard.release().await.unwrap();
    one.lock("b").acquire().await.unwrap().release().await.unwrap();
}
