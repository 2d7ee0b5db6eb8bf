//! What a process costs that only holds a lock.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use dlock::Locker;

use crate::args::Args;
use crate::server::Server;

/// Three heartbeats.
const TTL: Duration = Duration::from_secs(9);

pub async fn run(args: &Args) -> String {
    let mut server = Server::at(&args.url).await;
    let locker = Locker::builder(&args.url).session_ttl(TTL).connect().await.unwrap();
    let guard = locker.lock("bench:idle").acquire().await.unwrap();
    // Past what the server was asked for the lock, and off the beat.
    std::thread::sleep(Duration::from_secs(1));
    let statements = server.statements().await;
    let before = switches();
    // The locker has a thread of its own: nothing else runs here, and this is one wake-up.
    std::thread::sleep(args.window());
    let after = switches();
    let statements = server.statements().await - statements;
    guard.verify().await.unwrap();
    guard.release().await.unwrap();
    let woken: i64 = after.iter().map(|(id, n)| n - before.get(id).unwrap_or(&0)).sum();
    // A thread that is gone was woken to end.
    let ended = before.keys().filter(|id| !after.contains_key(*id)).count() as i64;
    format!(
        r#"{{"statements_per_s":{:.3},"wakeups_per_s":{:.3},"threads":{}}}"#,
        statements as f64 / args.seconds,
        (woken + ended) as f64 / args.seconds,
        after.len()
    )
}

/// How often each thread of this process has gone to sleep.
fn switches() -> HashMap<String, i64> {
    let tasks =
        fs::read_dir("/proc/self/task").expect("only Linux tells how often threads wake up");
    let counted = tasks.flatten().filter_map(|task| {
        // One that is just ending has no file any more.
        let status = fs::read_to_string(task.path().join("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        Some((task.file_name().to_string_lossy().into_owned(), line.trim().parse().ok()?))
    });
    counted.collect()
}
