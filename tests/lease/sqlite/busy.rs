//! A file that others read and write too.

use super::*;

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
    assert!(began.elapsed() < busy, "connected in {:?}", began.elapsed());
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
    let soon_after = busy..busy + Duration::from_secs(5);
    assert!(soon_after.contains(&tried), "{tried:?}");
    assert!(soon_after.contains(&taken), "{taken:?}");
    assert!(soon_after.contains(&released), "{released:?}");
    assert!((500 * MS..busy).contains(&gave_up), "{gave_up:?}");
}

#[tokio::test]
async fn a_transaction_shorter_than_the_lease_costs_nobody_the_lock() {
    // The application's own file, which it was free to choose.
    let folder = Folder::new();
    for parameters in ["", "?journal_mode=delete"] {
        let locker = folder.locker_with(parameters, Duration::from_secs(3)).await;
        let guard = locker.lock("a").acquire().await.unwrap();
        let mut raw = folder.raw().await;
        for _ in 0..2 {
            sqlx::raw_sql("BEGIN EXCLUSIVE").execute(&mut raw).await.unwrap();
            sleep(Duration::from_millis(1700)).await;
            sqlx::raw_sql("COMMIT").execute(&mut raw).await.unwrap();
            sleep(300 * MS).await;
        }
        guard.verify().await.unwrap();
        guard.release().await.unwrap();
        locker.close().await;
    }
}

#[tokio::test]
async fn who_waits_for_a_lease_does_not_wait_for_writers() {
    let folder = Folder::new();
    let (one, two) = (
        folder.locker(Duration::from_secs(10)).await,
        folder.locker(Duration::from_secs(10)).await,
    );
    let guard = one.lock("a").acquire().await.unwrap();
    assert!(two.lock("a").try_acquire().await.unwrap().is_none());
    let mut raw = folder.raw().await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut raw).await.unwrap();
    // A try waits for the file, but not for ever: it would be an error in the end.
    assert!(two.lock("a").try_acquire().await.unwrap().is_none(), "it is seen by reading");
    sqlx::raw_sql("COMMIT").execute(&mut raw).await.unwrap();
    guard.release().await.unwrap();
    assert!(two.lock("a").try_acquire().await.unwrap().is_some());
    // The same with several at once: some are held, some free, some given back.
    let held = one.lock("b1").acquire().await.unwrap();
    for _ in 0..2 {
        let (b1, b2) = (two.lock("b1"), two.lock("b2"));
        let (b1, b2) = tokio::join!(b1.try_acquire(), b2.try_acquire());
        assert!(b1.unwrap().is_none() && b2.unwrap().is_some());
    }
    held.release().await.unwrap();
    assert!(two.lock("b1").try_acquire().await.unwrap().is_some());
}

#[tokio::test]
async fn a_named_owner_takes_back_what_it_was_refused() {
    let folder = Folder::new();
    let (one, two) = (
        folder.locker(Duration::from_secs(10)).await,
        folder.locker(Duration::from_secs(10)).await,
    );
    let guard = one.lock("a").owner("me").acquire().await.unwrap();
    assert!(two.lock("a").try_acquire().await.unwrap().is_none());
    assert!(two.lock("a").try_acquire().await.unwrap().is_none());
    let again = two.lock("a").owner("me").try_acquire().await.unwrap().unwrap();
    assert_eq!(again.fence(), Some(guard.fence().unwrap() + 1));
}

#[tokio::test]
async fn a_file_that_is_busy_at_first_is_opened() {
    let folder = Folder::new();
    let file = folder.file("locks.db");
    let mut raw = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
    raw = raw.busy_timeout(Duration::ZERO);
    let mut raw = raw.connect().await.unwrap();
    for begin in ["BEGIN EXCLUSIVE", "BEGIN IMMEDIATE", "BEGIN; SELECT * FROM sqlite_schema"] {
        sqlx::raw_sql(begin).execute(&mut raw).await.unwrap();
        let rest = async {
            sleep(1200 * MS).await;
            sqlx::raw_sql("COMMIT").execute(&mut raw).await.unwrap();
        };
        let open = async {
            let locker = folder.locker(Duration::from_secs(5)).await;
            locker.lock("a").acquire().await.unwrap().release().await.unwrap();
            locker.close().await;
        };
        tokio::join!(rest, open);
        sqlx::raw_sql("PRAGMA journal_mode = DELETE").execute(&mut raw).await.unwrap();
    }
}

#[tokio::test]
async fn readers_are_waited_for_without_wal() {
    let folder = Folder::new();
    let locker = folder.locker_with("?journal_mode=delete", Duration::from_secs(3)).await;
    let guard = locker.lock("held").acquire().await.unwrap();
    let mut raw = folder.raw().await;
    sqlx::raw_sql("BEGIN; SELECT * FROM dlock_leases").execute(&mut raw).await.unwrap();
    let read = async {
        sleep(Duration::from_millis(1500)).await;
        sqlx::raw_sql("COMMIT").execute(&mut raw).await.unwrap();
    };
    let take = async {
        let a = locker.lock("a").acquire().await.unwrap();
        a.release().await.unwrap();
    };
    tokio::join!(read, take);
    guard.verify().await.unwrap();
    guard.release().await.unwrap();
}

#[tokio::test]
async fn checkpoints_are_waited_for() {
    let folder = Folder::new();
    let locker = folder.locker(Duration::from_secs(3)).await;
    let stop = std::sync::atomic::AtomicBool::new(false);
    let mut raw = folder.raw().await;
    let checkpoints = async {
        let mut done = 0;
        while !stop.load(std::sync::atomic::Ordering::Relaxed) {
            let checkpoint = sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)");
            checkpoint.execute(&mut raw).await.unwrap();
            done += 1;
        }
        done
    };
    let takes = async {
        let mut last = None;
        for _ in 0..300 {
            let guard = locker.lock("a").acquire().await.unwrap();
            assert!(last.is_none_or(|last| guard.fence() == Some(last + 1)));
            last = guard.fence();
            guard.release().await.unwrap();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    let (done, ()) = tokio::join!(checkpoints, takes);
    assert!(done > 0);
}
