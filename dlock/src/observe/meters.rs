//! Metrics, by the facade of the crate `metrics`.
//!
//! The keys of a kind of lock are made once: then a sample costs a look into this map and one into the
//! recorder's.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use metrics::{Key, Level, Metadata, SharedString, Unit};

use super::{Event, Label, SessionState, Subject};
use crate::error::Error;
use crate::spec::mode::Mode;
use crate::status::lost::LostReason;

const ACQUIRE_DURATION: &str = "dlock.acquire.duration";
const HOLD_DURATION: &str = "dlock.hold.duration";
const HELD: &str = "dlock.held";
const WAITING: &str = "dlock.waiting";
const LOST: &str = "dlock.lost";
const RENEW_DURATION: &str = "dlock.renew.duration";
const SESSIONS: &str = "dlock.sessions";
const RELEASE_FAILED: &str = "dlock.release.failed";

static METADATA: Metadata<'static> = Metadata::new("dlock", Level::INFO, Some("dlock"));

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Outcome {
    Granted,
    Busy,
    Timeout,
    Lost,
    Error,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Outcome::Granted => "granted",
            Outcome::Busy => "busy",
            Outcome::Timeout => "timeout",
            Outcome::Lost => "lost",
            Outcome::Error => "error",
        }
    }
}

/// The metrics of one locker.
pub(super) struct Meters {
    backend: SharedString,
    locker: SharedString,
    renew_duration: Key,
    locks: RwLock<HashMap<(Mode, Label), Arc<OfLock>>>,
}

/// The metrics of the locks of one label and one mode.
struct OfLock {
    held: Key,
    waiting: Key,
    hold_duration: Key,
    release_failed: Key,
    granted: Key,
    /// The labels, for what is seldom.
    labels: Vec<metrics::Label>,
}

impl Meters {
    pub(super) fn new(backend: &str, locker: &str) -> Self {
        describe();
        let backend = SharedString::from(Arc::<str>::from(backend));
        let locker = SharedString::from(Arc::<str>::from(locker));
        let labels = vec![
            metrics::Label::new("backend", backend.clone()),
            metrics::Label::new("locker", locker.clone()),
        ];
        let renew_duration = Key::from_parts(RENEW_DURATION, labels);
        Meters { backend, locker, renew_duration, locks: RwLock::default() }
    }

    pub(super) fn record(&self, event: &Event<'_>) {
        match *event {
            Event::WaitBegan { of } => add(&self.of(of).waiting, 1.0),
            Event::WaitEnded { of } => add(&self.of(of).waiting, -1.0),
            Event::Acquired { of, waited } => {
                let meters = self.of(of);
                sample(&meters.granted, waited.as_secs_f64());
                add(&meters.held, 1.0);
            }
            Event::Busy { of, waited, .. } => {
                self.of(of).ended(Outcome::Busy, waited.as_secs_f64());
            }
            Event::TimedOut { of, waited, .. } => {
                self.of(of).ended(Outcome::Timeout, waited.as_secs_f64());
            }
            Event::Failed { of, waited, error } => {
                let lost = matches!(error, Error::Lost { .. });
                let outcome = if lost { Outcome::Lost } else { Outcome::Error };
                self.of(of).ended(outcome, waited.as_secs_f64());
            }
            Event::Converted { of, from } => {
                add(&self.of(Subject { mode: from, ..of }).held, -1.0);
                add(&self.of(of).held, 1.0);
            }
            Event::Released { of, held } => {
                let meters = self.of(of);
                add(&meters.held, -1.0);
                sample(&meters.hold_duration, held.as_secs_f64());
            }
            Event::Lost { of, info, ends } => {
                let meters = self.of(of);
                if ends {
                    add(&meters.held, -1.0);
                    sample(&meters.hold_duration, info.held_for.as_secs_f64());
                }
                count(&meters.with(LOST, "reason", reason(info.reason)));
            }
            Event::ReleaseFailed { of, held, ends, .. } => {
                let meters = self.of(of);
                if ends {
                    add(&meters.held, -1.0);
                    sample(&meters.hold_duration, held.as_secs_f64());
                }
                count(&meters.release_failed);
            }
            Event::Renewed { took } => sample(&self.renew_duration, took.as_secs_f64()),
            Event::SessionMoved { from, to, .. } => {
                from.into_iter().for_each(|state| add(&self.sessions(state), -1.0));
                to.into_iter().for_each(|state| add(&self.sessions(state), 1.0));
            }
            Event::SlowWait { .. } | Event::LongHold { .. } | Event::SessionBroken { .. } => {}
        }
    }

