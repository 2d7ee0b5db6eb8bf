//! The clock by which a lock's word runs out.

#[cfg(not(unix))]
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A point in time on a clock that also goes on while the machine is suspended.
///
/// `std::time::Instant` stands still during suspend on Linux: a laptop that wakes up would believe
/// for another `session_ttl` that it holds what others have long been given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Time(Duration);

impl Time {
    pub(crate) fn now() -> Self {
        Time(since_boot())
    }

    /// How long ago this was; zero for a time to come.
    pub(crate) fn elapsed(self) -> Duration {
        Time::now().since(self)
    }

    pub(crate) fn since(self, earlier: Time) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    pub(crate) fn after(self, duration: Duration) -> Self {
        Time(self.0.saturating_add(duration))
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn since_boot() -> Duration {
    elapsed(rustix::time::ClockId::Boottime)
}

// On the BSDs and macOS the monotonic clock goes on during suspend.
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
fn since_boot() -> Duration {
    elapsed(rustix::time::ClockId::Monotonic)
}

#[cfg(unix)]
fn elapsed(clock: rustix::time::ClockId) -> Duration {
    let time = rustix::time::clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos)
}

// QueryPerformanceCounter, which std uses, goes on during suspend.
#[cfg(not(unix))]
fn since_boot() -> Duration {
    static START: OnceLock<std::time::Instant> = OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed()
}

/// Until when what a session (or a lease) holds is surely held: shared by the engine, which puts it
/// off with each answer of the server, and by the guards, which compare the clock with it.
#[derive(Debug)]
pub(crate) struct Word(AtomicU64);

impl Word {
    /// A word that never runs out.
    pub(crate) fn endless() -> Self {
        Word(AtomicU64::new(u64::MAX))
    }

    pub(crate) fn until(time: Time) -> Self {
        Word(AtomicU64::new(nanos(time)))
    }

    pub(crate) fn extend(&self, time: Time) {
        self.0.fetch_max(nanos(time), Ordering::AcqRel);
    }

    pub(crate) fn good_at(&self, now: Time) -> bool {
        nanos(now) < self.0.load(Ordering::Acquire)
    }

    /// How much of it is left.
    pub(crate) fn left(&self, now: Time) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Acquire).saturating_sub(nanos(now)))
    }
}

/// 584 years of uptime fit.
fn nanos(time: Time) -> u64 {
    u64::try_from(time.0.as_nanos()).unwrap_or(u64::MAX - 1)
}
