//! Carries the table's decisions out on sessions of a database with locks of its own.
//!
//! One session, the carrier, takes all first tries and holds what they are granted: whatever is
//! asked while a batch is on its way goes out together with the next. A key that is refused there
//! is waited for in the database on a session that holds nothing; when it is granted, that session
//! holds this one key. A session that holds something never waits. When there is no session to wait
//! on, the key is tried again and again on the carrier.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::actor::{Executor, Held, Report};
use super::link::{Link, Sent};
use super::session::{SessionId, Tale, Tales, run};
use super::table::{Event, Ticket};
use crate::backend::{Do, Op, SessionBackend};
use crate::clock::Time;
use crate::error::{Error, LostReason, Result};
use crate::key::NativeKey;

/// How long a key is left alone between two tries when there is no session to wait on.
const POLL: std::ops::Range<u64> = 5..50;
/// How long to leave a server alone that could not be reached; doubled up to the second.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// A wait that the server itself ends so soon is not cancelled.
const SOON: Duration = Duration::from_millis(10);
/// How long closing may take.
const CLOSE: Duration = Duration::from_secs(3);

/// See the [module](self).
pub(crate) struct Sessions<B: SessionBackend> {
    backend: Arc<B>,
    max: usize,
    pub(super) links: HashMap<SessionId, Link>,
    last: SessionId,
    pub(super) carrier: Option<SessionId>,
    /// Tries, and orders to other sessions, for the carrier's next batch.
    gathered: Vec<Op>,
    held: HashMap<NativeKey, Grant>,
    /// Keys that no session was free to wait for.
    polls: HashMap<Ticket, Poll>,
    pub(super) reports: Vec<Report>,
    trouble: Error,
    retry: Option<(Instant, Duration)>,
    /// When the clock next asks something of a session.
    look: Option<Instant>,
    tasks: JoinSet<()>,
    tell: Tales,
    tales: mpsc::UnboundedReceiver<(SessionId, Tale)>,
    heard: Vec<(SessionId, Tale)>,
}

struct Grant {
    session: SessionId,
    ticket: Ticket,
    since: Time,
}

struct Poll {
    key: NativeKey,
    at: Instant,
    asked: bool,
    cancelled: bool,
}

impl<B: SessionBackend> Sessions<B> {
    /// Opens the first session.
    pub(crate) async fn open(backend: B, max: u32) -> Result<Self> {
        let (tell, tales) = mpsc::unbounded_channel();
        let trouble =
            Error::Unavailable { backend: backend.label().into(), source: Arc::new(NoAnswer) };
        let mut this = Sessions {
            backend: Arc::new(backend),
            max: usize::try_from(max).unwrap_or(usize::MAX),
            links: HashMap::new(),
            last: 0,
            carrier: None,
            gathered: Vec::new(),
            held: HashMap::new(),
            polls: HashMap::new(),
            reports: Vec::new(),
            trouble,
            retry: None,
            look: None,
            tasks: JoinSet::new(),
            tell,
            tales,
            heard: Vec::new(),
        };
        this.carrier = Some(this.dial());
        match this.tales.recv().await {
            Some((_, Tale::Died(error))) => Err(error),
            Some((id, tale)) => {
                this.hear(id, tale);
                Ok(this)
            }
            None => Err(Error::Closed),
        }
    }

    fn dial(&mut self) -> SessionId {
        self.last += 1;
        let (jobs, queue) = mpsc::unbounded_channel();
        let task = run(Arc::clone(&self.backend), self.last, queue, self.tell.clone());
        let task = self.tasks.spawn(task);
        self.links.insert(self.last, Link::new(jobs, task, self.backend.session_ttl()));
        self.last
    }

