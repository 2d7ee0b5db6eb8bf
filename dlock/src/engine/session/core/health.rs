//! Whether the server answers, and why not.

use std::sync::Arc;

use crate::clock::Time;
use crate::error::Error;

/// See the [module](self).
pub(super) struct Health {
    label: Box<str>,
    /// What callers are told who cannot be served.
    trouble: Error,
    /// When the newest thing was sent that the server has answered.
    answered: Time,
    /// A sign of life is wanted, to know whether it still answers.
    in_doubt: bool,
}

impl Health {
    /// That of a server of this name, whose first session is to be opened.
    pub(super) fn new(label: Box<str>, now: Time) -> Self {
        Health { trouble: no_answer(&label), label, answered: now, in_doubt: false }
    }

    pub(super) fn label(&self) -> &str {
        &self.label
    }

    pub(super) fn trouble(&self) -> &Error {
        &self.trouble
    }

    pub(super) fn note(&mut self, error: Error) {
        self.trouble = error;
    }

    pub(super) fn note_silence(&mut self) {
        self.trouble = no_answer(&self.label);
    }

    /// A write has no session.
    pub(super) fn note_no_writer(&mut self) {
        self.trouble = no_writer(&self.label);
    }

    /// A session was opened: what failed before may be over.
    pub(super) fn opened(&mut self) {
        if self.trouble.is_retryable() {
            self.note_silence();
        }
    }

    /// Those whom the last error concerned have been told: it is not what others wait for.
    pub(super) fn told(&mut self) {
        if !self.trouble.is_retryable() {
            self.note_silence();
        }
    }

    /// Returns `true` if the error is not one that passes.
    pub(super) fn is_fatal(&self) -> bool {
        !self.trouble.is_retryable()
    }

    /// The server has answered what was sent then.
    pub(super) fn answered(&mut self, sent: Time) {
        self.answered = self.answered.max(sent);
    }

    /// Returns `true` if the server has answered something that was sent since then.
    pub(super) fn has_answered_since(&self, since: Time) -> bool {
        self.answered >= since
    }

    pub(super) fn doubt(&mut self) {
        self.in_doubt = true;
    }

    pub(super) fn is_in_doubt(&self) -> bool {
        self.in_doubt
    }

    pub(super) fn take_doubt(&mut self) -> bool {
        std::mem::take(&mut self.in_doubt)
    }
}

fn no_writer(label: &str) -> Error {
    const REMEDY: &str = "a fenced lock is taken on a session that keeps no locks without a token: \
        raise LockerBuilder::max_sessions, or release other locks first";
    Error::full(label, REMEDY, Arc::new(NoWriter))
}

#[derive(Debug, thiserror::Error)]
#[error("all sessions keep other locks, or do not answer")]
struct NoWriter;

fn no_answer(label: &str) -> Error {
    Error::unavailable(label, NoAnswer)
}

#[derive(Debug, thiserror::Error)]
#[error("it has not answered in time")]
struct NoAnswer;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_that_does_not_pass_is_told_once_and_one_that_passes_until_a_session_opens() {
        let mut health = Health::new("memory".into(), Time::now());
        health.note(Error::config("wrong"));
        assert!(health.is_fatal());
        health.opened();
        assert!(health.is_fatal(), "a new session does not mend it");
        health.told();
        assert!(!health.is_fatal());
        health.note_no_writer();
        health.told();
        assert!(health.trouble().to_string().contains("max_sessions"));
        health.opened();
        assert!(!health.trouble().to_string().contains("max_sessions"));
    }
}
