//! Faults that are known and being mended: what they show is counted, and fails nothing. This list
//! is to be empty. `DLOCK_TEST_ALL_FAULTS` makes it so.

use crate::checker::{Kind, Violation};

/// The number of the fault that this is, if it is a known one.
pub(crate) fn fault(violation: &Violation) -> Option<u32> {
    if std::env::var_os("DLOCK_TEST_ALL_FAULTS").is_some() {
        return None;
    }
    let about = |fact| violation.about.contains(fact);
    match violation.kind {
        // What a reentrant inner lock asks for.
        Kind::MinHold if about("inside") => Some(81),
        // The locker of a session lock ended before its time.
        Kind::MinHold if about("solo") => Some(5),
        Kind::FalseBusy if about("withdrawn") => Some(76),
        Kind::FalseBusy | Kind::WaitedThoughFree if about("min_hold") => Some(76),
        Kind::FalseBusy if about("solo") => Some(75),
        // Whoever has not used a session is told by the first use that it has ended.
        Kind::Unexplained if about("idle") || is_silent_end(&violation.text) => Some(80),
        _ => None,
    }
}

/// What a driver of MySQL says of a session that the server has ended for its silence.
fn is_silent_end(text: &str) -> bool {
    ["4031 (HY000)", "Connection reset by peer", "bytes at EOF"]
        .iter()
        .any(|part| text.contains(part))
}
