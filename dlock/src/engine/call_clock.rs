//! Watch: what the time of a call is read from.

#[cfg(feature = "test-util")]
use std::time::Duration;
use std::time::Instant;

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
