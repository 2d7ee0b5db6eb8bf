//! Whether the database answers, and when it is asked again.

use std::time::{Duration, Instant};

use fastrand::Rng;

use super::about;
use super::batch_size::Backoff;
use super::now::Now;
use crate::clock::Time;
use crate::error::Error;

/// How long a busy database is let alone.
pub const BUSY: Duration = Duration::from_millis(3);
/// The pauses between attempts to reach a database that cannot be reached.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// When so many have failed alone, one after the other, all fail.
const FAILURES_IN_A_ROW_MAX: u32 = 4;

/// Why there is no answer.
#[derive(Clone, Copy)]
pub(super) enum Why {
    /// Something was busy, and nothing has been done. What was asked fares so.
    Busy(Backoff),
    /// Something in it is refused, and it is not known what: it is asked again in parts.
    Split(Backoff),
    /// `fatal`: it makes no sense to ask again. `sent`: the database may have looked at it.
    Failed { fatal: bool, sent: bool },
}

impl Why {
    /// How what was asked fares, if it is asked again.
    pub(super) fn backoff(self) -> Option<Backoff> {
        match self {
            Why::Busy(backoff) | Why::Split(backoff) => Some(backoff),
            Why::Failed { .. } => None,
        }
    }
}

/// See the [module](self).
pub(super) struct Health {
    /// Why it did not answer the last time.
    trouble: Option<Error>,
    /// Nothing is asked before that.
    not_before: Instant,
    pause: Duration,
    /// How many have been refused alone since something was answered.
    failed_alone: u32,
    /// When the newest thing was sent that the database has answered.
    answered: Time,
    /// Somebody is to be refused as soon as there is an answer.
    in_doubt: bool,
}

impl Health {
    pub(super) fn new(now: Now) -> Self {
        Health {
            trouble: None,
            not_before: now.timer,
            pause: FIRST_PAUSE,
            failed_alone: 0,
            answered: now.time,
            in_doubt: false,
        }
    }

    pub(super) fn trouble(&self) -> Option<&Error> {
        self.trouble.as_ref()
    }

    /// Nothing is asked before that.
    pub(super) fn not_before(&self) -> Instant {
        self.not_before
    }

    pub(super) fn rests(&self, now: Now) -> bool {
        now.timer < self.not_before
    }

    /// Whether it could not be reached the last time, and not for the first time.
    pub(super) fn is_away(&self) -> bool {
        self.trouble.is_some() && self.pause > FIRST_PAUSE
    }

    /// Whether it has answered something that was sent later than this.
    pub(super) fn has_answered_since(&self, since: Time) -> bool {
        self.answered >= since
    }

    /// Somebody waits for any answer, or for word that there is none.
    pub(super) fn doubt(&mut self) {
        self.in_doubt = true;
    }

    /// A job is over. Returns whether somebody has waited for that.
    pub(super) fn settle_doubt(&mut self) -> bool {
        std::mem::take(&mut self.in_doubt)
    }

    /// There is an answer to what was sent then.
    pub(super) fn answers(&mut self, sent: Time) {
        self.trouble = None;
        self.pause = FIRST_PAUSE;
        self.answered = self.answered.max(sent);
    }

    /// A part of what it was asked has been taken as a whole.
    pub(super) fn took_batch(&mut self) {
        self.failed_alone = 0;
    }

    /// Others were in the way.
    pub(super) fn busy(&mut self, error: Error, now: Now, rng: &mut Rng) {
        self.trouble = Some(error);
        self.not_before = now.timer + about(BUSY, rng);
    }

    /// It is asked again at once, in smaller parts.
    pub(super) fn split(&mut self, error: Error, now: Now) {
        self.trouble = Some(error);
        self.not_before = now.timer;
    }

    /// It could not be reached, or has said no. `alone`: others need not pay the price of it.
    pub(super) fn failed(&mut self, error: Error, alone: bool, now: Now, rng: &mut Rng) {
        self.trouble = Some(error);
        self.not_before = now.timer;
        if !alone || self.refuses_all() {
            self.not_before += about(self.pause, rng);
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// It has refused something that was alone. Returns whether from now on all is to fail as a
    /// whole.
    pub(super) fn refused_alone(&mut self) -> bool {
        self.failed_alone += 1;
        self.failed_alone == FAILURES_IN_A_ROW_MAX
    }

    /// When many fail alone, one after the other, it is not about them.
    pub(super) fn refuses_all(&self) -> bool {
        self.failed_alone >= FAILURES_IN_A_ROW_MAX
    }
}
