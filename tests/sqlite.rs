//! SQLite: what a lease table in a file promises, over lockers, processes, kills and busy files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails"
)]

use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dlock::{Error, LeaseOptions, Locker, LostReason};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqlitePoolOptions};
use sqlx::{ConnectOptions, Connection, Row};
use tokio::time::{sleep, timeout};

const MS: Duration = Duration::from_millis(1);

/// A folder of its own for each test, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let name = format!("dlock-sqlite-{}-{:x}", std::process::id(), fastrand::u64(..));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn url(&self) -> String {
        format!("sqlite://{}", self.file("locks.db").display())
    }

    async fn locker(&self, ttl: Duration) -> Locker {
        let lease = LeaseOptions::new().ttl(ttl);
        Locker::builder(&self.url()).lease(lease).connect().await.unwrap()
    }

    /// A look at the file from outside.
    async fn raw(&self) -> SqliteConnection {
        raw(&self.file("locks.db")).await
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn raw(file: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(file).connect().await.unwrap()
}

/// `(owner, fence, expires_at)` of a row.
async fn row(connection: &mut SqliteConnection, name: &str) -> (String, i64, i64) {
    let row = sqlx::query("SELECT owner, fence, expires_at FROM dlock_leases WHERE name = ?")
        .bind(name)
        .fetch_one(connection)
        .await
        .unwrap();
    (row.get(0), row.get(1), row.get(2))
}

/// Adds one to the number in a file, badly.
fn increment(file: &Path) {
    let count: u64 = std::fs::read_to_string(file).ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    std::thread::yield_now();
    std::fs::write(file, (count + 1).to_string()).unwrap();
}

/// Runs `part` of this very file in a process of its own.
fn process(folder: &Folder, part: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "process_of_another_test", "--nocapture"])
        .env("DLOCK_TEST_PART", part)
        .env("DLOCK_TEST_FOLDER", &folder.0)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Not a test by itself: the others start it.
