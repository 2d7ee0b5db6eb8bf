//! The clocks, read once for each turn of the engine's loop.

use std::cell::Cell;

use tokio::time::Instant;

use super::core::Now;
use crate::clock::{Time, Wall};

/// See the [module](self).
#[derive(Default)]
pub(super) struct TurnClock {
    /// The database's clock is this machine's.
    is_ours: bool,
    now: Cell<Option<Now>>,
}

impl TurnClock {
    /// `is_ours`: the database's clock is this machine's.
    pub(super) fn new(is_ours: bool) -> Self {
        TurnClock { is_ours, now: Cell::new(None) }
    }

    /// When it is in this turn.
    pub(super) fn now(&self) -> Now {
        let now = self.now.get().unwrap_or_else(|| Now {
            timer: Instant::now().into_std(),
            time: Time::now(),
            wall: self.is_ours.then(Wall::now),
        });
        self.now.set(Some(now));
        now
    }

    /// The turn is over: time goes on.
    pub(super) fn go_on(&self) {
        self.now.set(None);
    }
}