    fn hear(&mut self, id: SessionId, tale: Tale) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let job = match &tale {
            Tale::Opened(tag) => {
                link.opened(*tag);
                self.retry = None;
                return;
            }
            Tale::Died(_) => None,
            _ => link.sent.pop_front(),
        };
        match (tale, job) {
            (Tale::Answered { answers, sent }, Some(Sent::Batch(ops))) => {
                self.confirmed(id, sent);
                if answers.len() != ops.len() {
                    return self.drop_session(id, LostReason::SessionEnded);
                }
                for (op, answer) in ops.iter().zip(answers) {
                    self.answered(id, op, answer);
                }
            }
            (Tale::Failed { error, sent }, Some(Sent::Batch(ops))) => {
                self.confirmed(id, sent);
                self.note(error);
                ops.iter().for_each(|op| self.failed(id, op, true));
            }
            (Tale::Checked { sent }, Some(Sent::Check)) => self.confirmed(id, sent),
            (Tale::Waited { granted, sent }, Some(Sent::Wait { key, ticket, .. })) => {
                link.since = Time::now();
                self.confirmed(id, sent);
                let event = if granted {
                    self.grant(id, key.clone(), ticket);
                    Event::Granted { key, ticket }
                } else {
                    Event::Ended { key, ticket }
                };
                self.reports.push(event.into());
            }
            (Tale::Died(error), _) => {
                self.note(error);
                self.drop_session(id, LostReason::SessionEnded);
            }
            // A session that answers what it was not asked.
            _ => self.drop_session(id, LostReason::SessionEnded),
        }
    }

    /// The server has shown at a time after `sent` that the session lives.
    fn confirmed(&mut self, id: SessionId, sent: Time) {
        if self.links.get_mut(&id).is_some_and(|link| !link.confirm(sent)) {
            // Too late: its guards may have noticed already.
            self.drop_session(id, LostReason::Unconfirmed);
        }
    }

    fn grant(&mut self, id: SessionId, key: NativeKey, ticket: Ticket) {
        if let Some(link) = self.links.get_mut(&id) {
            link.holds += 1;
            self.held.insert(key, Grant { session: id, ticket, since: Time::now() });
        }
    }

    fn answered(&mut self, id: SessionId, op: &Op, yes: bool) {
        let ticket = op.ticket;
        // The session may have been dropped half-way through its answers.
        let lives = self.links.contains_key(&id);
        match &op.what {
            Do::Try(key) if yes && lives => {
                let key = key.clone();
                self.polls.remove(&ticket);
                self.grant(id, key.clone(), ticket);
                self.reports.push(Event::Granted { key, ticket }.into());
            }
            Do::Try(_) if !lives => self.failed(id, op, false),
            Do::Try(key) => match self.polls.get_mut(&ticket) {
                None => self.reports.push(Event::Refused { key: key.clone(), ticket }.into()),
                Some(poll) if poll.cancelled => {
                    self.polls.remove(&ticket);
                    self.reports.push(Event::Ended { key: key.clone(), ticket }.into());
                }
                Some(poll) => {
                    poll.asked = false;
                    poll.at = Instant::now() + Duration::from_millis(fastrand::u64(POLL));
                }
            },
            Do::Unlock(key) => {
                self.held.remove(key);
                if let Some(link) = self.links.get_mut(&id) {
                    link.holds = link.holds.saturating_sub(1);
                    link.since = Time::now();
                }
                let event = Event::Unlocked { key: key.clone(), ticket, clean: yes };
                self.reports.push(Report { event, reason: LostReason::NotHeld });
            }
            Do::Cancel(tag) => {
                let link = self.links.values_mut().find(|link| link.tag == Some(*tag));
                link.into_iter().for_each(|link| link.cancelling = false);
            }
            Do::End(_) => {}
        }
    }

    /// Nothing is held by this part of a batch. `tried`: the server itself has said no to it.
    fn failed(&mut self, id: SessionId, op: &Op, tried: bool) {
        let ticket = op.ticket;
        match &op.what {
            Do::Try(_) if self.polls.contains_key(&ticket) && !tried => {
                if let Some(poll) = self.polls.get_mut(&ticket) {
                    poll.asked = false;
                }
            }
            Do::Try(key) => {
                self.polls.remove(&ticket);
                let fatal = tried || !self.trouble.is_retryable();
                self.reports.push(Event::Failed { key: key.clone(), ticket, fatal }.into());
            }
            Do::Unlock(key) => {
                self.held.remove(key);
                let event = if tried {
                    // Read back and unlocked on the way.
                    Event::Unlocked { key: key.clone(), ticket, clean: true }
                } else {
                    Event::Failed { key: key.clone(), ticket, fatal: false }
                };
                if let Some(link) = self.links.get_mut(&id) {
                    link.holds = link.holds.saturating_sub(1);
                }
                self.reports.push(event.into());
            }
            Do::Cancel(tag) => {
                // Whether that session is or will be cancelled, nobody knows.
                let id = self.links.iter().find(|(_, link)| link.tag == Some(*tag));
                if let Some(id) = id.map(|(id, _)| *id) {
                    self.drop_session(id, LostReason::SessionEnded);
                }
            }
            Do::End(_) => {}
        }
    }

    /// Gives a session up: what it holds is lost, what it was asked has failed. Its connection is
    /// dropped, and since that may take the server a while to see, it is told from another one.
    pub(super) fn drop_session(&mut self, id: SessionId, reason: LostReason) {
        let Some(link) = self.links.remove(&id) else { return };
        link.task.abort();
        if self.carrier == Some(id) {
            self.carrier = None;
        }
        let was_empty = link.holds == 0;
        for sent in link.sent {
            match sent {
                // An empty session that had died unnoticed: the same goes out on a new one, once.
                Sent::Batch(ops) if was_empty && link.confirmed && reason == LostReason::SessionEnded => {
                    self.gathered.extend(ops.iter().cloned());
                }
                Sent::Batch(ops) => ops.iter().for_each(|op| self.failed(id, op, false)),
                Sent::Wait { key, ticket, .. } => {
                    let fatal = !self.trouble.is_retryable();
                    self.reports.push(Event::Failed { key, ticket, fatal }.into());
                }
                Sent::Check => {}
            }
        }
        link.batch.iter().for_each(|op| self.failed(id, op, false));
        let lost: Vec<_> = self.held.iter().filter(|(_, grant)| grant.session == id).collect();
        let lost: Vec<NativeKey> = lost.into_iter().map(|(key, _)| key.clone()).collect();
        for key in lost {
            self.held.remove(&key);
            self.reports.push(Report { event: Event::Lost { key }, reason });
        }
        if let Some(tag) = link.tag {
            // A process id is not used for others before it is free, and it is only free when the
            // server itself has ended the session.
            if reason == LostReason::SessionEnded && self.trouble.is_retryable() {
                return;
            }
            self.gathered.push(Op { what: Do::End(tag), ticket: 0 });
        } else {
            // It never came to be: leave the server alone for a while.
            let (first, most) = RETRY;
            let pause = self.retry.map_or(first, |(_, last)| most.min(last * 2));
            self.retry = Some((Instant::now() + pause, pause));
            self.give_up_on_gathered();
        }
    }

    /// There is no server: those who wanted only a try are told, the others will be asked for again.
    fn give_up_on_gathered(&mut self) {
        if self.carrier.is_none() {
            for op in std::mem::take(&mut self.gathered) {
                self.failed(0, &op, false);
            }
        }
    }

    fn note(&mut self, error: Error) {
        tracing::debug!(target: "dlock", %error, "session ended");
        self.trouble = error;
    }

    fn may_dial(&self) -> bool {
        self.retry.is_none_or(|(at, _)| at <= Instant::now()) && self.links.len() < self.max
    }

    /// A session that may wait: it holds nothing and is not about to.
    fn free_waiter(&mut self) -> Option<SessionId> {
        let carrier = self.carrier;
        let free = self.links.iter().find(|(id, link)| Some(**id) != carrier && link.is_free());
        match free.map(|(id, _)| *id) {
            // Of what may be open, one is the carrier's.
            None if self.may_dial() && self.links.len() + usize::from(carrier.is_none()) < self.max => {
                Some(self.dial())
            }
            free => free,
        }
    }

    /// Tries the keys again that no session was free to wait for, and does what the clock says.
    fn tick(&mut self) {
        let now = Instant::now();
        let due: Vec<Ticket> =
            self.polls.iter().filter(|(_, p)| !p.asked && p.at <= now).map(|(t, _)| *t).collect();
        for ticket in due {
            if let Some(poll) = self.polls.get_mut(&ticket) {
                poll.asked = true;
                self.gathered.push(Op { what: Do::Try(poll.key.clone()), ticket });
            }
        }
        self.late_cancels();
        self.watch_over();
    }

    /// Waits whose time is up on the server anyway are not cancelled at once, but if the server
    /// does not say so soon.
    fn late_cancels(&mut self) {
        let now = Instant::now();
        let mut cancels = Vec::new();
        for link in self.links.values_mut() {
            if let (Some(at), Some(tag)) = (link.cancel_at, link.tag)
                && at <= now
            {
                link.cancel_at = None;
                if let Some(Sent::Wait { ticket, .. }) = link.sent.front() {
                    link.cancelling = true;
                    cancels.push((tag, *ticket));
                }
            }
        }
        let cancels = cancels.into_iter().map(|(tag, ticket)| Op { what: Do::Cancel(tag), ticket });
        self.gathered.extend(cancels);
    }

    fn next_wake(&self) -> Option<Instant> {
        let polls = self.polls.values().filter(|poll| !poll.asked).map(|poll| poll.at);
        let retry = self.retry.filter(|_| !self.gathered.is_empty()).map(|(at, _)| at);
        let cancels = self.links.values().filter_map(|link| link.cancel_at);
        polls.chain(retry).chain(cancels).chain(self.look).min()
    }
}