#[tokio::test]
async fn process_of_another_test() {
    let Ok(part) = std::env::var("DLOCK_TEST_PART") else { return };
    // Not this process' folder to delete.
    let folder = ManuallyDrop::new(Folder(std::env::var("DLOCK_TEST_FOLDER").unwrap().into()));
    let locker = folder.locker(Duration::from_secs(2)).await;
    match &*part {
        "count" => {
            let mut last = 0;
            for _ in 0..100 {
                let guard = locker.lock("count").acquire().await.unwrap();
                let fence = guard.fence().unwrap();
                assert!(fence >= last, "{fence} after {last}");
                last = fence;
                increment(&folder.file("count"));
                guard.release().await.unwrap();
            }
        }
        "hold" => {
            let _guard = locker.lock("held").acquire().await.unwrap();
            std::fs::write(folder.file("ready"), "").unwrap();
            sleep(Duration::from_secs(60)).await;
        }
        other => panic!("{other}"),
    }
    locker.close().await;
}

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
    let mut child = process(&folder, "hold");
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
async fn a_stolen_lease_is_noticed() {
    let folder = Folder::new();
    let locker = folder.locker(900 * MS).await;
    let guard = locker.lock("a").acquire().await.unwrap();
    let mut raw = folder.raw().await;
    sleep(400 * MS).await;
    sqlx::query("UPDATE dlock_leases SET owner = 'thief', fence = 7, expires_at = 9e15")
        .execute(&mut raw)
        .await
        .unwrap();
    let stolen = Instant::now();
    let loss = timeout(Duration::from_secs(1), guard.lost()).await.unwrap();
    assert!(stolen.elapsed() < 350 * MS, "{:?}", stolen.elapsed());
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
    let loss = timeout(400 * MS, guard.lost()).await.expect("what has run out is not renewed");
    assert_eq!(loss.reason, LostReason::NotHeld);

    let guard = locker.lock("b").acquire().await.unwrap();
    sqlx::query("UPDATE dlock_leases SET owner = 'thief'").execute(&mut raw).await.unwrap();
    assert!(guard.verify().await.unwrap_err().is_lost(), "asked, it is known at once");
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
    assert_eq!(again.fence(), Some(2));
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
async fn cancelled_acquires_leave_nothing() {
    let folder = Folder::new();
    let (one, two) =
        (folder.locker(Duration::from_secs(5)).await, folder.locker(Duration::from_secs(5)).await);
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..500_u64 {
        let locker = if n % 2 == 0 { one.clone() } else { two.clone() };
        tasks.spawn(async move {
            let key = format!("k{}", n % 5);
            let patience = fastrand::u32(0..20_000);
            let _ = timeout(patience * (MS / 1000), locker.lock(key).acquire()).await;
        });
    }
    tasks.join_all().await;
    for n in 0..5 {
        let key = format!("k{n}");
        let wait = Duration::from_secs(1);
        one.lock(&*key).timeout(wait).acquire().await.unwrap().release().await.unwrap();
        two.lock(&*key).timeout(wait).acquire().await.unwrap().release().await.unwrap();
    }
    one.close().await;
    two.close().await;
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM dlock_leases WHERE expires_at > 0")
        .fetch_one(&mut folder.raw().await)
        .await
        .unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn odd_keys_are_locks_of_their_own() {
    let folder = Folder::new();
    let locker = folder.locker(Duration::from_secs(5)).await;
    let long = "x".repeat(10_000);
    let keys = [
        "",
        "a",
        "A",
        "a ",
        "é",
        "\"",
        "\\",
        "'",
        "\0",
        "a\0b",
        "\u{1F512}",
        "%",
        "%20",
        "\n",
        &long,
    ];
    let mut guards = Vec::new();
    for key in keys {
        guards.push(locker.lock(key).try_acquire().await.unwrap().expect(key));
    }
    for guard in guards {
        guard.verify().await.unwrap();
        guard.release().await.unwrap();
    }
}

#[tokio::test]
async fn a_pools_leases_are_beside_its_file() {
    let folder = Folder::new();
    let options =
        SqliteConnectOptions::new().filename(folder.file("app.db")).create_if_missing(true);
    let pool = SqlitePoolOptions::new().connect_with(options).await.unwrap();
    let lease = LeaseOptions::new().ttl(300 * MS);
    let locker = Locker::from_pool(&pool).lease(lease).connect().await.unwrap();
    assert!(folder.file("app.db-dlock").exists());
    let mut application = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let guard = locker.lock("a").acquire().await.unwrap();
    sqlx::query("CREATE TABLE t (x)").execute(&mut *application).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    guard.release().await.unwrap();
    application.commit().await.unwrap();

    let pool = SqlitePoolOptions::new().connect("sqlite::memory:").await.unwrap();
    let error = Locker::from_pool(&pool).connect().await.unwrap_err();
    assert!(matches!(error, Error::Config { .. }) && error.to_string().contains("file"), "{error}");
}

#[tokio::test]
async fn what_cannot_be_a_lock_is_refused() {
    let folder = Folder::new();
    let url = folder.url();
    for (url, say) in [
        ("sqlite::memory:", "memory:"),
        ("sqlite://:memory:", "memory:"),
        ("sqlite://", "memory:"),
        ("sqlite://x?mode=memory", "memory:"),
        (&format!("{url}?mode=ro"), "mode=ro"),
        (&format!("{url}?synchronous=off"), "synchronous=off"),
        (&format!("{url}?colour=red"), "colour"),
    ] {
        let error = Locker::connect(url).await.unwrap_err();
        assert!(matches!(error, Error::Config { .. }), "{url}: {error}");
        assert!(error.to_string().contains(say), "{url}: {error}");
    }
    let error = Locker::connect(&format!("{url}?mode=rw")).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    let error = Locker::connect("sqlite:///no/such/folder/locks.db").await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    let short = Locker::builder(&url).lease(LeaseOptions::new().ttl(99 * MS)).connect().await;
    assert!(matches!(short.unwrap_err(), Error::Config { .. }));

    std::fs::write(folder.file("text"), "not a database, but longer than its header".repeat(50))
        .unwrap();
    let error =
        Locker::connect(&format!("sqlite://{}", folder.file("text").display())).await.unwrap_err();
    assert!(matches!(error, Error::Config { .. }), "{error}");

    let options =
        SqliteConnectOptions::new().filename(folder.file("old.db")).create_if_missing(true);
    let mut old = options.connect().await.unwrap();
    sqlx::raw_sql("CREATE TABLE dlock_leases (name TEXT PRIMARY KEY, owner, expires_at)")
        .execute(&mut old)
        .await
        .unwrap();
    old.close().await.unwrap();
    let error = Locker::connect(&format!("sqlite://{}", folder.file("old.db").display()))
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Config { .. }) && error.to_string().contains("fence"),
        "{error}"
    );

    assert!(Locker::connect(&format!("{url}?synchronous=normal")).await.is_ok());
}
