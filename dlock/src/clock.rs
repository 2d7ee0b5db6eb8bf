//! The clock by which a lock's validity ends.

use std::time::{Duration, SystemTime};

use crate::status::lost::LostReason;
// tests/loom.rs has loom's instead, and compiles this file with them.
use crate::sync::{AtomicU64, OnceLock, Ordering};

/// A point in time on a clock that also goes on while the machine is suspended.
///
/// `std::time::Instant` stands still during suspend on Linux: a laptop that wakes up would believe
/// for another `session_ttl` that it holds what others have long been given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(Duration);

impl Time {
    /// When the machine was started.
    pub const BOOT: Time = Time(Duration::ZERO);

    pub(crate) fn now() -> Self {
        Time(since_boot())
    }

    /// How long ago this was; zero for a time to come.
    pub(crate) fn elapsed(self) -> Duration {
        Time::now().since(self)
    }

    /// How long after that this is; zero for a time before it.
    pub fn since(self, earlier: Time) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    pub(crate) fn before(self, duration: Duration) -> Self {
        Time(self.0.saturating_sub(duration))
    }

    /// So much later.
    pub fn after(self, duration: Duration) -> Self {
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
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed()
}

/// Until when what a session (or a lease) holds is surely held: shared by the engine, which puts it
/// off with each answer of the server, and by the guards, which compare the clock with it.
#[derive(Debug)]
pub struct Validity {
    until: AtomicU64,
    /// The same in the wall clock's milliseconds since 1970, where that is the database's clock too:
    /// when it is set forward, others may have what it has run out for.
    wall: AtomicU64,
    /// Why what it was about is not held any more, whatever the clock says.
    ended: OnceLock<LostReason>,
}

impl Validity {
    /// A validity that never ends.
    pub(crate) fn endless() -> Self {
        Validity {
            until: AtomicU64::new(u64::MAX),
            wall: AtomicU64::new(u64::MAX),
            ended: OnceLock::new(),
        }
    }

    pub(crate) fn until(time: Time) -> Self {
        Validity { until: AtomicU64::new(nanos(time)), ..Validity::endless() }
    }

    /// Ends it for all who go by it, at once and for good; the first reason counts. The holder of a
    /// session (or a lease) does this before the connection goes and before anybody is told: what
    /// was held there may be somebody else's from then on.
    pub(crate) fn end(&self, reason: LostReason) {
        let _ = self.ended.set(reason);
    }

    /// Why it was ended, if it was.
    pub(crate) fn ended(&self) -> Option<LostReason> {
        self.ended.get().copied()
    }

    /// This time on the wall clock is the end as well; before it is handed out.
    #[cfg(feature = "_database")]
    pub(crate) fn or_until(self, wall: Option<Wall>) -> Self {
        let wall = wall.map_or(u64::MAX, |wall| wall.0);
        Validity { wall: AtomicU64::new(wall), ..self }
    }

    pub(crate) fn extend(&self, time: Time) {
        self.until.fetch_max(nanos(time), Ordering::AcqRel);
    }

    /// The row that it follows ends then on the wall clock.
    #[cfg(feature = "_database")]
    pub(crate) fn follow(&self, wall: Wall) {
        self.wall.store(wall.0, Ordering::Release);
    }

    pub(crate) fn is_valid_at(&self, now: Time) -> bool {
        self.ended.get().is_none()
            && nanos(now) < self.until.load(Ordering::Acquire)
            && !self.is_over_by_the_wall()
    }

    /// The same where the wall clock has been read already. Without one it does not count.
    pub fn is_valid_on(&self, now: Time, wall: Option<Wall>) -> bool {
        let until = self.wall.load(Ordering::Acquire);
        self.ended.get().is_none()
            && nanos(now) < self.until.load(Ordering::Acquire)
            && (until == u64::MAX || wall.is_none_or(|wall| wall.0 < until))
    }

    /// How much of it is left.
    pub fn remaining(&self, now: Time) -> Duration {
        if self.ended.get().is_some() {
            return Duration::ZERO;
        }
        Duration::from_nanos(self.until.load(Ordering::Acquire).saturating_sub(nanos(now)))
    }

    fn is_over_by_the_wall(&self) -> bool {
        let wall = self.wall.load(Ordering::Acquire);
        wall != u64::MAX && Wall::now().0 >= wall
    }
}

/// Milliseconds since 1970 on the wall clock, which people and NTP set.
#[derive(Debug, Clone, Copy)]
pub struct Wall(u64);

impl Wall {
    /// So many milliseconds after 1970.
    pub fn from_millis(millis: u64) -> Self {
        Wall(millis)
    }

    pub(crate) fn now() -> Self {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        Wall(u64::try_from(now.as_millis()).unwrap_or(u64::MAX - 1))
    }

    #[cfg(feature = "_database")]
    pub(crate) fn after(self, time: Duration) -> Self {
        let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Wall(self.0.saturating_add(time))
    }
}

/// 584 years of uptime fit.
fn nanos(time: Time) -> u64 {
    u64::try_from(time.0.as_nanos()).unwrap_or(u64::MAX - 1)
}
