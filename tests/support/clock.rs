//! One clock for all processes.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds since the machine was started: the same in each process of it.
pub fn now() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    u64::try_from(time.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap()
}