impl<B: SessionBackend> Executor for Sessions<B> {
    fn try_lock(&mut self, key: NativeKey, ticket: Ticket) {
        self.gathered.push(Op { what: Do::Try(key), ticket });
    }

    fn wait(&mut self, key: NativeKey, ticket: Ticket, until: Option<Instant>) {
        let waiter = self.free_waiter();
        if let Some(link) = waiter.and_then(|id| self.links.get_mut(&id)) {
            link.send_wait(key, ticket, until);
        } else {
            let at = Instant::now() + Duration::from_millis(fastrand::u64(POLL));
            self.polls.insert(ticket, Poll { key, at, asked: false, cancelled: false });
        }
    }

    fn cancel(&mut self, key: &NativeKey, ticket: Ticket) {
        if let Some(poll) = self.polls.get_mut(&ticket) {
            poll.cancelled = true;
            if !poll.asked {
                self.polls.remove(&ticket);
                self.reports.push(Event::Ended { key: key.clone(), ticket }.into());
            }
            return;
        }
        let waits = |link: &Link| {
            matches!(link.sent.front(), Some(Sent::Wait { ticket: t, .. }) if *t == ticket)
        };
        let Some((&id, link)) = self.links.iter_mut().find(|(_, link)| waits(link)) else { return };
        let now = Instant::now();
        match (link.tag, link.sent.front()) {
            // Still connecting: it has not begun to wait.
            (None, _) => {
                link.sent.clear();
                link.task.abort();
                self.links.remove(&id);
                self.reports.push(Event::Ended { key: key.clone(), ticket }.into());
            }
            (Some(_), Some(Sent::Wait { until: Some(until), .. })) if *until <= now + SOON => {
                link.cancel_at = Some(now + SOON);
            }
            (Some(tag), _) => {
                link.cancelling = true;
                self.gathered.push(Op { what: Do::Cancel(tag), ticket });
            }
        }
    }

