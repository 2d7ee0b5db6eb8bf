//! A change of mode: what a caller wants, and how far it has come.

use std::time::Duration;

use tokio::time::Instant;

use super::call_clock::on_our_clock;
use super::executor::Reply;
use crate::engine::call_deadline::Deadline;
use crate::error::Result;
use crate::spec::mode::Mode;

/// A change of mode that a caller waits for.
pub(crate) struct Conversion {
    /// The mode that is wanted.
    pub(crate) to: Mode,
    pub(crate) deadline: Deadline,
    pub(crate) reply: Reply<()>,
}

/// A change of mode that is under way.
pub(super) struct Converting {
    to: Mode,
    patient: bool,
    asked: Instant,
    until: Option<Instant>,
    /// Of its time, with what the database has for its last answer.
    alarm: Option<Instant>,
    /// `None`: whoever wanted it has gone, or has been told that there is no answer.
    reply: Option<Reply<()>>,
    /// What is wanted after it.
    next: Option<Conversion>,
}

/// The time of a change of mode is up.
pub(super) enum Late {
    /// The database may still answer that it is not done.
    Grace,
    /// There is no answer; who is to be told so, if anybody.
    NoAnswer(Option<Reply<()>>),
}

impl Converting {
    pub(super) fn new(wanted: Conversion) -> Self {
        let Conversion { to, deadline, reply } = wanted;
        let asked = on_our_clock(deadline.asked());
        let until = deadline.end().map(on_our_clock);
        let patient = deadline.is_patient();
        Converting { to, patient, asked, until, alarm: until, reply: Some(reply), next: None }
    }

    /// The mode that is wanted.
    pub(super) fn to(&self) -> Mode {
        self.to
    }

    /// It waits for those who hold the key.
    pub(super) fn is_patient(&self) -> bool {
        self.patient
    }

    /// How long the database waits for it; `None`: for ever, if it is patient.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until.filter(|_| self.patient)
    }

    /// When its time is up.
    pub(super) fn alarm(&self) -> Option<Instant> {
        self.alarm
    }

    /// How long it has waited for others. A single try waits for the server only.
    pub(super) fn waited(&self) -> Duration {
        if self.patient { self.asked.elapsed() } else { Duration::ZERO }
    }

    /// Comes after it.
    pub(super) fn then(&mut self, next: Conversion) {
        self.next = Some(next);
    }

    /// Nobody wants it any more, or what comes after it. Returns `true` if it is this one, which
    /// nobody had given up yet.
    pub(super) fn give_up(&mut self) -> bool {
        let is_this = self.next.take().is_none();
        if is_this {
            self.reply = None;
        }
        is_this
    }

    /// Its time is up; there may be so much more for the last answer.
    pub(super) fn is_late(&mut self, grace: Duration) -> Late {
        if self.patient && self.alarm == self.until {
            self.alarm = Some(Instant::now() + grace);
            return Late::Grace;
        }
        self.alarm = None;
        Late::NoAnswer(self.reply.take())
    }

    /// Tells who wanted it what came of it; returns what is wanted after it.
    pub(super) fn end(self, answer: Result<()>) -> Option<Conversion> {
        if let Some(reply) = self.reply {
            let _ = reply.send(answer);
        }
        self.next
    }
}
