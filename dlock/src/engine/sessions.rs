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

use super::actor::until;
use super::executor::{Executor, Held, Reply, Report};
use super::link::{Link, Pace, Sent};
use super::session::{Own, Question, SessionId, Tale, Tales, run};
use super::table::{Event, Ticket};
use crate::backend::{Do, Op, Seen, SessionBackend};
use crate::claim::Claim;
use crate::clock::Time;
use crate::error::{Error, Result};
use crate::lost::LostReason;
use crate::mode::Mode;
use crate::native::NativeKey;
use crate::status::Finding;

/// How long a key is left alone between two tries when there is no session to wait on.
pub(super) const POLL: std::ops::Range<u64> = 5..50;
/// A wait that the server itself ends so soon is not cancelled.
const SOON: Duration = Duration::from_millis(10);
/// How long closing may take.
const CLOSE: Duration = Duration::from_secs(3);

/// See the [module](self).
pub(crate) struct Sessions<B: SessionBackend> {
    pub(super) backend: Arc<B>,
    max: usize,
    slice: Duration,
    /// There are other locks than exclusive ones: one session must not have two of one key.
    pub(super) modes: bool,
    pub(super) links: HashMap<SessionId, Link>,
    last: SessionId,
    pub(super) carrier: Option<SessionId>,
    /// Tries, and orders to other sessions, for the carrier's next batch.
    pub(super) gathered: Vec<Op>,
    /// What was granted, by ticket.
    pub(super) held: HashMap<Ticket, Grant>,
    /// For the carrier, when it has time.
    pub(super) questions: Vec<Question>,
    /// Keys that no session was free to wait for.
    pub(super) polls: HashMap<Ticket, Poll>,
    pub(super) reports: Vec<Report>,
    pub(super) trouble: Error,
    pub(super) retry: Option<(Instant, Duration)>,
    /// When the clock next asks something of a session.
    look: Option<Instant>,
    tasks: JoinSet<()>,
    tell: Tales,
    tales: mpsc::UnboundedReceiver<(SessionId, Tale)>,
    heard: Vec<(SessionId, Tale)>,
}

pub(super) struct Grant {
    pub(super) claim: Claim,
    pub(super) session: SessionId,
    pub(super) since: Time,
}

pub(super) struct Poll {
    pub(super) claim: Claim,
    pub(super) at: Instant,
    pub(super) asked: bool,
    pub(super) cancelled: bool,
}

impl<B: SessionBackend> Sessions<B> {
    /// Opens the first session.
    pub(crate) async fn open(backend: B, max: u32, slice: Duration) -> Result<Self> {
        backend.preflight().await?;
        let (tell, tales) = mpsc::unbounded_channel();
        let trouble = no_answer(&backend);
        let mut this = Sessions {
            modes: Mode::ALL.iter().filter(|mode| backend.supports(**mode)).count() > 1,
            slice,
            backend: Arc::new(backend),
            max: usize::try_from(max).unwrap_or(usize::MAX),
            links: HashMap::new(),
            last: 0,
            carrier: None,
            gathered: Vec::new(),
            held: HashMap::new(),
            questions: Vec::new(),
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
        let pace = Pace::of(&*self.backend, self.slice);
        self.links.insert(self.last, Link::new(jobs, task, pace));
        self.last
    }

    pub(super) fn may_dial(&self) -> bool {
        self.retry.is_none_or(|(at, _)| at <= Instant::now()) && self.links.len() < self.max
    }

    /// A session that may wait: it holds nothing and is not about to.
    pub(super) fn free_waiter(&mut self) -> Option<SessionId> {
        let carrier = self.carrier;
        let others = || self.links.iter().filter(|(id, _)| Some(**id) != carrier);
        let free = others().find(|(_, link)| link.is_free());
        let free = free.or_else(|| others().find(|(_, link)| link.is_coming()));
        match free.map(|(id, _)| *id) {
            // Of what may be open, one is the carrier's.
            None if self.may_dial()
                && self.links.len() + usize::from(carrier.is_none()) < self.max =>
            {
                Some(self.dial())
            }
            free => free,
        }
    }

    fn next_wake(&self) -> Option<Instant> {
        let polls = self.polls.values().filter(|poll| !poll.asked).map(|poll| poll.at);
        let wanted = !self.gathered.is_empty() || !self.questions.is_empty();
        let retry = self.retry.filter(|_| wanted).map(|(at, _)| at);
        let cancels = self.links.values().filter_map(|link| link.cancel_at);
        polls.chain(retry).chain(cancels).chain(self.look).min()
    }
}

impl<B: SessionBackend> Executor for Sessions<B> {
    fn try_lock(&mut self, claim: Claim, ticket: Ticket) {
        self.gathered.push(Op { what: Do::Try(claim), ticket });
    }

