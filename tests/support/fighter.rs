//! A taker that fights for its keys.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use dlock::{Error, Lock, Locker};
use dlock_tests::history::Writer;
use tokio::time::sleep;

use super::{Orders, surely_held};

/// It does not wait longer for a key that a dead one has.
const WAIT: Duration = Duration::from_secs(5);

/// Takes keys as fast as it can, so many tasks for each of the keys 0 to KEYS, until told to stop.
/// Meanwhile it says what its wall clock shows when asked for the time.
pub(crate) async fn fight(
    locker: &Locker,
    keys: &str,
    tasks: &str,
    file: &Path,
    mut orders: Orders,
) {
    let history = Arc::new(Writer::append(file));
    let (stop, stopped) = tokio::sync::watch::channel(());
    let mut fighters = tokio::task::JoinSet::new();
    for key in 0..keys.parse::<u32>().unwrap() {
        for _ in 0..tasks.parse::<u32>().unwrap() {
            let lock = locker.lock(key).timeout(WAIT);
            let (history, stopped) = (Arc::clone(&history), stopped.clone());
            fighters.spawn(async move {
                while stopped.has_changed().is_ok() {
                    fight_once(&lock, &history).await;
                }
            });
        }
    }
    drop(stopped);
    println!("begun");
    loop {
        match orders.recv().await.as_deref() {
            Some("time") => {
                println!("time {}", SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs());
            }
            Some("stop") => break,
            other => panic!("told {other:?}"),
        }
    }
    drop(stop);
    while let Some(fighter) = fighters.join_next().await {
        fighter.unwrap();
    }
    println!("done");
}

async fn fight_once(lock: &Lock, history: &Writer) {
    let guard = match lock.acquire().await {
        Ok(guard) => guard,
        Err(Error::Timeout { .. }) => return,
        Err(error) if error.is_retryable() => return sleep(Duration::from_millis(20)).await,
        Err(error) => panic!("{error}"),
    };
    let Some(at) = surely_held(&guard) else { return };
    let hold = history.acquired(&lock.key().to_string(), at, guard.fence());
    // Now and then one holds it for a while, so that it is held when the process is killed or frozen.
    let work = match fastrand::u32(..100) {
        0 => fastrand::u64(..100),
        1..10 => fastrand::u64(..4),
        _ => 0,
    };
    for _ in 0..work {
        sleep(Duration::from_millis(1)).await;
        let Some(at) = surely_held(&guard) else { return history.lost(hold) };
        history.works(hold, at);
    }
    tokio::task::yield_now().await;
    let Some(at) = surely_held(&guard) else { return history.lost(hold) };
    history.releases(hold, at);
    if fastrand::bool() {
        return drop(guard);
    }
    if guard.release().await.is_err() {
        history.lost(hold);
    }
}
