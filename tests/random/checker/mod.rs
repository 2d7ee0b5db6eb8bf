//! What must be true of every history, whatever was planned and whatever went wrong.

mod answers;
mod busy;
mod exclusion;
mod fences;
mod history;
mod possible;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use dlock_tests::random::Entry;

use self::history::{Call, History};

/// What is not as it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// Holders at one time that do not go together.
    Exclusion,
    /// Somebody had a lock within the `min_hold` of another.
    MinHold,
    /// A fencing token that is not greater, or missing, or too much.
    Fence,
    /// Told "busy", and nobody can have held it.
    FalseBusy,
    /// Waited for a lock that nobody can have held.
    WaitedThoughFree,
    /// Answered later than its timeout and a bound.
    TooLate,
    /// Timed out before its time.
    TooEarly,
    /// Never answered.
    Unanswered,
    /// An error that nothing explains.
    Unexplained,
    /// `on_lost` did not run once for a lost lock, or ran for another.
    OnLost,
    /// A wrong answer under the same lock.
    Reentrancy,
    /// Who is said to have it has not.
    Stage,
    /// The server shows what should be gone.
    Leftover,
}

/// One thing that is not as it must be.
#[derive(Debug, Clone)]
pub(crate) struct Violation {
    pub(crate) kind: Kind,
    pub(crate) text: String,
    /// Of whose calls the journal is worth reading: process and call.
    pub(crate) calls: Vec<(usize, String)>,
    /// Facts by which known faults are told.
    pub(crate) about: BTreeSet<&'static str>,
}

impl Violation {
    fn new(kind: Kind, calls: &[&Call], text: String) -> Self {
        let mut about = BTreeSet::new();
        for call in calls {
            about.extend(facts(call));
        }
        let calls = calls.iter().map(|call| (call.process, call.id.clone())).collect();
        Violation { kind, text, calls, about }
    }
}

fn facts(call: &Call) -> Vec<&'static str> {
    let take = &call.take;
    let inside = call.id.contains('/');
    [
        ("permits", take.permits > 1),
        ("min_hold", take.min_hold > 0),
        ("together", take.together),
        ("shared", take.shared),
        ("on_lost", take.on_lost),
        ("solo", take.solo.is_some()),
        ("idle", take.idle > 0),
        ("inside", inside),
        ("reentrant", take.reentrant),
    ]
    .into_iter()
    .filter_map(|(fact, holds)| holds.then_some(fact))
    .collect()
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.text)
    }
}

/// What is known of the place where a history comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    /// The time to live of sessions and leases.
    pub(crate) ttl: Duration,
    /// Locks are leases.
    pub(crate) leases: bool,
    /// How much longer than on an idle machine things may have taken.
    pub(crate) slack: Duration,
}

/// Times in nanoseconds, as in journals.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    ttl: u64,
    leases: bool,
    /// What needs no more than milliseconds is done by then, however busy the machine is.
    grace: u64,
    /// A waiter has a lock that is free by then.
    late: u64,
    /// How long after its time an answer may come.
    answer: u64,
    /// The news that a session has ended comes to its holders by then.
    news: u64,
}

const MS: u64 = 1_000_000;

impl Bounds {
    fn of(setting: Setting) -> Self {
        let [ttl, slack] =
            [setting.ttl, setting.slack].map(|time| u64::try_from(time.as_nanos()).unwrap());
        Bounds {
            ttl,
            leases: setting.leases,
            grace: 2000 * MS + slack,
            late: 3000 * MS + slack,
            answer: 3000 * MS + slack,
            news: 500 * MS + ttl / 3 + slack / 2,
        }
    }
}

/// Looks for all that must not be.
pub(crate) fn check(entries: &[Entry], setting: Setting) -> Vec<Violation> {
    let history = History::of(entries);
    let bounds = Bounds::of(setting);
    let mut found = Vec::new();
    exclusion::check(&history, bounds, &mut found);
    fences::check(&history, &mut found);
    let possible = possible::all(&history, bounds);
    busy::check(&history, &possible, bounds, &mut found);
    answers::check(&history, bounds, &mut found);
    found.sort_by_key(|violation| violation.kind);
    found
}

/// By when each key is free, as far as the calls of a history are concerned; `u64::MAX`: never.
pub(crate) fn free_by(entries: &[Entry], setting: Setting) -> BTreeMap<u8, u64> {
    let history = History::of(entries);
    let mut free = BTreeMap::new();
    let possible = possible::all(&history, Bounds::of(setting));
    for (call, (_, until)) in history.calls.iter().zip(possible) {
        for key in &call.take.keys {
            let by = free.entry(*key).or_insert(0);
            *by = until.max(*by);
        }
    }
    free
}
