//! Plan: which keys, in which mode, waiting how long.

use std::time::{Duration, Instant};

use super::dialect::{Dialect, check_mode};
use super::wanted::Wanted;
use crate::error::{Error, Result};
use crate::observe::{Event, Label, Subject, Telemetry};
use crate::spec::key::Key;
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;
use crate::spec::options::check_retry_every;
use crate::spec::scheme::KeyScheme;
use crate::spec::wait::Wait;

/// What is to be locked, before anything is asked of the database.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) keys: Vec<Key>,
    scheme: KeyScheme,
    namespace: String,
    pub(crate) wait: Wait,
    /// The pause between two tries; `None`: a statement waits.
    pub(crate) retry_every: Option<Duration>,
    pub(crate) mode: Mode,
    /// What the lock is called in the log.
    pub(crate) label: Label,
}

impl Plan {
    pub(crate) fn new(keys: Vec<Key>, scheme: KeyScheme, namespace: String) -> Self {
        let (wait, retry_every, mode) = (Wait::DEFAULT, None, Mode::Exclusive);
        Plan { keys, scheme, namespace, wait, retry_every, mode, label: Label::NONE }
    }

    /// The locks, each once and in one order everywhere, so that two who want the same ones do not
    /// wait for each other.
    pub(crate) fn wanted<D: Dialect>(&self) -> Result<Vec<Wanted>> {
        check_mode::<D>(self.mode)?;
        self.retry_every.map_or(Ok(()), check_retry_every)?;
        self.scheme.check_namespace(&self.namespace)?;
        self.scheme.check(D::NAMING, D::LABEL)?;
        let mut wanted = Vec::with_capacity(self.keys.len());
        for key in &self.keys {
            let native = self.scheme.native(D::NAMING, key, &self.namespace)?;
            let lock_id = LockId { key: native, mode: self.mode };
            wanted.push(Wanted { key: key.clone(), lock_id, stays: false });
        }
        wanted.sort_by(|a, b| a.lock_id.cmp(&b.lock_id));
        wanted.dedup_by(|a, b| a.lock_id == b.lock_id);
        if wanted.is_empty() {
            return Err(Error::config("there is no key to lock; give at least one"));
        }
        Ok(wanted)
    }

    /// Tells of a call that has an answer: why it did not get the lock.
    pub(super) fn tell_refusal<D: Dialect>(&self, waiting: Waiting, error: &Error) {
        let Some(first) = self.keys.first() else { return };
        let key = if let Error::Timeout { key, .. } = error { key } else { first };
        let (waited, patient) = (waiting.since.elapsed(), waiting.wait != Wait::NoWait);
        self.tell::<D>(key, |of| Event::refusal(of, waited, patient, error));
    }

    /// Tells of one of these locks what happened to it.
    pub(super) fn tell<'a, D: Dialect>(
        &'a self,
        key: &'a Key,
        event: impl FnOnce(Subject<'a>) -> Event<'a>,
    ) {
        let of = Subject { key, label: &self.label, mode: self.mode };
        Telemetry::of_connection(D::LABEL).emit(&event(of));
    }

    /// This error, about what is to be locked: the first key, if it names none.
    pub(crate) fn name(&self, error: Error) -> Error {
        match self.keys.first() {
            Some(key) => error.about(key),
            None => error,
        }
    }
}

/// A wait that has begun.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waiting {
    pub(crate) wait: Wait,
    pub(crate) since: Instant,
}

impl Waiting {
    pub(crate) fn begin(wait: Wait) -> Self {
        Waiting { wait, since: Instant::now() }
    }

    /// What is left of it: never less than the time that has not gone by.
    pub(crate) fn left(self) -> Wait {
        match self.wait {
            Wait::For(time) => time.saturating_sub(self.since.elapsed()).into(),
            other => other,
        }
    }
}
