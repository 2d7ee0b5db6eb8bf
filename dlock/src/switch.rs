//! Whether locking is switched on: read at each call, on every level.

use std::sync::atomic::{AtomicBool, Ordering};

static DISABLED: AtomicBool = AtomicBool::new(false);

/// Switches locking on or off; returns `false` if it was so before.
pub(crate) fn set(on: bool) -> bool {
    DISABLED.swap(!on, Ordering::SeqCst) == on
}

pub(crate) fn enabled() -> bool {
    !DISABLED.load(Ordering::SeqCst)
}
