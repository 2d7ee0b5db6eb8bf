//! When it is, and when a statement went out.

use std::time::{Duration, Instant};

use crate::clock::{Time, Validity, Wall};

/// A moment on all clocks that count: whoever drives the core reads them once for each turn.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// On the clock of the timers.
    pub timer: Instant,
    /// On the clock by which a validity ends, which goes on while the machine is suspended.
    pub time: Time,
    /// On the database's clock, where that is this machine's.
    pub wall: Option<Wall>,
}

impl Now {
    /// Whether this validity has not ended.
    pub(super) fn is_in(self, validity: &Validity) -> bool {
        validity.is_valid_on(self.time, self.wall)
    }
}

/// When a statement was sent.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    /// On the clock by which a validity ends.
    pub at: Time,
    /// On the database's clock, where that is this machine's.
    pub wall: Option<Wall>,
}

impl Sent {
    /// The validity of what this statement has granted for so long: it ends before the row does.
    pub(super) fn validity(self, lasts: Duration) -> Validity {
        let wall = self.wall.map(|wall| wall.after(lasts));
        Validity::until(self.at.after(lasts)).or_until(wall)
    }

    /// Puts the end of a validity off: this statement has renewed it for so long.
    pub(super) fn extend(self, validity: &Validity, lasts: Duration) {
        validity.extend(self.at.after(lasts));
        if let Some(wall) = self.wall {
            validity.follow(wall.after(lasts));
        }
    }
}
