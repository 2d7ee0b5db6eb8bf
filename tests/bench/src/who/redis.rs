//! rslock, on one Redis.

use std::time::Duration;

use rslock::{Lock, LockManager};

use crate::args::Args;
use crate::locks::Locks;

#[derive(Clone)]
pub struct Rslock(LockManager);

impl Rslock {}

impl Locks for Rslock {
    type Held = Lock;

    async fn connect(args: &Args) -> Self {
        let mut manager = LockManager::new(vec![args.url.clone()]);
        // It waits by trying again: often enough not to be slow, for as long as it takes.
        manager.set_retry(1_000_000, Duration::from_millis(1));
        Rslock(manager)
    }

    async fn acquire(&self, key: &str, timeout: Option<Duration>) -> Option<Lock> {
        let lock = self.0.lock(key, Duration::from_secs(60));
        match timeout {
            Some(time) => tokio::time::timeout(time, lock).await.ok()?.ok(),
            None => Some(lock.await.unwrap()),
        }
    }

    async fn release(&self, held: Lock) {
        self.0.unlock(&held).await;
    }
}
