//! Waiting: what is told of a caller who waits for longer than usual.

use std::time::Duration;

use tracing::Span;

use super::grant::in_span;
use super::{Event, Label, Subject, Telemetry};
use crate::spec::key::Key;
use crate::spec::mode::Mode;
use crate::status::holder::Holder;

/// What is to be known of a caller to tell that it waits for longer than usual.
pub(crate) struct Waiting {
    /// When that is, counted from its question.
    pub(crate) after: Duration,
    label: Label,
    span: Span,
}

impl Waiting {
    /// A caller on this thread, in its span; `None`: nobody wants to know how long it waits.
    pub(crate) fn here(telemetry: &Telemetry, label: &Label) -> Option<Box<Self>> {
        let after = telemetry.slow_wait()?;
        Some(Box::new(Waiting { after, label: label.clone(), span: Span::current() }))
    }

    /// Tells that it has waited for this long, and for whom, if that is known.
    pub(crate) fn tell(
        &self,
        telemetry: &Telemetry,
        (key, mode): (&Key, Mode),
        waited: Duration,
        holder: Option<&Holder>,
    ) {
        let of = Subject { key, label: &self.label, mode };
        in_span(&self.span, || telemetry.emit(&Event::SlowWait { of, waited, holder }));
    }
}
