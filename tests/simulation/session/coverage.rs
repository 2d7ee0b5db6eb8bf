//! What a simulation has been through: each event of the core, each of its actions, and the rare ways from one to the
//! other.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::plan::Kind;
use crate::engine::lock_table::Event;
use crate::engine::lock_table::simulation::RARE;
use crate::engine::session::core::{Action, Job, SessionEvent};
use crate::spec::lock_id::LockId;

/// How often each has happened.
#[derive(Default, Clone)]
pub(super) struct Coverage(BTreeMap<&'static str, u64>);

/// What must have happened, or the simulation proves little.
const ALWAYS: &[&str] = &[
    "action: ask",
    "action: batch",
    "action: connect",
    "action: ping",
    "action: report Ended",
    "action: report Granted",
    "action: report Refused",
    "action: report Unlocked",
    "event: answered",
    "event: opened",
    "event: told",
    "order: cancel",
    "order: hand over",
    "order: try",
    "order: unlock",
    "order: wait",
    "seen: a fence grows",
];
/// Where something breaks.
const WITH_FAULTS: &[&str] = &[
    "action: drop",
    "action: report Failed",
    "action: report Lost",
    "event: died before it was open",
    "event: died",
    "event: parts",
    "order: refresh",
    "seen: a guard is lost while it is held",
    "seen: a session is full",
    "seen: an answer comes twice",
    "seen: an answer is too short",
    "seen: an order ends a session",
];
/// Where something breaks, and a session is free to wait.
const WITH_FAULTY_WAITS: &[&str] = &["action: log a deadlock", "event: waited, deadlock"];
/// Where something breaks, and sessions are many.
const WITH_MANY: &[&str] = &["seen: the wrong kind of answer"];
/// Where a session is free to wait.
const WITH_WAITS: &[&str] =
    &["action: close", "action: wait", "event: waited, busy", "event: waited, granted"];
/// Where an order ends a wait.
const WITH_ORDERS: &[&str] = &["seen: an order stops a wait"];
/// Where there are readers.
const WITH_READERS: &[&str] = &["action: batch, again", "seen: readers share a lock"];
/// Where locks change their mode.
const WITH_CONVERSIONS: &[&str] = &[
    "action: convert",
    "action: report Converted",
    "action: report Unconverted",
    "event: converted",
    "order: convert",
    "order: stop a conversion",
];
/// Where sessions are few.
const WITH_FEW: &[&str] = &["action: batch, careful", "event: unwritten"];

impl Coverage {
    pub(super) fn note(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    pub(super) fn add(&mut self, other: &Coverage) {
        for (what, count) in &other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }

    /// What must have happened and has not, of what can in such worlds.
    pub(super) fn missing(&self, kind: Kind) -> Vec<&'static str> {
        let waits = kind.sessions > 1;
        let wanted = [
            (true, ALWAYS),
            (kind.faults > 0, WITH_FAULTS),
            (kind.faults > 0 && waits, WITH_FAULTY_WAITS),
            (kind.faults > 0 && kind.sessions > 3, WITH_MANY),
            (waits, WITH_WAITS),
            (waits && kind.stops_waits, WITH_ORDERS),
            (kind.readers, WITH_READERS),
            (kind.converts, WITH_CONVERSIONS),
            (kind.readers && !kind.converts && kind.sessions > 3, &RARE),
            (kind.sessions < 3, WITH_FEW),
        ];
        let wanted = wanted.into_iter().filter(|(can, _)| *can).flat_map(|(_, what)| what);
        wanted.filter(|what| !self.0.contains_key(*what)).copied().collect()
    }

    /// How much of what is wanted there is, and how often.
    pub(super) fn table(&self) -> String {
        let mut table = String::new();
        for (what, count) in &self.0 {
            let _ = writeln!(table, "{count:>10}  {what}");
        }
        table
    }

    pub(super) fn event(&mut self, event: &SessionEvent, was_open: bool) {
        use crate::backend::Waited;
        self.note(match event {
            SessionEvent::Opened { .. } => "event: opened",
            SessionEvent::Answered { .. } => "event: answered",
            SessionEvent::Parts { .. } => "event: parts",
            SessionEvent::Unwritten { .. } => "event: unwritten",
            SessionEvent::Told { .. } => "event: told",
            SessionEvent::Waited { end: Waited::Granted, .. } => "event: waited, granted",
            SessionEvent::Waited { end: Waited::Busy, .. } => "event: waited, busy",
            SessionEvent::Waited { end: Waited::Deadlock, .. } => "event: waited, deadlock",
            SessionEvent::Converted { .. } => "event: converted",
            SessionEvent::Died(_) if was_open => "event: died",
            SessionEvent::Died(_) => "event: died before it was open",
        });
    }

    pub(super) fn action(&mut self, action: &Action) {
        self.note(match action {
            Action::Connect { .. } => "action: connect",
            Action::Close { .. } => "action: close",
            Action::Drop { .. } => "action: drop",
            Action::CloseDesk => "action: close the desk",
            Action::Fail { .. } => "action: fail a question",
            Action::LogDeadlock { .. } => "action: log a deadlock",
            Action::Report(report) => Self::report(&report.event),
            Action::Send { job, .. } => match job {
                Job::Batch { ops, .. } if ops.is_empty() => "action: ping",
                Job::Batch { careful: true, .. } => "action: batch, careful",
                Job::Batch { again: true, .. } => "action: batch, again",
                Job::Batch { .. } => "action: batch",
                Job::Ask(_) => "action: ask",
                Job::Wait { .. } => "action: wait",
                Job::Convert { time, .. } if time.is_zero() => "action: convert",
                Job::Convert { .. } => "action: convert, waiting",
            },
        });
    }

    fn report(event: &Event<LockId>) -> &'static str {
        match event {
            Event::Granted { .. } => "action: report Granted",
            Event::Refused { .. } => "action: report Refused",
            Event::Ended { .. } => "action: report Ended",
            Event::Failed { .. } => "action: report Failed",
            Event::Unlocked { .. } => "action: report Unlocked",
            Event::Lost { .. } => "action: report Lost",
            Event::Converted { .. } => "action: report Converted",
            Event::Unconverted { .. } => "action: report Unconverted",
            _ => "action: report of another kind",
        }
    }
}
