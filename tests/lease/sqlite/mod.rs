//! SQLite: what a lease table in a file promises, over lockers, processes, kills and busy files.
mod address;
mod busy;
mod crowd;
mod disks;
mod exclusion;
mod kills;
mod loss;
mod tables;

use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dlock::{Error, LeaseOptions, Locker, LostReason};
use dlock_tests::once_within;
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
        self.locker_with("", ttl).await
    }

    /// Its url ends so.
    async fn locker_with(&self, parameters: &str, ttl: Duration) -> Locker {
        let lease = LeaseOptions::new().ttl(ttl);
        let url = self.url() + parameters;
        Locker::builder(&url).lease_options(lease).connect().await.unwrap()
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

/// Runs `part` of this very file in a process of its own, with a url that ends so.
fn process(folder: &Folder, part: &str, parameters: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sqlite::process_of_another_test", "--nocapture"])
        .env("DLOCK_TEST_PART", part)
        .env("DLOCK_TEST_FOLDER", &folder.0)
        .env("DLOCK_TEST_PARAMETERS", parameters)
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
    let parameters = std::env::var("DLOCK_TEST_PARAMETERS").unwrap();
    let locker = folder.locker_with(&parameters, Duration::from_secs(2)).await;
    match &*part {
        "count" => crowd::count(&folder, &locker, 1, 100).await,
        "crowd" => crowd::count(&folder, &locker, 8, 12).await,
        "churn" => kills::churn(&folder, &locker).await,
        "hold" => {
            let _guard = locker.lock("held").acquire().await.unwrap();
            std::fs::write(folder.file("ready"), "").unwrap();
            sleep(Duration::from_secs(60)).await;
        }
        other => panic!("{other}"),
    }
    locker.close().await;
}
