//! The keys that were fought over a moment ago.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::claim::Claim;

/// A key that was refused this short a time ago would be refused again.
const HOT: Duration = Duration::from_millis(100);
/// More than this many are looked through for those that have cooled down.
const MANY: usize = 1024;

/// When which key was last refused or waited for.
#[derive(Default)]
pub(super) struct Hot(HashMap<Claim, Instant>);

impl Hot {
    pub(super) fn contains(&self, claim: &Claim) -> bool {
        self.0.get(claim).is_some_and(|refused| refused.elapsed() < HOT)
    }

    pub(super) fn insert(&mut self, claim: Claim) {
        if self.0.len() >= MANY {
            self.0.retain(|_, refused| refused.elapsed() < HOT);
        }
        self.0.insert(claim, Instant::now());
    }
}
