//! A subscriber that keeps what it is told.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::{LookupSpan, Registry};

/// What a field holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Number(u64),
    Text(String),
}

/// An event, and the span that it was emitted in.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) name: &'static str,
    pub(crate) level: Level,
    /// The name of the span.
    pub(crate) span: Option<String>,
    fields: HashMap<&'static str, Value>,
}

impl Told {
    /// The text of a field; none if it is not there.
    pub(crate) fn text(&self, field: &str) -> Option<&str> {
        match self.fields.get(field)? {
            Value::Text(text) => Some(text),
            Value::Number(_) => panic!("{field} is a number in {self:?}"),
        }
    }

    /// The number in a field.
    pub(crate) fn number(&self, field: &str) -> u64 {
        match self.fields.get(field) {
            Some(Value::Number(number)) => *number,
            _ => panic!("no number {field} in {self:?}"),
        }
    }
}

/// All events of the process so far.
#[derive(Default)]
struct Recorder {
    told: Mutex<Vec<Told>>,
    /// The names of the spans that are open.
    open: Mutex<Vec<String>>,
}

fn recorder() -> &'static Arc<Recorder> {
    static RECORDER: OnceLock<Arc<Recorder>> = OnceLock::new();
    RECORDER.get_or_init(|| {
        let recorder = Arc::<Recorder>::default();
        let layer = Shared(Arc::clone(&recorder));
        tracing::subscriber::set_global_default(Registry::default().with(layer)).unwrap();
        recorder
    })
}

/// Begins to listen.
pub(crate) fn listen() {
    recorder();
}

/// What was told of the locker of this name, in order.
pub(crate) fn told(locker: &str) -> Vec<Told> {
    let told = lock(&recorder().told);
    told.iter().filter(|told| told.text("locker") == Some(locker)).cloned().collect()
}

/// What was told of this key, in order.
pub(crate) fn told_of(locker: &str, key: &str) -> Vec<Told> {
    let all = told(locker).into_iter();
    all.filter(|told| told.text("key") == Some(key)).collect()
}

/// The names of what was told of this key.
pub(crate) fn names(locker: &str, key: &str) -> Vec<&'static str> {
    told_of(locker, key).iter().map(|told| told.name).collect()
}

/// Whether a span of this name is open.
pub(crate) fn is_open(span: &str) -> bool {
    lock(&recorder().open).iter().any(|name| name == span)
}

struct Shared(Arc<Recorder>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

/// The text of the field `is` of a span: tests name their spans by that, since names are static.
struct Name(String);

#[derive(Default)]
struct Fields(HashMap<&'static str, Value>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), Value::Text(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), Value::Text(value.to_owned()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name(), Value::Number(value));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Shared {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(Value::Text(name)) = fields.0.remove("is") {
            lock(&self.0.open).push(name.clone());
            context.span(id).unwrap().extensions_mut().insert(Name(name));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let span = context.event_span(event);
        let span = span.and_then(|span| Some(span.extensions().get::<Name>()?.0.clone()));
        let (name, level) = (event.metadata().name(), *event.metadata().level());
        lock(&self.0.told).push(Told { name, level, span, fields: fields.0 });
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let span = context.span(&id).unwrap();
        if let Some(Name(name)) = span.extensions().get::<Name>() {
            lock(&self.0.open).retain(|open| open != name);
        }
    }
}
