//! What the engine knows of one session.

mod claims;
mod due;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;

pub(super) use self::claims::Stand;
use self::claims::Taken;
pub(super) use self::due::{Due, Pace};
use super::session::{Job, Question};
use crate::backend::{Op, Tag};
use crate::claim::Claim;
use crate::clock::{Time, Word};
use crate::engine::map::Map;
use crate::engine::table::Ticket;
use crate::native::NativeKey;

/// How long an empty session that nobody needs is kept where sessions cannot be lost.
const KEPT: Duration = Duration::from_secs(30);

/// How long a server may take to answer what it need not wait for.
const SILENCE: Duration = Duration::from_secs(3);

/// What a session was asked and has not answered yet.
pub(super) enum Sent {
    Batch(Arc<Vec<Op>>),
    Wait { claim: Claim, ticket: Ticket, until: Option<Instant>, fenced: bool },
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
    keys: Map<NativeKey, Taken>,
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
        word: Arc<Word>,
        pace: Pace,
    ) -> Self {
        let now = Time::now();
        Link {
            jobs,
            task,
            pace,
            tag: None,
            sent: VecDeque::new(),
            batch: Vec::new(),
            questions: Vec::new(),
            keys: Map::default(),
            holds: 0,
            word,
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
            let job =
                Job::Wait { claim: claim.clone(), time: self.pace.slice_until(claim, *until) };
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
        // By themselves: an order that fails takes no try with it.
        let orders: Vec<Op> = self.batch.extract_if(.., |op| op.what.is_order()).collect();
        let locks = std::mem::take(&mut self.batch);
        for ops in [locks, orders] {
            if !ops.is_empty() {
                let ops = Arc::new(ops);
                let again = self.has_any_of(&ops);
                self.send(Job::Batch { ops: Arc::clone(&ops), again }, Sent::Batch(ops));
            }
        }
    }

    /// A wait is begun when the session is there; until then it can be taken back.
    pub(super) fn send_wait(
        &mut self,
        claim: Claim,
        ticket: Ticket,
        until: Option<Instant>,
        fenced: bool,
    ) {
        let sent = Sent::Wait { claim: claim.clone(), ticket, until, fenced };
        if self.tag.is_some() {
            let time = self.pace.slice_until(&claim, until);
            self.send(Job::Wait { claim, time }, sent);
        } else {
            self.sent.push_back(sent);
        }
    }

    /// What it waits for.
    pub(super) fn waiting_claim(&self) -> Option<&Claim> {
        match self.sent.front() {
            Some(Sent::Wait { claim, .. }) => Some(claim),
            _ => None,
        }
    }

    /// It waits for this ticket.
    pub(super) fn waits_for(&self, ticket: Ticket) -> bool {
        matches!(self.sent.front(), Some(Sent::Wait { ticket: t, .. }) if *t == ticket)
    }

    /// Asks for a sign of life, if it is not to be asked something anyway.
    pub(super) fn ping(&mut self) {
        if self.is_idle() && self.batch.is_empty() {
            let nothing = Arc::new(Vec::new());
            let job = Job::Batch { ops: Arc::clone(&nothing), again: false };
            self.send(job, Sent::Batch(nothing));
        }
    }

    pub(super) fn close(&self) {
        // A task that has ended needs no order to.
        let _ = self.jobs.send(Job::Close);
    }

    fn send(&mut self, job: Job, sent: Sent) {
        self.since = Time::now();
        if self.sent.is_empty() {
            self.asked = self.since;
        }
        self.sent.push_back(sent);
        // A task that has ended has said so, and that will be heard.
        let _ = self.jobs.send(job);
    }
}
