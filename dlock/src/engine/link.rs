//! What the engine knows of one session.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::session::{Job, Question};
use super::table::Ticket;
use crate::backend::{Op, SessionBackend, Tag};
use crate::claim::Claim;
use crate::clock::{Time, Word};
use crate::mode::Mode;
use crate::native::NativeKey;

/// How long an empty session that nobody needs is kept where sessions cannot be lost.
const KEPT: Duration = Duration::from_secs(30);

/// How long a server may take to answer what it need not wait for.
const SILENCE: Duration = Duration::from_secs(3);

/// How time is kept with a session.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    /// So long the server lets a silent session keep its locks, if that has an end.
    ttl: Option<Duration>,
    /// It is asked for a sign of life after so much silence.
    heartbeat: Option<Duration>,
    /// One waiting statement lasts so long at most.
    slice: Duration,
}

impl Pace {
    pub(super) fn of<B: SessionBackend>(backend: &B, slice: Duration) -> Self {
        let ttl = backend.session_ttl();
        Pace { ttl, heartbeat: ttl.map(|_| backend.heartbeat()), slice }
    }

    fn slice_until(self, until: Option<Instant>) -> Duration {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        left.map_or(self.slice, |left| left.min(self.slice))
    }

    /// After so long of a slice the next one begins, on another session.
    fn overlap(self) -> Duration {
        self.slice.mul_f64(0.9)
    }
}

/// How a session has, or will have, a key.
pub(super) struct Taken {
    mode: Mode,
    /// The server has said yes.
    sure: bool,
    /// Servers count how often.
    times: usize,
}

/// What a session was asked and has not answered yet.
pub(super) enum Sent {
    Batch(Arc<Vec<Op>>),
    Wait { claim: Claim, ticket: Ticket, until: Option<Instant> },
    Question,
}

