//! ObservedSession: a connection to the server, until it ends in one way.

use std::sync::Arc;

use super::{Event, Telemetry};
use crate::error::Error;

/// What a connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionState {
    /// It is being opened.
    Connecting,
    /// It tries and holds, or is idle.
    Open,
    /// Its statement waits for a lock.
    Waiting,
}

#[cfg(feature = "metrics")]
impl SessionState {
    /// As it is called in metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            SessionState::Connecting => "connecting",
            SessionState::Open => "open",
            SessionState::Waiting => "waiting",
        }
    }
}

/// A connection, from the attempt to open it on. Its drop tells that it is closed.
pub(crate) struct ObservedSession {
    telemetry: Arc<Telemetry>,
    state: SessionState,
}

impl ObservedSession {
    /// A connection is being opened.
    pub(crate) fn connecting(telemetry: &Arc<Telemetry>) -> Self {
        let state = SessionState::Connecting;
        telemetry.emit(&Event::SessionMoved { from: None, to: Some(state) });
        ObservedSession { telemetry: Arc::clone(telemetry), state }
    }

    /// It is open, and waits for nothing.
    pub(crate) fn is_open(&mut self) {
        self.go(SessionState::Open);
    }

    /// It waits for a lock.
    pub(crate) fn waits(&mut self) {
        self.go(SessionState::Waiting);
    }

    fn go(&mut self, to: SessionState) {
        let from = std::mem::replace(&mut self.state, to);
        if from != to {
            self.telemetry.emit(&Event::SessionMoved { from: Some(from), to: Some(to) });
        }
    }

    /// It is about to end by this.
    pub(crate) fn is_broken(&self, error: &Error) {
        self.telemetry.emit(&Event::SessionBroken { error });
    }
}

impl Drop for ObservedSession {
    fn drop(&mut self) {
        self.telemetry.emit(&Event::SessionMoved { from: Some(self.state), to: None });
    }
}
