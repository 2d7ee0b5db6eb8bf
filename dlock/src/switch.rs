//! The one way to run without locks.

use std::sync::atomic::{AtomicBool, Ordering};

static DISABLED: AtomicBool = AtomicBool::new(false);

/// Switches all locking of this process off (`false`) or on again (`true`, as it starts).
///
/// While it is off, every lock is granted at once without a database, also where no locker is
/// installed: for tests, and for the day when the database is down and the work must go on by hand.
/// It says so once, loudly, at WARN. Guards that are held already stay what they are.
pub fn set_enabled(on: bool) {
    if DISABLED.swap(!on, Ordering::SeqCst) == on {
        if on {
            tracing::warn!(target: "dlock", "locking is switched on again");
        } else {
            tracing::warn!(target: "dlock",
                "LOCKING IS SWITCHED OFF: every lock is granted, nothing excludes anything");
        }
    }
}

pub(crate) fn enabled() -> bool {
    !DISABLED.load(Ordering::SeqCst)
}
