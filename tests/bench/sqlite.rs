//! What a lease on SQLite costs, beside the same two statements sent by hand through the same
//! driver; how soon it passes from one process to another, and what it costs to wait for it.
//!
//! `cargo bench -p dlock-tests --bench leases-sqlite [-- FOLDER [ROUNDS]]`; under `taskset -c 0` for
//! figures without the cost of waking another core. Rounds are interleaved; medians are shown.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a measurement ends by panicking"
)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dlock::Locker;
use sqlx::ConnectOptions as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};

const ROUND: Duration = Duration::from_millis(400);

const TAKE: &str = "INSERT INTO dlock_leases (name, owner, fence, acquired_at, expires_at)
    VALUES (?1, ?2, 1, CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER),
        CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) + 10000)
    ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, fence = fence + 1,
        acquired_at = excluded.acquired_at, expires_at = excluded.expires_at
    WHERE expires_at <= excluded.acquired_at RETURNING fence";
const RELEASE: &str = "UPDATE dlock_leases SET owner = '', expires_at = 0
    WHERE name = ?1 AND owner = ?2 AND fence = ?3";

#[tokio::main]
async fn main() {
    // Cargo gives a bench `--bench`.
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let folder = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let rounds = args.next().map_or(9, |rounds| rounds.parse().unwrap());
    for synchronous in ["normal", "full"] {
        compare(&folder, synchronous, rounds).await;
        pass_on(&folder, synchronous).await;
    }
}

/// From one engine to another, which is what processes are to each other here.
async fn pass_on(folder: &Path, synchronous: &str) {
    let folder = folder.join(dlock_tests::unique("dlock-bench"));
    std::fs::create_dir(&folder).unwrap();
    let url = format!("sqlite://{}?synchronous={synchronous}", folder.join("dlock.db").display());
    let (one, two) = (Locker::connect(&url).await.unwrap(), Locker::connect(&url).await.unwrap());
    let mut latencies = Vec::new();
    for round in 0..200 {
        let (from, to) = if round % 2 == 0 { (&one, &two) } else { (&two, &one) };
        let guard = from.lock("key").acquire().await.unwrap();
        let lock = to.lock("key");
        let waiting = tokio::spawn(async move {
            let guard = lock.acquire().await.unwrap();
            (Instant::now(), guard)
        });
        tokio::time::sleep(Duration::from_millis(20 + round % 37)).await;
        let released = Instant::now();
        drop(guard);
        let (taken, guard) = waiting.await.unwrap();
        latencies.push(taken - released);
        guard.release().await.unwrap();
    }
    latencies.sort();
    let guard = one.lock("key").acquire().await.unwrap();
    let (cpu, time) = (cpu_time(), Duration::from_secs(3));
    let waited = two.lock("key").timeout(time).acquire().await;
    assert!(waited.unwrap_err().is_timeout());
    let share = (cpu_time() - cpu).as_secs_f64() / time.as_secs_f64();
    guard.release().await.unwrap();
    one.close().await;
    two.close().await;
    std::fs::remove_dir_all(&folder).unwrap();
    println!(
        "{synchronous:7} passed on to another in {:.1?} (p50), {:.1?} (p99); who waits uses {:.2} % \
         of a CPU",
        latencies[latencies.len() / 2],
        latencies[latencies.len() * 99 / 100],
        share * 100.0,
    );
}

fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

async fn compare(folder: &Path, synchronous: &str, rounds: usize) {
    let folder = folder.join(dlock_tests::unique("dlock-bench"));
    std::fs::create_dir(&folder).unwrap();
    let url = format!("sqlite://{}?synchronous={synchronous}", folder.join("dlock.db").display());
    let locker = Locker::connect(&url).await.unwrap();
    let mut raw = by_hand(&folder.join("raw.db"), synchronous).await;
    let mut pairs = [const { Vec::new() }; 3];
    for _ in 0..rounds {
        pairs[0].push(raw_pairs(&mut raw).await);
        pairs[1].push(released_pairs(&locker).await);
        pairs[2].push(dropped_pairs(&locker).await);
    }
    locker.close().await;
    std::fs::remove_dir_all(&folder).unwrap();
    let [raw, released, dropped] = pairs.map(|mut pairs| {
        pairs.sort_by(f64::total_cmp);
        pairs[pairs.len() / 2]
    });
    for (what, pairs) in [
        ("two statements by hand", raw),
        ("acquire, release().await", released),
        ("acquire, drop", dropped),
    ] {
        println!("{synchronous:7} {what:25} {pairs:9.0}/s  {:5.2} of by hand", pairs / raw);
    }
}

/// The same pragmas, table and clock.
async fn by_hand(file: &Path, synchronous: &str) -> SqliteConnection {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(match synchronous {
            "full" => SqliteSynchronous::Full,
            _ => SqliteSynchronous::Normal,
        })
        .disable_statement_logging();
    let mut raw = options.connect().await.unwrap();
    let table = dlock::lease::ddl("sqlite").unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(table)).execute(&mut raw).await.unwrap();
    raw
}

async fn raw_pairs(raw: &mut SqliteConnection) -> f64 {
    let (begun, mut pairs) = (Instant::now(), 0);
    while begun.elapsed() < ROUND {
        let take = sqlx::query_scalar::<_, i64>(TAKE).bind("key").bind("owner");
        let fence = take.fetch_one(&mut *raw).await.unwrap();
        let release = sqlx::query(RELEASE).bind("key").bind("owner").bind(fence);
        assert_eq!(release.execute(&mut *raw).await.unwrap().rows_affected(), 1);
        pairs += 1;
    }
    f64::from(pairs) / begun.elapsed().as_secs_f64()
}

async fn released_pairs(locker: &Locker) -> f64 {
    let (begun, mut pairs) = (Instant::now(), 0);
    while begun.elapsed() < ROUND {
        locker.lock("key").acquire().await.unwrap().release().await.unwrap();
        pairs += 1;
    }
    f64::from(pairs) / begun.elapsed().as_secs_f64()
}

async fn dropped_pairs(locker: &Locker) -> f64 {
    let (begun, mut pairs) = (Instant::now(), 0);
    while begun.elapsed() < ROUND {
        drop(locker.lock("key").acquire().await.unwrap());
        pairs += 1;
    }
    f64::from(pairs) / begun.elapsed().as_secs_f64()
}