pub(super) struct Link {
    jobs: mpsc::UnboundedSender<Job>,
    pub(super) task: AbortHandle,
    pace: Pace,
    /// How the server calls it; `None` until it is connected.
    pub(super) tag: Option<Tag>,
    pub(super) sent: VecDeque<Sent>,
    /// What goes out next.
    pub(super) batch: Vec<Op>,
    pub(super) questions: Vec<Question>,
    /// The keys that it holds or is asked for.
    pub(super) keys: HashMap<NativeKey, Taken>,
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
    pub(super) fn new(jobs: mpsc::UnboundedSender<Job>, task: AbortHandle, pace: Pace) -> Self {
        let now = Time::now();
        Link {
            jobs,
            task,
            pace,
            tag: None,
            sent: VecDeque::new(),
            batch: Vec::new(),
            questions: Vec::new(),
            keys: HashMap::new(),
            holds: 0,
            word: Arc::new(pace.ttl.map_or_else(Word::endless, |_| Word::until(now))),
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
        if let Some(Sent::Wait { claim, until, .. }) = self.sent.front() {
            let job = Job::Wait { claim: claim.clone(), time: self.pace.slice_until(*until) };
            let _ = self.jobs.send(job);
        }
    }

    /// The server has answered what was sent then. `false`: too late for what it holds.
    pub(super) fn confirm(&mut self, sent: Time) -> bool {
        let now = Time::now();
        if self.holds > 0 && !self.word.good_at(now) {
            return false;
        }
        if let Some(ttl) = self.pace.ttl {
            self.word.extend(sent.after(ttl));
        }
        self.answered = sent;
        self.asked = now;
        self.confirmed = true;
        true
    }

    /// Enough of its word is left to hand a lock to somebody.
    pub(super) fn is_fresh(&self) -> bool {
        self.pace.ttl.is_none_or(|ttl| self.word.left(Time::now()) >= ttl / 2)
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
        self.tag.is_none() && self.sent.is_empty() && self.batch.is_empty()
    }

    /// Sends what has come together, if it can be asked something now.
    pub(super) fn send_batch(&mut self) {
        if !self.is_idle() {
            return;
        }
        for question in std::mem::take(&mut self.questions) {
            self.send(Job::Ask(question), Sent::Question);
        }
        if !self.batch.is_empty() {
            let ops = Arc::new(std::mem::take(&mut self.batch));
            self.send(Job::Batch(Arc::clone(&ops)), Sent::Batch(ops));
        }
    }

    /// A wait is begun when the session is there; until then it can be taken back.
    pub(super) fn send_wait(&mut self, claim: Claim, ticket: Ticket, until: Option<Instant>) {
        let sent = Sent::Wait { claim: claim.clone(), ticket, until };
        if self.tag.is_some() {
            let time = self.pace.slice_until(until);
            self.send(Job::Wait { claim, time }, sent);
        } else {
            self.sent.push_back(sent);
        }
    }

    /// Notes that it is asked for this.
    pub(super) fn claim(&mut self, claim: &Claim) {
        let taken = Taken { mode: claim.mode, sure: false, times: 0 };
        self.keys.entry(claim.key.clone()).or_insert(taken).times += 1;
    }

    /// Notes that it has this.
    pub(super) fn confirm_claim(&mut self, claim: &Claim) {
        if let Some(taken) = self.keys.get_mut(&claim.key) {
            taken.sure = true;
        }
    }

    /// Notes that it has not got this, or will have given it back before it does anything else.
    pub(super) fn disclaim(&mut self, claim: &Claim) {
        if let Some(taken) = self.keys.get_mut(&claim.key) {
            taken.times -= 1;
            if taken.times == 0 {
                self.keys.remove(&claim.key);
            }
        }
    }

    /// What may be asked of it about this: servers let a session have what it has once more, past
    /// all others and in any mode.
    pub(super) fn stand(&self, claim: &Claim) -> Stand {
        match self.keys.get(&claim.key) {
            None => Stand::Free,
            Some(Taken { sure: false, .. }) => Stand::Unsure,
            Some(Taken { mode, .. }) if mode.is_compatible_with(claim.mode) => Stand::Shares,
            Some(_) => Stand::Excludes,
        }
    }

    /// It waits for this ticket.
    pub(super) fn waits_for(&self, ticket: Ticket) -> bool {
        matches!(self.sent.front(), Some(Sent::Wait { ticket: t, .. }) if *t == ticket)
    }

    /// It waits for an exclusive lock, and its slice is about to end before the caller's time.
    pub(super) fn wants_relief(&self) -> Option<(Claim, Ticket, Option<Instant>)> {
        match self.sent.front() {
            Some(Sent::Wait { claim, ticket, until }) if claim.mode == Mode::Exclusive => {
                let asked = Time::now().since(self.asked);
                let late = self.tag.is_some() && asked >= self.pace.overlap();
                let slice = self.pace.slice.saturating_sub(asked);
                let more = until.is_none_or(|until| until > Instant::now() + slice);
                (late && more && !self.cancelling).then(|| (claim.clone(), *ticket, *until))
            }
            _ => None,
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
        if self.holds > 0 && self.pace.ttl.is_some() {
            match self.word.left(now) {
                Duration::ZERO => return Due::Dead,
                left => next = left,
            }
        }
        match self.sent.front() {
            Some(Sent::Wait { until, .. }) => {
                // The server ends it at the end of a slice, or of the caller's time.
                let slice = self.pace.slice.saturating_sub(now.since(self.asked));
                let left = until.map_or(slice, |until| slice.min(until - Instant::now()));
                next = next.min(left + SILENCE);
                let over = until.is_some_and(|until| until + SILENCE <= Instant::now());
                if over || now.since(self.asked) >= self.pace.slice + SILENCE {
                    return Due::Dead;
                }
                if let Some(left) = self.pace.overlap().checked_sub(now.since(self.asked)) {
                    next = next.min(left);
                }
            }
            Some(Sent::Batch(_) | Sent::Question) => return self.silent(now, next),
            None if self.cancelling => return self.silent(now, next),
            None if wanted => {
                if let Some(heartbeat) = self.pace.heartbeat {
                    match heartbeat.checked_sub(now.since(self.answered)) {
                        None => return Due::Ping,
                        Some(left) => next = next.min(left),
                    }
                }
            }
            None if self.is_free() => {
                let kept = self.pace.ttl.map_or(KEPT, |ttl| KEPT.min(ttl / 2));
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

/// How a session stands to a key.
pub(super) enum Stand {
    Free,
    /// It is asked for the key, and has not said yet what came of it.
    Unsure,
    /// It has the key in a mode that goes with this one.
    Shares,
    /// It has it in another mode.
    Excludes,
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
