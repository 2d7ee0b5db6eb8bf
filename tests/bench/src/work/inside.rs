//! W10: what a process decides alone: a try of a key that another task has, and a lock that passes from
//! task to task. All on one thread, so that nothing but that is measured.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dlock::{Locker, Wait};
use tokio::task::JoinSet;

use crate::args::Args;
use crate::clock::{now, percentile};

/// Fewer than may pass without the database.
const CHAIN: usize = 6;

pub async fn run(args: &Args) -> String {
    let mut builder = Locker::builder(&args.url).application_name("bench-dlock");
    if args.who == "dlock-here" {
        builder = builder.runtime(tokio::runtime::Handle::current());
    }
    let locker = builder.connect().await.unwrap();
    let end = now() + args.window().as_nanos() as u64;
    let (mut tries, mut passes) = (Vec::new(), Vec::new());
    while now() < end {
        let guard = locker.lock("bench:inside").acquire().await.unwrap();
        let lock = locker.lock("bench:inside");
        // The engine is awake for a moment after it has granted.
        tokio::time::sleep(Duration::from_millis(1)).await;
        for _ in 0..1000 {
            let begun = now();
            assert!(lock.try_acquire().await.unwrap().is_none());
            tries.push((now() - begun) as i64);
        }
        drop(guard);
        passes.extend(chain(&locker).await);
    }
    let (try_p50, pass_p50) = (percentile(&mut tries, 0.5), percentile(&mut passes, 0.5));
    format!("{{\"refused_us\":{try_p50},\"handoff_us\":{pass_p50}}}")
}

/// How long each hand-off takes: from the release of one task to the return of the next one's acquire.
async fn chain(locker: &Locker) -> Vec<i64> {
    let guard = locker.lock("bench:inside").acquire().await.unwrap();
    let times = Arc::new(Mutex::new(Vec::with_capacity(2 * CHAIN)));
    let mut tasks = JoinSet::new();
    for _ in 0..CHAIN {
        let (lock, times) =
            (locker.lock("bench:inside").timeout(Wait::Forever), Arc::clone(&times));
        tasks.spawn(async move {
            let guard = lock.acquire().await.unwrap();
            times.lock().unwrap().push(now());
            times.lock().unwrap().push(now());
            drop(guard);
        });
    }
    // Each stands in line then, and the engine has nothing to do.
    tokio::time::sleep(Duration::from_millis(1)).await;
    drop(guard);
    while tasks.join_next().await.is_some() {}
    let times = times.lock().unwrap();
    // From the second time of one to the first time of the next one.
    times[1..].chunks_exact(2).map(|pair| (pair[1] - pair[0]) as i64).collect()
}
