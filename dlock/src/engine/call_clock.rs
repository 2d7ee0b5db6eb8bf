//! Watch: what the time of a call is read from.

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
