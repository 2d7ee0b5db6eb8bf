//! The one way to run without locks.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::engine::tell_all_switched;

static DISABLED: AtomicBool = AtomicBool::new(false);

/// Switches all locking of this process off (`false`) or on again (`true`, as it starts).
///
/// While it is off, every lock is granted at once without a database, also where no locker is
/// installed: for tests, and for the day when the database is down and the work must go on by hand.
/// It says so once, loudly, at WARN. Guards that are held already stay what they are.
///
/// Whoever waits for a lock is granted it when locking is switched off, within milliseconds, without
/// a word to the database, which may be down. Not so a wait on the caller's own connection
/// ([`on`](crate::on), [`within`](crate::within)) that a statement has begun: it has its timeout.
///
/// While locking is off, `connect` and [`init`](crate::init) check the settings and succeed at once,
/// whatever has become of the server. The connection is made when locking is switched on again; if
/// that fails, by the first lock that is taken, whose error it is.
pub fn set_enabled(on: bool) {
    if DISABLED.swap(!on, Ordering::SeqCst) == on {
        if on {
            tracing::warn!(target: "dlock", "locking is switched on again");
        } else {
            tracing::warn!(target: "dlock",
                "LOCKING IS SWITCHED OFF: every lock is granted, nothing excludes anything");
        }
        tell_all_switched(on);
    }
}

pub(crate) fn enabled() -> bool {
    !DISABLED.load(Ordering::SeqCst)
}
