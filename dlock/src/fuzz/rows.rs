//! Rows of a lease table that anybody may have written: SQLite keeps values of any type in any column.

use std::time::Duration;

use fastrand::Rng;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _};

use super::{count, one, seeded, text};
use crate::error::Error;
use crate::locker::Locker;

/// Each costs several round trips.
const FEWER: u64 = 100;
/// No call may take this long.
const LIMIT: Duration = Duration::from_secs(20);

/// A literal of any type.
fn value(random: &mut Rng) -> String {
    const PIECES: &[&str] = &["", "dlock:", "token:", "app@host:7/1", "é", "a", "\u{1}", "9", "-"];
    match random.u8(0..8) {
        0 => "NULL".to_owned(),
        1 => random.i64(..).to_string(),
        2 => random.i8(..).to_string(),
        3 => one(random, &["9e15", "-1e300", "9e999", "0.5", "9223372036854775807", "1e18"]).into(),
        4 => format!("x'{:04x}'", random.u16(..)),
        // Now, more or less, in milliseconds.
        5 => format!(
            "CAST((julianday('now') - 2440587.5) * 86400000 + {} AS INTEGER)",
            random.i32(-9..9999)
        ),
        _ => format!("'{}'", text(random, PIECES).replace(['\'', '\0'], "")),
    }
}

async fn run(raw: &mut SqliteConnection, sql: String) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(raw).await.unwrap();
}

async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(LIMIT, future).await {
        Ok(output) => output,
        Err(_) => panic!("no answer in {LIMIT:?}: {what}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_leases_are_read_or_refused() {
    let mut random = seeded("rows of leases");
    let folder = std::env::temp_dir().join(format!("dlock-fuzz-{:016x}", fastrand::u64(..)));
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("locks.db");
    let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
    let mut raw = options.connect().await.unwrap();
    run(
        &mut raw,
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; CREATE TABLE dlock_leases \
         (name PRIMARY KEY, owner, fence, acquired_at, expires_at)"
            .into(),
    )
    .await;
    let url = format!("sqlite://{}?synchronous=normal", file.display());
    let locker = Locker::builder(&url).connect().await.unwrap();
    let (mut granted, mut refused, mut failed) = (0_u64, 0_u64, 0_u64);
    for _ in 0..count() / FEWER {
        let [owner, fence, acquired_at, expires_at] = [(); 4].map(|()| value(&mut random));
        let name = if random.u8(0..8) == 0 { value(&mut random) } else { "'k'".to_owned() };
        let row = format!("{name}, {owner}, {fence}, {acquired_at}, {expires_at}");
        let sql = format!("DELETE FROM dlock_leases; INSERT INTO dlock_leases VALUES ({row})");
        run(&mut raw, sql).await;
        if let Ok(rows) = in_time(&row, locker.status()).await {
            rows.iter().for_each(|status| drop(format!("{status:?}")));
        }
        match in_time(&row, locker.lock("k").try_acquire()).await {
            Ok(Some(guard)) => {
                granted += 1;
                // Somebody writes over the row that is held.
                let column = one(&mut random, &["owner", "fence", "expires_at"]);
                let sql = format!("UPDATE dlock_leases SET {column} = {}", value(&mut random));
                run(&mut raw, sql).await;
                let _ = in_time(&row, guard.verify()).await;
                let _ = in_time(&row, guard.release()).await;
            }
            Ok(None) => refused += 1,
            Err(Error::Timeout { .. }) => panic!("a try waits for nothing"),
            Err(_) => failed += 1,
        }
    }
    println!("fuzz: rows of leases: {granted} granted, {refused} refused, {failed} failed");
    assert!(granted > 10 && refused > 10, "{granted} granted, {refused} refused");
    run(&mut raw, "DELETE FROM dlock_leases".into()).await;
    let guard = in_time("a free key", locker.lock("k").acquire()).await.unwrap();
    in_time("its release", guard.release()).await.unwrap();
    in_time("the end", locker.close()).await;
    let _ = std::fs::remove_dir_all(&folder);
}
