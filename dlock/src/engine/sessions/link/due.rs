//! How time is kept with a session.

use std::time::Duration;

use tokio::time::Instant;

use super::{KEPT, Link, SILENCE, Sent};
use crate::backend::SessionBackend;
use crate::claim::Claim;
use crate::clock::Time;
use crate::engine::table::Ticket;
use crate::mode::Mode;

/// How time is kept with a session.
#[derive(Clone, Copy)]
pub(in crate::engine::sessions) struct Pace {
    /// So long the server lets a silent session keep its locks, if that has an end.
    pub(super) ttl: Option<Duration>,
    /// It is asked for a sign of life after so much silence.
    heartbeat: Option<Duration>,
    /// One waiting statement lasts so long at most.
    slice: Duration,
}

impl Pace {
    pub(in crate::engine::sessions) fn of<B: SessionBackend>(backend: &B, slice: Duration) -> Self {
        let ttl = backend.session_ttl();
        Pace { ttl, heartbeat: ttl.map(|_| backend.heartbeat()), slice }
    }

    pub(super) fn slice_until(self, until: Option<Instant>) -> Duration {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        left.map_or(self.slice, |left| left.min(self.slice))
    }

    /// After so long of a slice the next one begins, on another session.
    fn overlap(self) -> Duration {
        self.slice.mul_f64(0.9)
    }
}

/// What the clock asks of a session.
pub(in crate::engine::sessions) enum Due {
    /// A sign of life.
    Ping,
    /// To go: it is not needed, and the server would end it.
    Close,
    /// To be given up: the server has not answered for too long.
    Dead,
    /// Not to be asked anything new: the server does not answer, but what it holds is still good.
    Stuck(Duration),
    /// Nothing for so long.
    Later(Duration),
}

impl Link {
    /// It waits for an exclusive lock, and its slice is about to end before the caller's time.
    pub(in crate::engine::sessions) fn wants_relief(
        &self,
    ) -> Option<(Claim, Ticket, Option<Instant>)> {
        match self.sent.front() {
            Some(Sent::Wait { claim, ticket, until }) if claim.mode == Mode::Exclusive => {
                let asked = Time::now().since(self.asked);
                let late = self.tag.is_some() && asked >= self.pace.overlap();
                let slice = self.pace.slice.saturating_sub(asked);
                let more = until.is_none_or(|until| until > Instant::now() + slice);
                (late && more && !self.cancelling).then(|| (claim.clone(), *ticket, *until))
            }
            _ => None,
        }
    }

    /// What the clock asks for now, or when it will. `carrier`: it is kept warm.
    pub(in crate::engine::sessions) fn due(&self, carrier: bool) -> Due {
        let now = Time::now();
        let wanted = carrier || self.holds > 0;
        let mut next = Duration::MAX;
        if self.tag.is_none() {
            // Connecting has a limit of its own.
            return Due::Later(next);
        }
        if self.holds > 0 && self.pace.ttl.is_some() {
            match self.word.left(now) {
                Duration::ZERO => return Due::Dead,
                left => next = left,
            }
        }
        match self.sent.front() {
            Some(Sent::Wait { until, .. }) => {
                // The server ends it at the end of a slice, or of the caller's time.
                let slice = self.pace.slice.saturating_sub(now.since(self.asked));
                let left = until.map_or(slice, |until| slice.min(until - Instant::now()));
                next = next.min(left + SILENCE);
                let over = until.is_some_and(|until| until + SILENCE <= Instant::now());
                if over || now.since(self.asked) >= self.pace.slice + SILENCE {
                    return Due::Dead;
                }
                if let Some(left) = self.pace.overlap().checked_sub(now.since(self.asked)) {
                    next = next.min(left);
                }
            }
            Some(Sent::Batch(_) | Sent::Question) => return self.silent(now, next),
            None if self.cancelling => return self.silent(now, next),
            None if wanted => {
                // What holds nothing has nothing to lose: it is only not to be ended for its silence.
                let kept = self.pace.ttl.map(|ttl| ttl / 3);
                if let Some(pause) = if self.holds > 0 { self.pace.heartbeat } else { kept } {
                    match pause.checked_sub(now.since(self.answered)) {
                        None => return Due::Ping,
                        Some(left) => next = next.min(left),
                    }
                }
            }
            None if self.is_free() => {
                let kept = self.pace.ttl.map_or(KEPT, |ttl| KEPT.min(ttl / 2));
                match kept.checked_sub(now.since(self.since)) {
                    None => return Due::Close,
                    Some(left) => next = next.min(left),
                }
            }
            None => {}
        }
        Due::Later(next)
    }

    /// The same while an answer is due, or a cancel is on its way.
    fn silent(&self, now: Time, next: Duration) -> Due {
        match SILENCE.checked_sub(now.since(self.asked)) {
            None if self.holds == 0 => Due::Dead,
            None => Due::Stuck(next),
            Some(left) => Due::Later(next.min(left)),
        }
    }
}
