//! A process that holds a key through a fault, and somebody who waits for it.

use std::time::Duration;

use dlock::Locker;
use dlock_tests::{Launch, Site, Taker, Temp, clock, history, in_time, taker};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::figures::Outcome;

/// When everybody must have the lock, and everybody must know, on a busy machine.
const AT_LAST: Duration = Duration::from_secs(45);

/// A process that holds a key, and a task that waits for it.
pub(crate) struct Holder {
    pub(crate) taker: Taker,
    folder: Temp,
    next: JoinHandle<u64>,
}

impl Holder {
    /// Starts the process so; it has the key.
    pub(crate) async fn new(
        site: &Site,
        launch: impl Into<Launch>,
        others: &Locker,
        key: &str,
    ) -> Self {
        let next = |key: &str| Self::follow(others, key);
        Self::with_next(site, launch, key, next).await
    }

    /// The same with another who waits: a task that returns when it had the key.
    pub(crate) async fn with_next(
        site: &Site,
        launch: impl Into<Launch>,
        key: &str,
        next: impl FnOnce(&str) -> JoinHandle<u64>,
    ) -> Self {
        let folder = Temp::new();
        let mut taker = taker!(site, by launch, "beat", key, folder.file("beats").display());
        assert!(taker.line().await.starts_with("held"));
        let next = next(key);
        Holder { taker, folder, next }
    }

    fn follow(others: &Locker, key: &str) -> JoinHandle<u64> {
        let (others, key) = (others.clone(), key.to_owned());
        tokio::spawn(async move {
            loop {
                // In slices: a server that restarts answers with errors, or for a time not at all.
                match others.lock(&key).timeout(Duration::from_secs(5)).acquire().await {
                    Ok(_guard) => return clock::now(),
                    Err(error) if error.is_timeout() || error.is_retryable() => {
                        sleep(Duration::from_millis(10)).await;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        })
    }

    /// When it last did something under its lock.
    pub(crate) fn last_act(&self) -> u64 {
        let held = history::read(&self.folder.file("beats"), "the holder", true);
        held.iter().map(|hold| hold.until).max().unwrap_or(0)
    }

    /// Whether the next one has the key.
    pub(crate) fn is_followed(&self) -> bool {
        self.next.is_finished()
    }

    /// What came of a fault that no holder keeps its lock through. `told_from`: from when on it can know; `None` if
    /// it is dead.
    pub(crate) async fn outcome(mut self, fault_at: u64, told_from: Option<u64>) -> Outcome {
        let next = in_time("the next one's lock", AT_LAST, &mut self.next).await.unwrap();
        if told_from.is_some() {
            let line = in_time("news of the loss", AT_LAST, self.taker.line()).await;
            assert!(line.starts_with("lost"), "{line}");
        }
        Outcome::read(&self.folder.file("beats"), fault_at, told_from, next)
    }

    /// What came of a fault that a holder may keep its lock through. If it has heard of no loss after this time, it is
    /// killed, and the next one comes.
    pub(crate) async fn outcome_if_kept(mut self, fault_at: u64, time: Duration) -> Outcome {
        let file = self.folder.file("beats");
        if let Ok(line) = timeout(time, self.taker.line()).await {
            assert!(line.starts_with("lost"), "{line}");
            let next = in_time("the next one's lock", AT_LAST, &mut self.next).await.unwrap();
            return Outcome::read(&file, fault_at, Some(fault_at), next);
        }
        let kept_until = clock::now();
        let seen = history::read(&file, "the holder", true);
        assert!(seen.iter().all(|hold| hold.until > fault_at), "it neither works nor knows");
        self.taker.kill();
        // What it has forked ends too.
        self.taker.hang_up();
        self.outcome(kept_until, None).await.kept()
    }
}