    fn sessions(&self, state: SessionState) -> Key {
        let labels = vec![
            metrics::Label::new("backend", self.backend.clone()),
            metrics::Label::new("locker", self.locker.clone()),
            metrics::Label::from_static_parts("state", state.name()),
        ];
        Key::from_parts(SESSIONS, labels)
    }

    fn of(&self, Subject { label, mode, .. }: Subject<'_>) -> Arc<OfLock> {
        let known = (mode, label.clone());
        // The map is whole at every point where a panic could come from.
        let locks = self.locks.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(meters) = locks.get(&known) {
            return Arc::clone(meters);
        }
        drop(locks);
        let mut locks = self.locks.write().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(OfLock::new(&self.backend, &self.locker, label, mode));
        Arc::clone(locks.entry(known).or_insert_with(new))
    }
}

impl OfLock {
    fn new(backend: &SharedString, locker: &SharedString, label: &Label, mode: Mode) -> Self {
        let label = match label {
            Label::Static(text) => SharedString::const_str(text),
            Label::Shared(text) => Arc::clone(text).into(),
        };
        let labels = vec![
            metrics::Label::new("backend", backend.clone()),
            metrics::Label::new("locker", locker.clone()),
            metrics::Label::new("mode", mode.to_string()),
            metrics::Label::new("lock", label),
        ];
        let key = |name: &'static str| Key::from_parts(name, labels.clone());
        let mut meters = OfLock {
            held: key(HELD),
            waiting: key(WAITING),
            hold_duration: key(HOLD_DURATION),
            release_failed: key(RELEASE_FAILED),
            granted: key(ACQUIRE_DURATION),
            labels,
        };
        meters.granted = meters.with(ACQUIRE_DURATION, "outcome", Outcome::Granted.name());
        meters
    }

    /// The metric of this name with one label more.
    fn with(&self, name: &'static str, label: &'static str, value: &'static str) -> Key {
        let mut labels = self.labels.clone();
        labels.push(metrics::Label::from_static_parts(label, value));
        Key::from_parts(name, labels)
    }

    fn ended(&self, outcome: Outcome, waited: f64) {
        sample(&self.with(ACQUIRE_DURATION, "outcome", outcome.name()), waited);
    }
}

fn reason(reason: LostReason) -> &'static str {
    match reason {
        LostReason::SessionEnded => "session_ended",
        LostReason::Unconfirmed => "unconfirmed",
        LostReason::NotHeld => "not_held",
        LostReason::Expired => "expired",
        LostReason::Overtaken => "overtaken",
        LostReason::Closed => "closed",
    }
}

fn add(key: &Key, by: f64) {
    metrics::with_recorder(|recorder| recorder.register_gauge(key, &METADATA).increment(by));
}

fn count(key: &Key) {
    metrics::with_recorder(|recorder| recorder.register_counter(key, &METADATA).increment(1));
}

fn sample(key: &Key, value: f64) {
    metrics::with_recorder(|recorder| recorder.register_histogram(key, &METADATA).record(value));
}

/// Says what the metrics are to the recorder there is.
fn describe() {
    metrics::describe_histogram!(
        ACQUIRE_DURATION,
        Unit::Seconds,
        "How long callers waited for a lock, by how that ended (outcome)."
    );
    metrics::describe_histogram!(HOLD_DURATION, Unit::Seconds, "How long locks were held.");
    metrics::describe_gauge!(HELD, "Locks that this process holds now.");
    metrics::describe_gauge!(WAITING, "Callers that have asked for a lock and have no answer yet.");
    metrics::describe_counter!(LOST, "Locks that were lost while they were held, by reason.");
    metrics::describe_histogram!(
        RENEW_DURATION,
        Unit::Seconds,
        "How long the database took to renew leases, or to answer a heartbeat."
    );
    metrics::describe_gauge!(SESSIONS, "Connections to the database, by what they do (state).");
    metrics::describe_counter!(RELEASE_FAILED, "Releases that the database did not confirm.");
}
