//! What the engine knows of one session.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::session::{Job, SLICE};
use super::table::Ticket;
use crate::backend::{Op, Tag};
use crate::clock::{Time, Word};
use crate::native::NativeKey;

/// How long an empty session that nobody needs is kept where sessions cannot be lost.
const KEPT: Duration = Duration::from_secs(30);

/// How long a server may take to answer what it need not wait for.
const SILENCE: Duration = Duration::from_secs(3);

/// What a session was asked and has not answered yet.
pub(super) enum Sent {
    Batch(Arc<Vec<Op>>),
    Wait { key: NativeKey, ticket: Ticket, until: Option<Instant> },
    Check,
}

pub(super) struct Link {
    jobs: mpsc::UnboundedSender<Job>,
    pub(super) task: AbortHandle,
    ttl: Option<Duration>,
    /// How the server calls it; `None` until it is connected.
    pub(super) tag: Option<Tag>,
    pub(super) sent: VecDeque<Sent>,
    /// What goes out next.
    pub(super) batch: Vec<Op>,
    pub(super) checks: Vec<(NativeKey, oneshot::Sender<bool>)>,
    pub(super) holds: usize,
    /// Until when what it holds is surely held.
    pub(super) word: Arc<Word>,
    /// When the last thing that the server has answered was sent.
    answered: Time,
    /// When it was asked what it has not answered yet.
    asked: Time,
    /// It has answered at least once since it was opened.
    pub(super) confirmed: bool,
    /// When it last had something to do.
    pub(super) since: Time,
    /// A cancel is on its way to it: until that is answered, nothing else is asked of it.
    pub(super) cancelling: bool,
    pub(super) cancel_at: Option<Instant>,
}

impl Link {
    pub(super) fn new(
        jobs: mpsc::UnboundedSender<Job>,
        task: AbortHandle,
        ttl: Option<Duration>,
    ) -> Self {
        let now = Time::now();
        Link {
            jobs,
            task,
            ttl,
            tag: None,
            sent: VecDeque::new(),
            batch: Vec::new(),
            checks: Vec::new(),
            holds: 0,
            word: Arc::new(ttl.map_or_else(Word::endless, |_| Word::until(now))),
            answered: now,
            asked: now,
            confirmed: false,
            since: now,
            cancelling: false,
            cancel_at: None,
        }
    }
}

impl Link {
    pub(super) fn opened(&mut self, tag: Tag) {
        self.tag = Some(tag);
        self.answered = Time::now();
        self.asked = Time::now();
        if let Some(Sent::Wait { key, until, .. }) = self.sent.front() {
            let _ = self.jobs.send(Job::Wait { key: key.clone(), until: *until });
        }
    }

    /// The server has answered what was sent then. `false`: too late for what it holds.
    pub(super) fn confirm(&mut self, sent: Time) -> bool {
        let now = Time::now();
        if self.holds > 0 && !self.word.good_at(now) {
            return false;
        }
        if let Some(ttl) = self.ttl {
            self.word.extend(sent.after(ttl));
        }
        self.answered = sent;
        self.asked = now;
        self.confirmed = true;
        true
    }

    /// Enough of its word is left to hand a lock to somebody.
    pub(super) fn is_fresh(&self) -> bool {
        self.ttl.is_none_or(|ttl| self.word.left(Time::now()) >= ttl / 2)
    }

    /// It can be asked something now.
    pub(super) fn is_idle(&self) -> bool {
        self.tag.is_some() && self.sent.is_empty() && !self.cancelling
    }

    /// It holds nothing and is asked nothing.
    pub(super) fn is_free(&self) -> bool {
        self.is_idle() && self.holds == 0 && self.batch.is_empty()
    }

    /// It is still connecting, and nobody waits for it: it can be had to wait.
    pub(super) fn is_coming(&self) -> bool {
        self.tag.is_none() && self.sent.is_empty()
    }

