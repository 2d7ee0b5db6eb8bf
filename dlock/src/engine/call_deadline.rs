//! Deadline: until when a call must have its answer.

use std::time::{Duration, Instant};

use crate::engine::call_clock::Watch;
use crate::spec::wait::Wait;

/// A single try may take this long, for the server's sake.
const TRY_TIME_MAX: Duration = Duration::from_secs(5);
/// A try inside a longer call gets this long even if the call's time is up: for what was waited for
/// until the last moment, the rest is tried.
const TRY_TIME_MIN: Duration = Duration::from_millis(250);

/// Until when a call must have its answer. Taken once, when the call is made, and handed down
/// through everything that is done for it.
///
/// It is an instant of the standard library's clock. tokio's may be paused or moved by a test, and
/// then each runtime has a time of its own; the engine, which may be on another one, converts it
/// when it arrives. And not [`Time`](crate::clock::Time), which goes on while the machine is
/// suspended: nobody can be served meanwhile, all timers stand still, and a wait that began just
/// before would be over as the machine wakes up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    asked: Instant,
    /// `None`: never.
    end: Option<Instant>,
    patient: bool,
    watch: Watch,
}

impl Deadline {
    /// The deadline of a call that is made now, by this watch, and waits this long.
    pub(crate) fn after(wait: Wait, watch: Watch) -> Self {
        let asked = watch.now();
        let time = match wait {
            Wait::NoWait => Some(TRY_TIME_MAX),
            Wait::For(time) => Some(time),
            Wait::Forever => None,
        };
        // A wait is at most a century, which every clock has.
        let end = time.and_then(|time| asked.checked_add(time));
        Deadline { asked, end, patient: wait != Wait::NoWait, watch }
    }

    /// The same for a try within the call, which does not wait for holders.
    pub(crate) fn of_a_try(self) -> Self {
        let now = self.watch.now();
        let end = self.end.map_or(now + TRY_TIME_MAX, |end| end.max(now + TRY_TIME_MIN));
        Deadline { end: Some(end), patient: false, ..self }
    }

    /// The same for a wait within the call that takes no longer than this.
    pub(crate) fn within(self, time: Duration) -> Self {
        let end = self.watch.now() + time;
        Deadline { end: Some(self.end.map_or(end, |all| all.min(end))), patient: true, ..self }
    }

    /// When the call was made.
    pub(crate) fn asked(self) -> Instant {
        self.asked
    }

    /// When it must have its answer; `None`: never.
    pub(crate) fn end(self) -> Option<Instant> {
        self.end
    }

    /// Whether it waits for those who hold what it wants.
    pub(crate) fn is_patient(self) -> bool {
        self.patient
    }

    /// Whether there is time left to wait in.
    pub(crate) fn may_wait(self) -> bool {
        self.patient && !self.remaining().is_zero()
    }

    pub(crate) fn waited(self) -> Duration {
        self.watch.now().saturating_duration_since(self.asked)
    }

    /// [`Duration::MAX`] if it has no end.
    pub(crate) fn remaining(self) -> Duration {
        self.end.map_or(Duration::MAX, |end| end.saturating_duration_since(self.watch.now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(wait: Wait) -> Deadline {
        Deadline::after(wait, Watch::default())
    }

    #[test]
    fn a_try_within_a_call_ends_with_it_but_gets_a_moment() {
        let long = after(Wait::For(Duration::from_secs(100)));
        assert_eq!(long.of_a_try().end(), long.end());
        let over = after(Wait::For(Duration::from_nanos(1))).of_a_try();
        assert!(!over.is_patient() && over.remaining() > TRY_TIME_MIN / 2);
        let endless = after(Wait::Forever);
        assert!(endless.may_wait() && endless.remaining() == Duration::MAX);
        assert!(endless.of_a_try().remaining() <= TRY_TIME_MAX);
    }
}
