//! Carries the table's decisions out on sessions of a database with locks of its own.
//!
//! One session, the carrier, takes all first tries and holds what they are granted: whatever is
//! asked while a batch is on its way goes out together with the next. A key that is refused there
//! is waited for in the database on a session that holds nothing; when it is granted, that session
//! holds this one key. A session that holds something never waits. When there is no session to wait
//! on, when the caller wants no statement to wait, or when the server has ended one as a deadlock, the
//! key is tried again and again on the carrier.
//!
//! Keys that are wanted with a fencing token have a carrier of their own, the writer: a token is
//! written, and a write can wait for the disk or for a standby. Others' signs of life must not.

mod answers;
mod fencing;
mod link;
mod monitor;
mod orders;
mod polling;
mod routing;
mod session;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::fencing::Token;
use self::link::{Link, Pace};
use self::polling::Poll;
use self::session::{Dialer, Question, SessionId, Tale, Tales, dialer};
use super::executor::Report;
use super::map::Map;
use super::table::Ticket;
use super::timer::Timer;
use crate::backend::{Op, SessionBackend};
use crate::claim::Claim;
use crate::clock::Time;
use crate::error::{Error, Result};

/// How much there may be at once, and how long a statement waits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// How long connecting may take.
    pub(crate) connect: Duration,
    pub(crate) sessions: u32,
    pub(crate) keys: u32,
    pub(crate) slice: Duration,
}

/// See the [module](self).
pub(crate) struct Sessions {
    label: Box<str>,
    pace: Pace,
    dialer: Dialer,
    limits: Limits,
    links: BTreeMap<SessionId, Link>,
    last: SessionId,
    carrier: Option<SessionId>,
    /// The carrier of what has fencing tokens.
    writer: Option<SessionId>,
    /// Tries, and orders to other sessions, for the carriers' next batch.
    gathered: Vec<Op>,
    /// What was granted, by ticket.
    held: Map<Ticket, Grant>,
    /// For the carrier, when it has time.
    questions: Vec<Question>,
    /// Keys that are asked for by tries.
    polls: Map<Ticket, Poll>,
    reports: Vec<Report>,
    trouble: Error,
    retry: Option<(Instant, Duration)>,
    /// When the newest thing was sent that the server has answered.
    answered: Time,
    /// A sign of life is wanted, to know whether it still answers.
    in_doubt: bool,
    /// When the clock next asks something of a session.
    look: Option<Instant>,
    timer: Timer,
    tasks: JoinSet<()>,
    tell: Tales,
    tales: mpsc::UnboundedReceiver<(SessionId, Tale)>,
    heard: Vec<(SessionId, Tale)>,
}

struct Grant {
    claim: Claim,
    session: SessionId,
    since: Time,
    token: Token,
}

impl Sessions {
    /// Opens the first session.
    pub(crate) async fn open<B: SessionBackend>(backend: B, limits: Limits) -> Result<Self> {
        backend.preflight().await?;
        let (tell, tales) = mpsc::unbounded_channel();
        let label: Box<str> = backend.label().into();
        let mut this = Sessions {
            trouble: no_answer(&label),
            label,
            pace: Pace::of(&backend, limits.slice),
            dialer: dialer(backend, limits.connect),
            limits,
            links: BTreeMap::new(),
            last: 0,
            carrier: None,
            writer: None,
            gathered: Vec::new(),
            held: Map::default(),
            questions: Vec::new(),
            polls: Map::default(),
            reports: Vec::new(),
            retry: None,
            answered: Time::now(),
            in_doubt: false,
            look: None,
            timer: Timer::default(),
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
        let validity = self.pace.validity();
        let session = (self.dialer)(self.last, Arc::clone(&validity), queue, self.tell.clone());
        let task = self.tasks.spawn(session);
        self.links.insert(self.last, Link::new(jobs, task, validity, self.pace));
        self.last
    }

    /// Connections.
    fn most(&self) -> usize {
        usize::try_from(self.limits.sessions).unwrap_or(usize::MAX)
    }

    fn may_dial(&self) -> bool {
        self.retry.is_none_or(|(at, _)| at <= Instant::now()) && self.links.len() < self.most()
    }

    /// A session that may wait: it holds nothing and is not about to.
    fn free_waiter(&mut self) -> Option<SessionId> {
        let free = self.others().find(|(_, link)| link.is_free());
        let free = free.or_else(|| self.others().find(|(_, link)| link.is_coming()));
        if let Some((id, _)) = free {
            return Some(*id);
        }
        // Of what may be open, one is a carrier's.
        let kept = usize::from(self.carrier.is_none() && self.writer.is_none());
        if self.may_dial() && self.links.len() + kept < self.most() {
            return Some(self.dial());
        }
        self.spare_writer()
    }

    /// All but the carriers.
    fn others(&self) -> impl Iterator<Item = (&SessionId, &Link)> {
        let carriers = [self.carrier, self.writer];
        self.links.iter().filter(move |(id, _)| !carriers.contains(&Some(**id)))
    }

    fn next_wake(&self) -> Option<Instant> {
        let polls = self.polls.values().filter_map(Poll::next);
        let wanted = !self.gathered.is_empty() || !self.questions.is_empty();
        let retry = self.retry.filter(|_| wanted).map(|(at, _)| at);
        let cancels = self.links.values().filter_map(|link| link.cancel_at);
        polls.chain(retry).chain(cancels).chain(self.look).min()
    }
}

fn no_answer(label: &str) -> Error {
    Error::unavailable(label, NoAnswer)
}

#[derive(Debug, thiserror::Error)]
#[error("it has not answered in time")]
struct NoAnswer;
