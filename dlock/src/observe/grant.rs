//! ObservedGrant: a grant that a caller has, until it ends in one way.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::Span;

use super::{Event, Label, Subject, Telemetry};
use crate::spec::key::Key;
use crate::spec::mode::Mode;
use crate::status::lost::{LostInfo, LostReason};

/// A grant that a caller has.
pub(crate) struct ObservedGrant {
    telemetry: Arc<Telemetry>,
    label: Label,
    state: Mutex<State>,
}

struct State {
    /// In which span the caller got it. It is kept no longer than the guard: a span ends with its last handle.
    span: Span,
    mode: Mode,
    /// Its end has been told.
    ended: bool,
    /// That it was lost has been told, or is nobody's business here.
    loss_told: bool,
}

impl ObservedGrant {
    /// A grant that this thread's span has just got.
    pub(crate) fn new(telemetry: Arc<Telemetry>, label: Label, mode: Mode) -> Self {
        let span = Span::current();
        let state = Mutex::new(State { span, mode, ended: false, loss_told: false });
        ObservedGrant { telemetry, label, state }
    }

    /// The caller has it now, in its own context.
    pub(crate) fn acquired(&self, key: &Key, waited: Duration) {
        let mode = self.state().mode;
        self.telemetry.emit(&Event::Acquired { of: self.subject(key, mode), waited });
    }

    /// Its guard has given it back, in its own context.
    pub(crate) fn released(&self, key: &Key, held: Duration) {
        if let (mode, true) = self.end() {
            self.telemetry.emit(&Event::Released { of: self.subject(key, mode), held });
        }
    }

    /// It was lost. Once its guard has gone, that is a release that has failed, unless the database
    /// says that it had not been held.
    pub(crate) fn lost(&self, info: &LostInfo, let_go: bool) {
        if std::mem::replace(&mut self.state().loss_told, true) {
            return;
        }
        let span = self.state().span.clone();
        let (mode, ends) = self.end();
        let of = self.subject(&info.key, mode);
        let event = if let_go && info.reason != LostReason::NotHeld {
            Event::ReleaseFailed { of, held: info.held_for, why: Some(info.reason), ends }
        } else {
            Event::Lost { of, info, ends }
        };
        in_span(&span, || self.telemetry.emit(&event));
    }

    /// It was let go, and the database did not confirm that.
    pub(crate) fn release_failed(&self, key: &Key, held: Duration) {
        let span = {
            let state = self.state();
            if state.loss_told {
                return;
            }
            state.span.clone()
        };
        let (mode, ends) = self.end();
        let event = Event::ReleaseFailed { of: self.subject(key, mode), held, why: None, ends };
        in_span(&span, || self.telemetry.emit(&event));
    }

    /// It is still held, longer than it should be.
    pub(crate) fn held_long(&self, key: &Key, held: Duration) {
        let (span, mode) = {
            let state = self.state();
            (state.span.clone(), state.mode)
        };
        let event = Event::LongHold { of: self.subject(key, mode), held };
        in_span(&span, || self.telemetry.emit(&event));
    }

    /// It is held in this mode from now on.
    pub(crate) fn converted(&self, key: &Key, to: Mode) {
        let (span, from) = {
            let mut state = self.state();
            if state.ended || state.mode == to {
                return;
            }
            (state.span.clone(), std::mem::replace(&mut state.mode, to))
        };
        let event = Event::Converted { of: self.subject(key, to), from };
        in_span(&span, || self.telemetry.emit(&event));
    }

    /// Its guard has gone, and knows all that is to be known.
    pub(crate) fn leave_span(&self) {
        let span = std::mem::replace(&mut self.state().span, Span::none());
        drop(span);
    }

    /// It is another process's: nothing more is told of it here.
    pub(crate) fn disown(&self) {
        let mut state = self.state();
        (state.ended, state.loss_told) = (true, true);
    }

    /// How it was held, and whether its end has not been told before.
    fn end(&self) -> (Mode, bool) {
        let mut state = self.state();
        (state.mode, !std::mem::replace(&mut state.ended, true))
    }

    fn subject<'a>(&'a self, key: &'a Key, mode: Mode) -> Subject<'a> {
        Subject { key, label: &self.label, mode }
    }

    // It is whole at every point where a panic could come from.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells something inside a span, on whatever thread this is: also to the subscriber of that span, if it
/// is that of some threads only.
pub(crate) fn in_span(span: &Span, tell: impl Fn()) {
    let told = span.with_subscriber(|(_, dispatch)| {
        tracing::dispatcher::with_default(dispatch, || span.in_scope(&tell));
    });
    if told.is_none() {
        tell();
    }
}
