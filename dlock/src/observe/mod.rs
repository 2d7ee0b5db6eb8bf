//! What a locker tells of its work: to the log, to metrics, and to the user's own observer.
//!
//! Every place in the code says once what happened, as an [`Event`]. This module knows who is told.

mod event;
mod grant;
mod label;
mod log;
#[cfg(feature = "metrics")]
mod meters;
mod observer;
mod session;
mod waiting;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::event::{Event, Subject};
pub(crate) use self::grant::ObservedGrant;
pub(crate) use self::label::Label;
#[cfg(feature = "metrics")]
use self::meters::Meters;
use self::observer::Listener;
pub use self::observer::{ObservedLock, ObservedLocker, Observer};
pub(crate) use self::session::{ObservedSession, SessionState};
pub(crate) use self::waiting::Waiting;
use crate::error::{Error, Result};

/// What is to be observed of a locker.
#[derive(Default)]
pub(crate) struct Settings {
    /// What the locker is called.
    pub(crate) locker: Box<str>,
    pub(crate) slow_wait: Option<Duration>,
    pub(crate) max_hold: Option<Duration>,
    pub(crate) observer: Option<Arc<dyn Observer>>,
}

impl Settings {
    /// An error if the settings cannot be.
    pub(crate) fn check(&self) -> Result<()> {
        for (name, limit) in [("slow_wait", self.slow_wait), ("max_hold", self.max_hold)] {
            if limit.is_some_and(|limit| limit.is_zero()) {
                return Err(Error::config(format!(
                    "{name} is zero, so every lock would be reported; leave it out, or make it longer \
                     than usual"
                )));
            }
        }
        Ok(())
    }
}

/// Tells what happens to the locks of one locker.
#[derive(Default)]
pub(crate) struct Telemetry {
    /// Which kind of database it is, as in its URL: `postgres`, `lease+mysql`.
    backend: Cow<'static, str>,
    /// The database and its address.
    server: Box<str>,
    settings: Settings,
    #[cfg(feature = "metrics")]
    meters: Option<Meters>,
    listener: Option<Listener>,
}

impl Telemetry {
    /// `server`: the database and its address. `leases`: its locks are rows of a table.
    pub(crate) fn new(server: &str, leases: bool, mut settings: Settings) -> Arc<Self> {
        let kind = server.split(' ').next().unwrap_or_default();
        // SQLite has no other locks.
        let prefix = if leases && kind != "sqlite" { "lease+" } else { "" };
        let backend = format!("{prefix}{kind}");
        let listener = settings.observer.take().map(|observer| {
            let name = (&*settings.locker).into();
            let locker =
                ObservedLocker { name, backend: backend.as_str().into(), server: server.into() };
            Listener::new(observer, locker)
        });
        Arc::new(Telemetry {
            #[cfg(feature = "metrics")]
            meters: Some(Meters::new(&backend, &settings.locker)),
            backend: backend.into(),
            server: server.into(),
            settings,
            listener,
        })
    }

    /// Of locks on the caller's own connection: there is no locker, and only the log is told. Costs nothing.
    #[cfg(feature = "_server")]
    pub(crate) fn of_connection(backend: &'static str) -> Self {
        Telemetry { backend: backend.into(), ..Telemetry::default() }
    }

    /// From when on a wait is worth a warning.
    pub(crate) fn slow_wait(&self) -> Option<Duration> {
        self.settings.slow_wait
    }

    /// From when on a lock has been held too long.
    pub(crate) fn max_hold(&self) -> Option<Duration> {
        self.settings.max_hold
    }

    /// Tells everybody who listens.
    pub(crate) fn emit(&self, event: &Event<'_>) {
        log::emit(self, event);
        #[cfg(feature = "metrics")]
        self.meters.iter().for_each(|meters| meters.record(event));
        self.listener.iter().for_each(|listener| listener.tell(event));
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").field("backend", &self.backend).finish_non_exhaustive()
    }
}
