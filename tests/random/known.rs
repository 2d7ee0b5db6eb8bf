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
        // The token of a permit.
        Kind::Fence if about("permits") => Some(81),
        // A plain lock under a permit.
        Kind::Reentrancy if about("permits") => Some(81),
        // What a reentrant inner lock asks for.
        Kind::MinHold if about("inside") => Some(81),
        // The locker of a session lock ended before its time.
        Kind::MinHold if about("solo") => Some(5),
        // Who has it, between modes of one locker.
        Kind::Stage => Some(82),
        Kind::FalseBusy | Kind::WaitedThoughFree if about("permits") => Some(78),
        Kind::FalseBusy | Kind::WaitedThoughFree if about("min_hold") => Some(76),
        Kind::FalseBusy if about("solo") => Some(75),
        Kind::FalseBusy if about("together") => Some(79),
        Kind::OnLost if about("permits") => Some(77),
        Kind::MinHold if about("permits") => Some(77),
        Kind::Unexplained if about("idle") => Some(80),
        _ => None,
    }
}
