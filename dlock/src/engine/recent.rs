//! To what locks something happened a moment ago.

use std::time::Duration;

use tokio::time::Instant;

use super::map::Map;
use crate::spec::lock_id::LockId;

/// More than this many are looked through for those that are over.
const MANY: usize = 1024;

/// When it last happened to which lock, as long as that counts.
pub(super) struct Recent {
    counts: Duration,
    at: Map<LockId, Instant>,
}

impl Recent {
    pub(super) fn new(counts: Duration) -> Self {
        Recent { counts, at: Map::default() }
    }

    pub(super) fn contains(&self, lock_id: &LockId) -> bool {
        self.at.get(lock_id).is_some_and(|at| at.elapsed() <= self.counts)
    }

    pub(super) fn insert(&mut self, lock_id: LockId) {
        if self.at.len() >= MANY {
            self.at.retain(|_, at| at.elapsed() <= self.counts);
        }
        self.at.insert(lock_id, Instant::now());
    }
}