    fn wait(&mut self, claim: Claim, ticket: Ticket, until: Option<Instant>) {
        let waiter = self.free_waiter();
        if let Some(link) = waiter.and_then(|id| self.links.get_mut(&id)) {
            link.send_wait(claim, ticket, until);
        } else {
            let at = Instant::now() + Duration::from_millis(fastrand::u64(..POLL.start));
            self.polls.insert(ticket, Poll { claim, at, asked: false, cancelled: false });
        }
    }

    fn can_wait(&self) -> bool {
        self.links.iter().any(|(id, link)| Some(*id) != self.carrier && link.is_free())
    }

    fn cancel(&mut self, claim: &Claim, ticket: Ticket) {
        if let Some(poll) = self.polls.get_mut(&ticket) {
            poll.cancelled = true;
            if !poll.asked {
                self.polls.remove(&ticket);
                self.reports.push(Event::Ended { key: claim.clone(), ticket }.into());
            }
            return;
        }
        let waiting = self.links.iter().find(|(_, link)| link.waits_for(ticket));
        let Some(id) = waiting.map(|(id, _)| *id) else {
            return;
        };
        self.relieved(id, ticket);
        let ends = self.backend.ends_waits();
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let now = Instant::now();
        match (link.tag, link.sent.front()) {
            // Still connecting: it has not begun to wait. When it is there, it is free for others;
            // else whoever has less time than connecting takes would never come to wait.
            (None, _) => {
                link.sent.clear();
                self.reports.push(Event::Ended { key: claim.clone(), ticket }.into());
            }
            (Some(_), Some(Sent::Wait { until: Some(until), .. }))
                if ends && *until <= now + SOON =>
            {
                link.cancel_at = Some(now + SOON);
            }
            (Some(tag), _) => {
                link.cancelling = true;
                self.gathered.push(Op { what: Do::Cancel(tag), ticket });
            }
        }
    }

    fn unlock(&mut self, claim: Claim, grant: Ticket, ticket: Ticket) {
        let grant = self.held.remove(&grant);
        let link = grant.and_then(|grant| self.links.get_mut(&grant.session));
        let Some(link) = link else {
            return self.reports.push(Event::Failed { key: claim, ticket, fatal: false }.into());
        };
        if self.modes {
            link.disclaim(&claim);
        }
        link.batch.push(Op { what: Do::Unlock(claim), ticket });
    }

    fn distrust(&mut self, _: &Claim, ticket: Ticket) {
        if let Some(id) = self.held.get(&ticket).map(|grant| grant.session) {
            self.drop_session(id, LostReason::SessionEnded);
        }
    }

    fn held(&self, _: &Claim, grant: Ticket) -> Option<Held> {
        let grant = self.held.get(&grant)?;
        let link = self.links.get(&grant.session)?;
        let (word, fresh) = (Arc::clone(&link.word), link.is_fresh());
        Some(Held { word, fresh, fence: None, since: grant.since })
    }

    fn refresh(&mut self, _: &Claim, grant: Ticket) {
        let grant = self.held.get(&grant);
        if let Some(link) = grant.and_then(|grant| self.links.get_mut(&grant.session)) {
            link.ping();
        }
    }

    fn verify(&mut self, claim: &Claim, grant: Ticket, reply: oneshot::Sender<bool>) {
        let grant = self.held.get(&grant);
        if let Some(link) = grant.and_then(|grant| self.links.get_mut(&grant.session)) {
            link.questions.push(Question::Held(claim.clone(), reply));
        }
    }

    fn status(&mut self, of: Option<NativeKey>, reply: Reply<Vec<Seen>>) {
        let of_all = of.is_none();
        let grants = self.held.values().filter(|g| of_all || of.as_ref() == Some(&g.claim.key));
        let own = grants.filter_map(|grant| {
            let tag = self.links.get(&grant.session)?.tag?;
            Some(Own { tag, held: Some((grant.claim.key.clone(), grant.since)) })
        });
        let waiting = self.links.values().filter(|link| link.holds == 0);
        let waiting = waiting.filter_map(|link| Some(Own { tag: link.tag?, held: None }));
        let own = own.chain(waiting).collect();
        self.questions.push(Question::Status { of, own, reply });
    }

    fn check(&mut self, reply: Reply<Vec<Finding>>) {
        self.questions.push(Question::Check(reply));
    }

    fn flush(&mut self) {
        let wanted = !self.gathered.is_empty() || !self.questions.is_empty();
        if wanted && self.carrier.is_none() && self.may_dial() {
            self.carrier = Some(self.dial());
        }
        if let Some(id) = self.carrier
            && let Some(link) = self.links.get_mut(&id)
            && link.is_idle()
        {
            link.questions.append(&mut self.questions);
            if self.modes {
                self.deal_out(id);
            } else {
                link.batch.append(&mut self.gathered);
            }
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
                () = until(wake) => {}
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

pub(super) fn no_answer<B: SessionBackend>(backend: &B) -> Error {
    Error::unavailable(backend.label(), NoAnswer)
}

#[derive(Debug, thiserror::Error)]
#[error("it has not answered in time")]
struct NoAnswer;
