//! What the clock asks of a session.

use std::time::Duration;

use super::{KeyWait, Sent, SessionHandle};
use crate::engine::session::core::action::Now;

/// What the clock asks of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine::session::core) enum Due {
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

impl SessionHandle {
    /// What the clock asks for now, or when it will. `carrier`: it is kept warm.
    pub(in crate::engine::session::core) fn due(&self, carrier: bool, now: Now) -> Due {
        let (time, clock) = (now.time, now.clock);
        let holds = self.keys.granted() > 0;
        let mut next = Duration::MAX;
        if self.tag.is_none() {
            return match self.patience.checked_sub(time.since(self.since)) {
                None | Some(Duration::ZERO) => Due::Dead,
                Some(left) => Due::Later(left),
            };
        }
        if holds && !self.pace.is_lasting() {
            match self.validity.remaining(time) {
                Duration::ZERO => return Due::Dead,
                left => next = left,
            }
        }
        match self.sent.front() {
            Some(Sent::Wait(KeyWait { lock_id, until, stopped, .. })) => {
                // The server ends it at the end of a slice, or of the caller's time.
                let (whole, silence) = (self.pace.slice(lock_id), self.pace.silence());
                let slice = whole.saturating_sub(time.since(self.asked));
                let left = |until: std::time::Instant| until.saturating_duration_since(clock);
                next = next.min(until.map_or(slice, |until| slice.min(left(until))) + silence);
                let over = until.is_some_and(|until| until + silence <= clock);
                if over || time.since(self.asked) >= whole + silence {
                    return Due::Dead;
                }
                if let Some(stopped) = stopped {
                    match silence.checked_sub(time.since(*stopped)) {
                        None | Some(Duration::ZERO) => return Due::Dead,
                        Some(left) => next = next.min(left),
                    }
                }
            }
            Some(Sent::Conversion(_, waits)) => return self.silent(*waits, now, next),
            Some(Sent::Batch(_) | Sent::Question) => {
                return self.silent(Duration::ZERO, now, next);
            }
            None if self.cancelling => return self.silent(Duration::ZERO, now, next),
            None if carrier || holds => {
                if let Some(pause) = self.pace.pause(holds) {
                    match pause.checked_sub(time.since(self.answered)) {
                        None | Some(Duration::ZERO) => return Due::Ping,
                        Some(left) => next = next.min(left),
                    }
                }
            }
            None if self.is_free() => match self.pace.kept().checked_sub(time.since(self.since)) {
                None | Some(Duration::ZERO) => return Due::Close,
                Some(left) => next = next.min(left),
            },
            None => {}
        }
        Due::Later(next)
    }

    /// The same while an answer is due, for which the server waits so long, or a cancel is on its way.
    fn silent(&self, waits: Duration, now: Now, next: Duration) -> Due {
        let left = (self.pace.silence() + waits).checked_sub(now.time.since(self.asked));
        match left {
            None | Some(Duration::ZERO) if self.holds_nothing() => Due::Dead,
            None | Some(Duration::ZERO) => Due::Stuck(next),
            Some(left) => Due::Later(next.min(left)),
        }
    }
}
