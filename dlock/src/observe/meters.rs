//! Metrics, by the facade of the crate `metrics`.
//!
//! The recorder is asked for a series once in a while and not for each sample: that look-up cost more than
//! all the rest.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use metrics::{Gauge, Histogram, Key, Level, Metadata, SharedString, Unit};

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

/// So long a handle of the recorder's is used. A recorder may forget a series that had no sample for a while
/// (that of Prometheus does, with an `idle_timeout`), and what is recorded by the old handle is then never
/// seen. This is shorter than any such time.
const HANDLE_AGE_MAX: Duration = Duration::from_secs(1);

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
    locks: RwLock<HashMap<(Mode, Label), Arc<OfLock>, foldhash::fast::RandomState>>,
}

/// The metrics of the locks of one label and one mode.
struct OfLock {
    made: Instant,
    held: Series<Gauge>,
    waiting: Series<Gauge>,
    hold_duration: Series<Histogram>,
    granted: Series<Histogram>,
    /// The labels, for what is seldom.
    labels: Vec<metrics::Label>,
}

/// A series, and the recorder's handle of it once there has been a sample.
struct Series<H> {
    key: Key,
    handle: OnceLock<H>,
}

impl<H> From<Key> for Series<H> {
    fn from(key: Key) -> Self {
        Series { key, handle: OnceLock::new() }
    }
}

impl Series<Gauge> {
    fn add(&self, by: f64) {
        self.handle.get_or_init(|| gauge(&self.key)).increment(by);
    }
}

impl Series<Histogram> {
    fn sample(&self, value: f64) {
        self.handle.get_or_init(|| histogram(&self.key)).record(value);
    }
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
            Event::WaitBegan { of } => self.of(of).waiting.add(1.0),
            Event::WaitEnded { of } => self.of(of).waiting.add(-1.0),
            Event::Acquired { of, waited } => {
                let meters = self.of(of);
                meters.granted.sample(waited.as_secs_f64());
                meters.held.add(1.0);
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
                self.of(Subject { mode: from, ..of }).held.add(-1.0);
                self.of(of).held.add(1.0);
            }
            Event::Released { of, held } => {
                self.of(of).let_go(held);
            }
            Event::Lost { of, info, ends } => {
                let meters = self.of(of);
                if ends {
                    meters.let_go(info.held_for);
                }
                count(&meters.with(LOST, "reason", reason(info.reason)));
            }
            Event::ReleaseFailed { of, held, ends, .. } => {
                let meters = self.of(of);
                if ends {
                    meters.let_go(held);
                }
                count(&Key::from_parts(RELEASE_FAILED, meters.labels.clone()));
            }
            Event::Renewed { took } => histogram(&self.renew_duration).record(took.as_secs_f64()),
            Event::SessionMoved { from, to, .. } => {
                from.into_iter().for_each(|state| gauge(&self.sessions(state)).increment(-1.0));
                to.into_iter().for_each(|state| gauge(&self.sessions(state)).increment(1.0));
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
        let is_fresh = |meters: &&Arc<OfLock>| meters.made.elapsed() < HANDLE_AGE_MAX;
        // The map is whole at every point where a panic could come from.
        let locks = self.locks.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(meters) = locks.get(&known).filter(is_fresh) {
            return Arc::clone(meters);
        }
        drop(locks);
        let mut locks = self.locks.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have been here.
        if let Some(meters) = locks.get(&known).filter(is_fresh) {
            return Arc::clone(meters);
        }
        let new = Arc::new(OfLock::new(&self.backend, &self.locker, label, mode));
        locks.insert(known, Arc::clone(&new));
        new
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
        let (held, waiting, hold_duration) = (key(HELD), key(WAITING), key(HOLD_DURATION));
        let granted = with(&labels, ACQUIRE_DURATION, "outcome", Outcome::Granted.name());
        OfLock {
            made: Instant::now(),
            held: held.into(),
            waiting: waiting.into(),
            hold_duration: hold_duration.into(),
            granted: granted.into(),
            labels,
        }
    }

    /// The metric of this name with one label more.
    fn with(&self, name: &'static str, label: &'static str, value: &'static str) -> Key {
        with(&self.labels, name, label, value)
    }

    /// One is not held any more.
    fn let_go(&self, held: Duration) {
        self.held.add(-1.0);
        self.hold_duration.sample(held.as_secs_f64());
    }

    fn ended(&self, outcome: Outcome, waited: f64) {
        histogram(&self.with(ACQUIRE_DURATION, "outcome", outcome.name())).record(waited);
    }
}

/// The metric of this name with these labels and one more.
fn with(
    labels: &[metrics::Label],
    name: &'static str,
    label: &'static str,
    value: &'static str,
) -> Key {
    let last = metrics::Label::from_static_parts(label, value);
    let labels = labels.iter().cloned().chain([last]);
    Key::from_parts(name, labels.collect::<Vec<_>>())
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

fn gauge(key: &Key) -> Gauge {
    metrics::with_recorder(|recorder| recorder.register_gauge(key, &METADATA))
}

fn count(key: &Key) {
    metrics::with_recorder(|recorder| recorder.register_counter(key, &METADATA).increment(1));
}

fn histogram(key: &Key) -> Histogram {
    metrics::with_recorder(|recorder| recorder.register_histogram(key, &METADATA))
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use std::sync::Mutex;
    use std::thread::sleep;

    use metrics::{Counter, KeyName, Recorder, with_local_recorder};

    use super::*;
    use crate::spec::key::Key as LockKey;

    /// Keeps the names of the series that it is asked for.
    #[derive(Default)]
    struct Asked(Mutex<Vec<String>>);

    impl Asked {
        fn note(&self, key: &Key) {
            self.0.lock().unwrap().push(key.name().to_owned());
        }
    }

    impl Recorder for Asked {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            self.note(key);
            Counter::noop()
        }

        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
            self.note(key);
            Gauge::noop()
        }

        fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
            self.note(key);
            Histogram::noop()
        }
    }

    #[test]
    fn recorder_is_asked_for_a_series_once_in_a_while() {
        let (asked, meters, key) = (Asked::default(), Meters::new("memory", ""), "k".into());
        let lock: &LockKey = &key;
        let of = Subject { key: lock, label: &Label::NONE, mode: Mode::Exclusive };
        let held = Duration::from_millis(1);
        let pair = || {
            meters.record(&Event::WaitBegan { of });
            meters.record(&Event::Acquired { of, waited: held });
            meters.record(&Event::WaitEnded { of });
            meters.record(&Event::Released { of, held });
        };
        let series = [WAITING, ACQUIRE_DURATION, HELD, HOLD_DURATION];
        with_local_recorder(&asked, || (0..10).for_each(|_| pair()));
        assert_eq!(*asked.0.lock().unwrap(), series);
        // It may have forgotten them meanwhile.
        sleep(HANDLE_AGE_MAX);
        with_local_recorder(&asked, pair);
        assert_eq!(*asked.0.lock().unwrap(), [series, series].concat());
    }
}
