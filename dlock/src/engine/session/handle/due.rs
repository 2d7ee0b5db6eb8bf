//! How time is kept with a session.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Conversion, KEPT, KeyWait, SILENCE, Sent, SessionHandle};
use crate::backend::SessionBackend;
use crate::clock::{Time, Validity};
use crate::engine::lock_table::Shareable as _;
use crate::spec::lock_id::LockId;

/// How time is kept with a session.
#[derive(Clone, Copy)]
pub(in crate::engine::session) struct Pace {
    /// So long the server lets a silent session keep its locks, if that has an end.
    pub(super) ttl: Option<Duration>,
    /// How long the server may take to answer what it need not wait for: less than what is held
    /// lasts, so that there is time for another session to carry.
    pub(super) silence: Duration,
    /// It is asked for a sign of life after so much silence.
    heartbeat: Option<Duration>,
    /// One waiting statement lasts so long at most: of readers, or where there are none,
    slice: Duration,
    /// and of writers.
    long_slice: Duration,
    /// There are readers, or other locks than exclusive ones.
    pub(super) readers: bool,
    /// A wait ends by an order, and not only with its connection.
    stops_waits: bool,
}

/// With each new slice a writer is at the end of the line, behind readers that came during the last
/// one: readers that take longer than a slice, and overlap, would starve it. To begin the next slice
/// before the last one ends does not help, for the end lets those readers in that are between. So
/// writers wait in much longer slices than readers, who lose nothing by a new one.
const WRITERS: u32 = 10;

impl Pace {
    pub(in crate::engine::session) fn of<B: SessionBackend>(backend: &B, slice: Duration) -> Self {
        let ttl = backend.session_ttl();
        let readers = backend.modes().len() > 1;
        let long_slice = if readers { slice.saturating_mul(WRITERS) } else { slice };
        let silence = ttl.map_or(SILENCE, |ttl| SILENCE.min(ttl / 2));
        let heartbeat = ttl.map(|_| backend.heartbeat());
        let stops_waits = backend.stops_waits();
        Pace { ttl, silence, heartbeat, slice, long_slice, readers, stops_waits }
    }

    /// That of a new session: it has yet to answer.
    pub(in crate::engine::session) fn validity(self) -> Arc<Validity> {
        Arc::new(self.ttl.map_or_else(Validity::endless, |_| Validity::until(Time::now())))
    }

    /// Sessions cannot be lost, nor their server.
    pub(in crate::engine::session) fn is_lasting(self) -> bool {
        self.ttl.is_none()
    }

    /// Returns `true` if an order ends a wait, and not only the end of its connection.
    pub(in crate::engine::session) fn stops_waits(self) -> bool {
        self.stops_waits
    }

    /// How long a change of mode may wait at once: nothing stops it, and a sign of life must come in time.
    pub(super) fn conversion(self, Conversion { until, slice, .. }: &Conversion) -> Duration {
        let time = self.ttl.map_or(*slice, |ttl| (*slice).min(ttl / 4));
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        left.map_or(time, |left| left.min(time))
    }

    fn slice(self, lock_id: &LockId) -> Duration {
        if lock_id.is_shareable() { self.slice } else { self.long_slice }
    }

    pub(super) fn slice_until(self, lock_id: &LockId, until: Option<Instant>) -> Duration {
        let slice = self.slice(lock_id);
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        left.map_or(slice, |left| left.min(slice))
    }
}

/// What the clock asks of a session.
pub(in crate::engine::session) enum Due {
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
    pub(in crate::engine::session) fn due(&self, carrier: bool, now: Time) -> Due {
        let wanted = carrier || self.holds > 0;
        let mut next = Duration::MAX;
        if self.tag.is_none() {
            return match self.patience.checked_sub(now.since(self.since)) {
                None | Some(Duration::ZERO) => Due::Dead,
                Some(left) => Due::Later(left),
            };
        }
        if self.holds > 0 && self.pace.ttl.is_some() {
            match self.validity.remaining(now) {
                Duration::ZERO => return Due::Dead,
                left => next = left,
            }
        }
        match self.sent.front() {
            Some(Sent::Wait(KeyWait { lock_id, until, stopped, .. })) => {
                // The server ends it at the end of a slice, or of the caller's time.
                let whole = self.pace.slice(lock_id);
                let slice = whole.saturating_sub(now.since(self.asked));
                let left = until.map_or(slice, |until| slice.min(until - Instant::now()));
                let silence = self.pace.silence;
                next = next.min(left + silence);
                let over = until.is_some_and(|until| until + silence <= Instant::now());
                if over || now.since(self.asked) >= whole + silence {
                    return Due::Dead;
                }
                if let Some(stopped) = stopped {
                    match silence.checked_sub(now.since(*stopped)) {
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
            None if wanted => {
                // What holds nothing has nothing to lose: it is only not to be ended for its silence.
                let kept = self.pace.ttl.map(|ttl| ttl / 3 * 2);
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

    /// The same while an answer is due, for which the server waits so long, or a cancel is on its way.
    fn silent(&self, waits: Duration, now: Time, next: Duration) -> Due {
        match (self.pace.silence + waits).checked_sub(now.since(self.asked)) {
            None | Some(Duration::ZERO) if self.holds == 0 => Due::Dead,
            None | Some(Duration::ZERO) => Due::Stuck(next),
            Some(left) => Due::Later(next.min(left)),
        }
    }
}
