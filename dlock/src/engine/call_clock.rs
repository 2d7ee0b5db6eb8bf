//! What the time of a call is read from, and what it is on the clock of the engine's runtime.

#[cfg(feature = "test-util")]
use std::time::Duration;
use std::time::Instant;

use tokio::time::Instant as EngineInstant;

/// The standard library's clock, or that of a locker for tests.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Watch {
    /// The clock of that number.
    #[cfg(feature = "test-util")]
    testing: Option<u64>,
}

impl Watch {
    /// Reads the clock of that number, as long as there is one.
    #[cfg(feature = "test-util")]
    pub(crate) fn of_test(clock: u64) -> Self {
        Watch { testing: Some(clock) }
    }

    pub(crate) fn now(self) -> Instant {
        #[cfg(feature = "test-util")]
        if let Some(now) = self.testing.and_then(crate::engine::test_clock) {
            return now;
        }
        Instant::now()
    }
}

/// This moment of the callers' clock on that of the engine's runtime, or now if it is over.
///
/// Where no test has paused or moved the runtime's clock, the two are one.
pub(super) fn on_our_clock(at: Instant) -> EngineInstant {
    let now = EngineInstant::now();
    let left = at.saturating_duration_since(Instant::now());
    now.checked_add(left).unwrap_or(now)
}

/// The time of a grant by the clock of a locker for tests.
#[cfg(feature = "test-util")]
#[derive(Debug, Clone, Copy)]
pub(crate) struct TestTime {
    pub(crate) watch: Watch,
    pub(crate) granted: Instant,
    /// When it ends, if nobody renews it.
    pub(crate) ends: Option<Instant>,
    /// How long it lasts after each renewal.
    pub(crate) ttl: Duration,
}

#[cfg(feature = "test-util")]
impl TestTime {
    pub(crate) fn elapsed(self) -> Duration {
        self.watch.now().saturating_duration_since(self.granted)
    }

    /// How much of it is left. One that is renewed always has its whole time.
    pub(crate) fn remaining(self) -> Duration {
        self.ends.map_or(self.ttl, |ends| ends.saturating_duration_since(self.watch.now()))
    }
}
