//! The log: events of `tracing`, with typed fields.
//!
//! The name of an event is its message too. What is not in the normal course is at WARN.

use std::time::Duration;

use tracing::{debug, trace, warn};

use super::{Event, SessionState, Subject, Telemetry};

/// Writes an event about a lock: the level, the name, the lock, and what else is to be said.
macro_rules! of_lock {
    ($level:ident, $name:literal, $telemetry:expr, $of:expr, $($field:tt)*) => {{
        let Subject { key, label, mode } = $of;
        $level!(name: $name, target: "dlock", %key, lock = label.as_str(), %mode,
            backend = &*$telemetry.backend, locker = &*$telemetry.settings.locker, $($field)* $name)
    }};
}

/// Writes an event about a locker and its connections.
macro_rules! of_locker {
    ($level:ident, $name:literal, $telemetry:expr, $($field:tt)*) => {
        $level!(name: $name, target: "dlock", backend = &*$telemetry.backend,
            locker = &*$telemetry.settings.locker, server = &*$telemetry.server, $($field)* $name)
    };
}

pub(super) fn emit(telemetry: &Telemetry, event: &Event<'_>) {
    match *event {
        Event::WaitBegan { .. } | Event::WaitEnded { .. } => {}
        Event::Acquired { of, waited } => {
            of_lock!(debug, "acquired", telemetry, of, waited_ms = ms(waited),);
        }
        Event::Busy { of, stage, holder, .. } => {
            let holder = holder.map(tracing::field::display);
            of_lock!(debug, "busy", telemetry, of, %stage, holder,);
        }
        Event::TimedOut { of, waited, stage, holder } => {
            let holder = holder.map(tracing::field::display);
            of_lock!(debug, "timed_out", telemetry, of, waited_ms = ms(waited), %stage, holder,);
        }
        Event::Failed { of, waited, error } => {
            of_lock!(debug, "failed", telemetry, of, waited_ms = ms(waited), %error,);
        }
        Event::SlowWait { of, waited, holder } => {
            let holder = holder.map(tracing::field::display);
            of_lock!(warn, "slow_wait", telemetry, of, waited_ms = ms(waited), holder,);
        }
        Event::LongHold { of, held } => {
            of_lock!(warn, "long_hold", telemetry, of, held_ms = ms(held),);
        }
        Event::Released { of, held } => {
            of_lock!(debug, "released", telemetry, of, held_ms = ms(held),);
        }
        Event::Lost { of, info, .. } => {
            let reason = info.reason;
            of_lock!(warn, "lost", telemetry, of, held_ms = ms(info.held_for), %reason,);
        }
        Event::ReleaseFailed { of, held, why, .. } => {
            let reason = why.map(tracing::field::display);
            of_lock!(warn, "release_failed", telemetry, of, held_ms = ms(held), reason,);
        }
        Event::Converted { of, from } => {
            of_lock!(debug, "converted", telemetry, of, %from,);
        }
        Event::Renewed { took } => {
            of_locker!(trace, "renewed", telemetry, took_ms = ms(took),);
        }
        Event::SessionMoved { from: Some(SessionState::Connecting), to: Some(_) } => {
            of_locker!(debug, "session_opened", telemetry,);
        }
        Event::SessionMoved {
            from: Some(SessionState::Open | SessionState::Waiting),
            to: None,
        } => {
            of_locker!(debug, "session_closed", telemetry,);
        }
        Event::SessionMoved { .. } => {}
        Event::SessionBroken { error } => {
            of_locker!(debug, "session_broken", telemetry, %error,);
        }
    }
}

/// Whole milliseconds: a number that every subscriber can count with.
fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
