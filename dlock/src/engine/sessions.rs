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
use super::executor::{Executor, Held, Report};
use super::link::{Link, Sent};
use super::session::{SessionId, Tale, Tales, run};
use super::table::{Event, Ticket};
use crate::backend::{Do, Op, SessionBackend};
use crate::clock::Time;
use crate::error::{Error, Result};
use crate::lost::LostReason;
use crate::native::NativeKey;

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
    pub(super) links: HashMap<SessionId, Link>,
    last: SessionId,
    pub(super) carrier: Option<SessionId>,
    /// Tries, and orders to other sessions, for the carrier's next batch.
    pub(super) gathered: Vec<Op>,
    pub(super) held: HashMap<NativeKey, Grant>,
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
    pub(super) session: SessionId,
    pub(super) ticket: Ticket,
    pub(super) since: Time,
}

pub(super) struct Poll {
    pub(super) key: NativeKey,
    pub(super) at: Instant,
    pub(super) asked: bool,
    pub(super) cancelled: bool,
}

impl<B: SessionBackend> Sessions<B> {
    /// Opens the first session.
    pub(crate) async fn open(backend: B, max: u32) -> Result<Self> {
        let (tell, tales) = mpsc::unbounded_channel();
        let trouble = no_answer(&backend);
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

    pub(super) fn may_dial(&self) -> bool {
        self.retry.is_none_or(|(at, _)| at <= Instant::now()) && self.links.len() < self.max
    }

    /// A session that may wait: it holds nothing and is not about to.
    fn free_waiter(&mut self) -> Option<SessionId> {
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
            let at = Instant::now() + Duration::from_millis(fastrand::u64(..POLL.start));
            self.polls.insert(ticket, Poll { key, at, asked: false, cancelled: false });
        }
    }

    fn can_wait(&self) -> bool {
        self.links.iter().any(|(id, link)| Some(*id) != self.carrier && link.is_free())
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
        let waits = |link: &Link| matches!(link.sent.front(), Some(Sent::Wait { ticket: t, .. }) if *t == ticket);
        let Some(link) = self.links.values_mut().find(|link| waits(link)) else {
            return;
        };
        let now = Instant::now();
        match (link.tag, link.sent.front()) {
            // Still connecting: it has not begun to wait. When it is there, it is free for others;
            // else whoever has less time than connecting takes would never come to wait.
            (None, _) => {
                link.sent.clear();
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
