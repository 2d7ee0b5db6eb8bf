//! To what claims something happened a moment ago.

use std::time::Duration;

use tokio::time::Instant;

use super::map::Map;
use crate::spec::lock_id::Claim;

/// More than this many are looked through for those that are over.
const MANY: usize = 1024;

/// When it last happened to which claim, as long as that counts.
pub(super) struct Recent {
    counts: Duration,
    at: Map<Claim, Instant>,
}

impl Recent {
    pub(super) fn new(counts: Duration) -> Self {
        Recent { counts, at: Map::default() }
    }

    pub(super) fn contains(&self, claim: &Claim) -> bool {
        self.at.get(claim).is_some_and(|at| at.elapsed() <= self.counts)
    }

    pub(super) fn insert(&mut self, claim: Claim) {
        if self.at.len() >= MANY {
            self.at.retain(|_, at| at.elapsed() <= self.counts);
        }
        self.at.insert(claim, Instant::now());
    }
}
