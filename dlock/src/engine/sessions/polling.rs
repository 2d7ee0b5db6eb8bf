//! Keys that are asked for by tries, one after the other, instead of by a statement that waits.

use std::ops::Range;
use std::time::Duration;

use tokio::time::Instant;

use crate::claim::Claim;

/// The pause between two tries in milliseconds, where the caller does not say it: short enough that a
/// free key is noticed, and random so that processes do not go in step.
const PAUSE: Range<u64> = 5..50;

/// A key that is asked for by tries.
pub(super) struct Poll {
    pub(super) claim: Claim,
    pub(super) fenced: bool,
    /// What the caller wants the pause between two tries to be.
    pause: Option<Duration>,
    /// When the caller's wait ends; the last try is made then.
    until: Option<Instant>,
    at: Instant,
    /// A try is on its way.
    asked: bool,
    cancelled: bool,
}

impl Poll {
    /// A key that was refused at this time.
    pub(super) fn new(claim: Claim, fenced: bool, until: Option<Instant>, now: Instant) -> Self {
        let (pause, asked, cancelled) = (None, false, false);
        let mut poll = Poll { claim, fenced, pause, until, at: now, asked, cancelled };
        poll.refused(now);
        poll
    }

    /// The same with this pause between two tries.
    pub(super) fn every(mut self, pause: Option<Duration>, now: Instant) -> Self {
        self.pause = pause;
        self.refused(now);
        self
    }

    /// When the next try is due, unless one is on its way.
    pub(super) fn next(&self) -> Option<Instant> {
        (!self.asked).then_some(self.at)
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.next().is_some_and(|at| at <= now)
    }

    /// A try goes out.
    pub(super) fn asked(&mut self) {
        self.asked = true;
    }

    /// The try never came to the server: the next one is due at once.
    pub(super) fn lost(&mut self) {
        self.asked = false;
    }

    /// Somebody else has the key. Returns `false` if it is not to be asked for again.
    pub(super) fn refused(&mut self, now: Instant) -> bool {
        self.asked = false;
        let random = || Duration::from_millis(fastrand::u64(PAUSE));
        self.at = now + self.pause.unwrap_or_else(random);
        if let Some(until) = self.until.filter(|until| *until > now) {
            self.at = self.at.min(until);
        }
        !self.cancelled
    }

    /// Nobody wants it any more. Returns `false` if the answer to a try is still to come.
    pub(super) fn cancel(&mut self) -> bool {
        self.cancelled = true;
        !self.asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::NativeKey;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn last_try_is_made_when_the_wait_ends() {
        let now = Instant::now();
        let claim = Claim { key: NativeKey::Id(7), mode: crate::mode::Mode::Exclusive };
        let poll = Poll::new(claim, false, Some(now + 250 * MS), now);
        let mut poll = poll.every(Some(100 * MS), now);
        let mut tries = Vec::new();
        while let Some(at) = poll.next().filter(|at| *at <= now + 250 * MS) {
            poll.asked();
            assert_eq!(poll.next(), None);
            assert!(poll.refused(at));
            tries.push((at - now).as_millis());
        }
        assert_eq!(tries, [100, 200, 250]);
        assert!(poll.cancel());
    }
}