    /// Sends what has come together, if it can be asked something now.
    pub(super) fn send_batch(&mut self) {
        if !self.is_idle() {
            return;
        }
        for (key, reply) in std::mem::take(&mut self.checks) {
            self.send(Job::Check { key, reply }, Sent::Check);
        }
        if !self.batch.is_empty() {
            let ops = Arc::new(std::mem::take(&mut self.batch));
            self.send(Job::Batch(Arc::clone(&ops)), Sent::Batch(ops));
        }
    }

    /// A wait is begun when the session is there; until then it can be taken back.
    pub(super) fn send_wait(&mut self, key: NativeKey, ticket: Ticket, until: Option<Instant>) {
        let sent = Sent::Wait { key: key.clone(), ticket, until };
        if self.tag.is_some() {
            self.send(Job::Wait { key, until }, sent);
        } else {
            self.sent.push_back(sent);
        }
    }

    /// Asks for a sign of life.
    pub(super) fn ping(&mut self) {
        if self.is_idle() {
            let nothing = Arc::new(Vec::new());
            self.send(Job::Batch(Arc::clone(&nothing)), Sent::Batch(nothing));
        }
    }

    pub(super) fn close(&self) {
        // A task that has ended needs no order to.
        let _ = self.jobs.send(Job::Close);
    }

    fn send(&mut self, job: Job, sent: Sent) {
        if self.sent.is_empty() {
            self.asked = Time::now();
        }
        self.since = Time::now();
        self.sent.push_back(sent);
        // A task that has ended has said so, and that will be heard.
        let _ = self.jobs.send(job);
    }

    /// What the clock asks for now, or when it will. `carrier`: it is kept warm.
    pub(super) fn due(&self, carrier: bool) -> Due {
        let now = Time::now();
        let wanted = carrier || self.holds > 0;
        let mut next = Duration::MAX;
        if self.tag.is_none() {
            // Connecting has a limit of its own.
            return Due::Later(next);
        }
        if self.holds > 0 && self.ttl.is_some() {
            match self.word.left(now) {
                Duration::ZERO => return Due::Dead,
                left => next = left,
            }
        }
        match self.sent.front() {
            Some(Sent::Wait { until, .. }) => {
                // The server ends it at the end of a slice, or of the caller's time.
                let slice = SLICE.checked_sub(now.since(self.asked)).unwrap_or_default();
                let left = until.map_or(slice, |until| slice.min(until - Instant::now()));
                next = next.min(left + SILENCE);
                let over = until.is_some_and(|until| until + SILENCE <= Instant::now());
                if over || now.since(self.asked) >= SLICE + SILENCE {
                    return Due::Dead;
                }
            }
            Some(Sent::Batch(_) | Sent::Check) => return self.silent(now, next),
            None if self.cancelling => return self.silent(now, next),
            None if wanted => {
                if let Some(ttl) = self.ttl {
                    match (ttl / 3).checked_sub(now.since(self.answered)) {
                        None => return Due::Ping,
                        Some(left) => next = next.min(left),
                    }
                }
            }
            None if self.is_free() => {
                let kept = self.ttl.map_or(KEPT, |ttl| KEPT.min(ttl / 2));
                match kept.checked_sub(now.since(self.since)) {
                    None => return Due::Close,
                    Some(left) => next = next.min(left),
                }
            }
            None => {}
        }
        Due::Later(next)
    }

    /// The same while an answer is due, or a cancel is on its way.
    fn silent(&self, now: Time, next: Duration) -> Due {
        match SILENCE.checked_sub(now.since(self.asked)) {
            None if self.holds == 0 => Due::Dead,
            None => Due::Stuck(next),
            Some(left) => Due::Later(next.min(left)),
        }
    }
}

/// What the clock asks of a session.
pub(super) enum Due {
    /// A sign of life.
    Ping,
    /// To go: it is not needed, and the server would end it.
    Close,
    /// To be given up: the server has not answered for too long.
    Dead,
    /// Not to be asked anything new: the server does not answer, but what it holds is still good.
    Stuck(Duration),
    /// Nothing for so long.
    Later(Duration),
}
