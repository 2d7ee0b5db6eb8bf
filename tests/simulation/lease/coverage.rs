//! What a simulation has met: one that never comes to the rare cases proves nothing.

use std::collections::BTreeMap;

/// How often each thing has happened.
#[derive(Default, Clone)]
pub(crate) struct Coverage(BTreeMap<&'static str, u64>);

/// What must have happened in a run of usual length: calls of the core, what it has decided, the
/// jobs and what became of them, what the tables have decided, and what callers were told.
const EXPECTED: &[&str] = &[
    "action: answer adopted",
    "action: answer failed",
    "action: answer handed over",
    "action: answer held",
    "action: answer not held",
    "action: look",
    "action: probe",
    "action: report adopted",
    "action: report ended",
    "action: report failed",
    "action: report failed for good",
    "action: report granted",
    "action: report lost",
    "action: report refused",
    "action: report release",
    "action: report unlocked",
    "action: report unlocked, not clean",
    "action: send apply",
    "action: send question",
    "action: send renew",
    "action: settle confirmed",
    "action: settle not held",
    "action: settle ran out",
    "call: adopt",
    "call: ask",
    "call: cancel",
    "call: changed",
    "call: contact",
    "call: discard",
    "call: drop handed over",
    "call: drop token",
    "call: farewell",
    "call: finish",
    "call: hand over",
    "call: keep",
    "call: lapse",
    "call: linger",
    "call: make token",
    "call: refresh",
    "call: try",
    "call: unlock",
    "call: verify",
    "call: wait",
    "caller: a loss",
    "caller: a lock",
    "caller: busy",
    "caller: late",
    "caller: no answer",
    "fate: busy",
    "fate: connecting fails",
    "fate: done, and the answer lost",
    "fate: done late",
    "fate: done twice",
    "fate: ended",
    "fate: kept waiting",
    "fate: lost on the way",
    "fate: not for long enough",
    "fate: refused",
    "fate: the answer is cut short",
    "table: cancel",
    "table: discard",
    "table: grant",
    "table: lose",
    "table: mark released",
    "table: refuse",
    "table: try",
    "table: unlock",
    "table: wait",
];

/// What takes several faults at once.
const RARE: &[&str] = &["action: settle not held", "action: settle ran out"];

impl Coverage {
    pub(crate) fn count(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: &Coverage) {
        for (what, count) in &other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }

    /// What has not happened, and must have; `heavy`: where much breaks.
    pub(crate) fn missing(&self, heavy: bool) -> Vec<&'static str> {
        let expected = EXPECTED.iter().filter(|what| heavy || !RARE.contains(what));
        expected.copied().filter(|what| !self.0.contains_key(what)).collect()
    }

    /// A line for each.
    pub(crate) fn lines(&self) -> String {
        self.0.iter().map(|(what, count)| format!("{count:>10}  {what}\n")).collect()
    }
}