    fn unlock(&mut self, key: NativeKey, ticket: Ticket) {
        let op = Op { what: Do::Unlock(key.clone()), ticket };
        match self.held.get(&key).and_then(|grant| self.links.get_mut(&grant.session)) {
            Some(link) => link.batch.push(op),
            None => self.failed(0, &op, false),
        }
    }

    fn distrust(&mut self, key: &NativeKey, ticket: Ticket) {
        let grant = self.held.get(key).filter(|grant| grant.ticket == ticket);
        if let Some(id) = grant.map(|grant| grant.session) {
            self.drop_session(id, LostReason::SessionEnded);
        }
    }

    fn held(&self, key: &NativeKey) -> Option<Held> {
        let grant = self.held.get(key)?;
        let link = self.links.get(&grant.session)?;
        let (word, fresh) = (Arc::clone(&link.word), link.is_fresh());
        Some(Held { word, fresh, fence: None, since: grant.since })
    }

    fn refresh(&mut self, key: &NativeKey) {
        let grant = self.held.get(key);
        if let Some(link) = grant.and_then(|grant| self.links.get_mut(&grant.session)) {
            link.ping();
        }
    }

    fn verify(&mut self, key: &NativeKey, reply: oneshot::Sender<bool>) {
        let grant = self.held.get(key);
        if let Some(link) = grant.and_then(|grant| self.links.get_mut(&grant.session)) {
            link.checks.push((key.clone(), reply));
        }
    }

    fn flush(&mut self) {
        if !self.gathered.is_empty() && self.carrier.is_none() && self.may_dial() {
            self.carrier = Some(self.dial());
        }
        if let Some(link) = self.carrier.and_then(|id| self.links.get_mut(&id))
            && link.is_idle()
        {
            link.batch.append(&mut self.gathered);
        }
        self.links.values_mut().for_each(Link::send_batch);
        self.look = self.next_look();
    }

    fn trouble(&self) -> Error {
        self.trouble.clone()
    }

    async fn recv(&mut self, reports: &mut Vec<Report>) {
        if self.reports.is_empty() {
            let wake = self.next_wake();
            tokio::select! {
                biased;
                _ = self.tales.recv_many(&mut self.heard, 64) => {}
                () = super::actor::until(wake) => {}
            }
            for (id, tale) in std::mem::take(&mut self.heard) {
                self.hear(id, tale);
            }
            self.tick();
        }
        reports.append(&mut self.reports);
    }

    async fn shutdown(mut self) {
        let busy = |link: &&Link| !link.is_idle() && !link.sent.is_empty();
        let ends = self.links.values().filter(busy).filter_map(|link| link.tag);
        let ends: Vec<Op> = ends.map(|tag| Op { what: Do::End(tag), ticket: 0 }).collect();
        for (id, mut link) in std::mem::take(&mut self.links) {
            if Some(id) == self.carrier {
                link.batch.extend(ends.iter().cloned());
                link.send_batch();
            }
            // One that is still connecting, or waits for what nobody wants, would not hear of it.
            if link.tag.is_none() || matches!(link.sent.front(), Some(Sent::Wait { .. })) {
                link.task.abort();
            }
            link.close();
        }
        let all = async { while self.tasks.join_next().await.is_some() {} };
        let _ = timeout(CLOSE, all).await;
    }
}

/// The first cause there is to report.
#[derive(Debug, thiserror::Error)]
#[error("it has not answered in time")]
struct NoAnswer;
