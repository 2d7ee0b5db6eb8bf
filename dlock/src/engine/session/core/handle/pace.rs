//! How time is kept with a session.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clock::{Time, Validity};
use crate::engine::lock_table::Shareable as _;
use crate::spec::lock_id::LockId;

/// How long an empty session that nobody needs is kept where sessions cannot be lost.
const KEPT: Duration = Duration::from_secs(30);
/// How long a server may take to answer what it need not wait for, unless locks are lost sooner.
const SILENCE: Duration = Duration::from_secs(3);
/// With each new slice a writer is at the end of the line, behind readers that came during the last
/// one: readers that take longer than a slice, and overlap, would starve it. To begin the next slice
/// before the last one ends does not help, for the end lets those readers in that are between. So
/// writers wait in much longer slices than readers, who lose nothing by a new one.
const WRITERS: u32 = 10;

/// What a server's sessions are like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServerTraits {
    /// So long the server lets a silent session keep its locks, if that has an end.
    pub(crate) session_ttl: Option<Duration>,
    /// How long a session that holds something may be silent before it is asked for a sign of life.
    pub(crate) heartbeat: Duration,
    /// There are readers, or other locks than exclusive ones.
    pub(crate) readers: bool,
    /// A wait ends by an order, and not only with its connection.
    pub(crate) stops_waits: bool,
    /// The longest that one change of mode waits in the server.
    pub(crate) conversion_wait_max: Duration,
}

/// How time is kept with a session.
#[derive(Clone, Copy)]
pub(in crate::engine::session::core) struct Pace {
    /// So long the server lets a silent session keep its locks, if that has an end.
    ttl: Option<Duration>,
    /// How long the server may take to answer what it need not wait for: less than what is held
    /// lasts, so that there is time for another session to carry.
    silence: Duration,
    /// It is asked for a sign of life after so much silence.
    heartbeat: Option<Duration>,
    /// One waiting statement lasts so long at most: of readers, or where there are none,
    slice: Duration,
    /// and of writers.
    long_slice: Duration,
    readers: bool,
    stops_waits: bool,
}

impl Pace {
    pub(in crate::engine::session::core) fn of(server: ServerTraits, slice: Duration) -> Self {
        let ServerTraits { session_ttl: ttl, heartbeat, readers, stops_waits, .. } = server;
        let long_slice = if readers { slice.saturating_mul(WRITERS) } else { slice };
        let silence = ttl.map_or(SILENCE, |ttl| SILENCE.min(ttl / 2));
        let heartbeat = ttl.map(|_| heartbeat);
        Pace { ttl, silence, heartbeat, slice, long_slice, readers, stops_waits }
    }

    /// That of a new session: it has yet to answer.
    pub(in crate::engine::session::core) fn validity(self, now: Time) -> Arc<Validity> {
        Arc::new(self.ttl.map_or_else(Validity::endless, |_| Validity::until(now)))
    }

    /// The end of what was confirmed by an answer to what was sent then.
    pub(super) fn end_of(self, sent: Time) -> Option<Time> {
        self.ttl.map(|ttl| sent.after(ttl))
    }

    /// Returns `true` if so much of a validity is enough to hand a lock to somebody.
    pub(super) fn is_enough(self, remaining: Duration) -> bool {
        self.ttl.is_none_or(|ttl| remaining >= ttl / 2)
    }

    /// Sessions cannot be lost, nor their server.
    pub(in crate::engine::session::core) fn is_lasting(self) -> bool {
        self.ttl.is_none()
    }

    pub(super) fn readers(self) -> bool {
        self.readers
    }

    pub(super) fn silence(self) -> Duration {
        self.silence
    }

    /// Returns `true` if an order ends a wait, and not only the end of its connection.
    pub(in crate::engine::session::core) fn stops_waits(self) -> bool {
        self.stops_waits
    }

    /// How long a session that is to stay may be silent before it is asked for a sign of life. `holds`: it holds
    /// something; else it has nothing to lose, and is only not to be ended for its silence.
    pub(super) fn pause(self, holds: bool) -> Option<Duration> {
        if holds { self.heartbeat } else { self.ttl.map(|ttl| ttl / 3 * 2) }
    }

    /// How long an empty session that nobody needs is kept.
    pub(super) fn kept(self) -> Duration {
        self.ttl.map_or(KEPT, |ttl| KEPT.min(ttl / 2))
    }

    /// How long a change of mode may wait at once: nothing stops it, and a sign of life must come in time.
    pub(super) fn conversion(
        self,
        (until, slice): (Option<Instant>, Duration),
        clock: Instant,
    ) -> Duration {
        let time = self.ttl.map_or(slice, |ttl| slice.min(ttl / 4));
        let left = until.map(|until| until.saturating_duration_since(clock));
        left.map_or(time, |left| left.min(time))
    }

    pub(super) fn slice(self, lock_id: &LockId) -> Duration {
        if lock_id.is_shareable() { self.slice } else { self.long_slice }
    }

    pub(super) fn slice_until(
        self,
        lock_id: &LockId,
        until: Option<Instant>,
        clock: Instant,
    ) -> Duration {
        let slice = self.slice(lock_id);
        let left = until.map(|until| until.saturating_duration_since(clock));
        left.map_or(slice, |left| left.min(slice))
    }
}
