//! Carries the table's decisions out on sessions of a database with locks of its own.
//!
//! One session, the carrier, takes all first tries and holds what they are granted: whatever is
//! asked while a batch is on its way goes out together with the next. A key that is refused there
//! is waited for in the database on a session that holds nothing; when it is granted, that session
//! holds this one key. A session that holds something never waits. As long as no session waits for
//! a key, it is tried again and again on the carrier; where there are more such keys than sessions,
//! those that wait take turns. So is one whose caller wants no statement to wait, or whose wait the
//! server has ended as a deadlock.
//!
//! Keys that are wanted with a fencing token are tried on a session of their own, the writer: a
//! token is written, and a write can wait for the disk or for a standby. Others' signs of life must
//! not: where there is no session for the write, it waits.
//!
//! Which session is which is decided anew at each flush: see [`roles`].

mod actions;
mod conversions;
mod converting;
mod desk;
mod fencing;
mod handle;
mod monitor;
mod parts;
mod polling;
mod replies;
mod retry;
mod roles;
mod routing;
mod task;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::conversions::Conversions;
use self::desk::{Desk, clerk};
use self::fencing::Token;
use self::handle::{Pace, SessionHandle};
use self::polling::Polls;
use self::retry::Retry;
use self::roles::{Demand, Roles, Room};
use self::task::{Dialer, Question, SessionEvent, SessionEvents, SessionId, dialer};
use super::executor::Report;
use super::lock_table::Ticket;
use super::map::Map;
use super::timer::Timer;
use crate::backend::{BatchItem, SessionBackend};
use crate::clock::Time;
use crate::error::{Error, Result};
use crate::observe::Telemetry;
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;

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
    desk: Desk,
    limits: Limits,
    /// What limits the locks of the server.
    locks_setting: Option<&'static str>,
    links: BTreeMap<SessionId, SessionHandle>,
    last: SessionId,
    /// Tries, and orders to other sessions, for the carriers' next batch.
    gathered: Vec<BatchItem>,
    /// What was granted, by ticket.
    held: Map<Ticket, SessionGrant>,
    /// For the carrier, when it has time.
    questions: Vec<Question>,
    /// Keys that no session waits for yet.
    polls: Polls,
    /// What is held and is to be held in another mode.
    conversions: Conversions,
    check_conversion: CheckConversion,
    reports: Vec<Report>,
    trouble: Error,
    retry: Retry,
    /// Keys or writes lacked a session at the last flush.
    scarce: bool,
    /// Since when there is no session for what is to be written.
    unwritten: Option<Instant>,
    /// Until when a session that keeps other locks is not to write, for that might take longer than others' locks
    /// last.
    unshared: Option<Instant>,
    /// When the newest thing was sent that the server has answered.
    answered: Time,
    /// A sign of life is wanted, to know whether it still answers.
    in_doubt: bool,
    /// When the clock next asks something of a session.
    look: Option<Instant>,
    timer: Timer,
    tasks: JoinSet<()>,
    tell: SessionEvents,
    events: mpsc::UnboundedReceiver<(SessionId, SessionEvent)>,
    heard: Vec<(SessionId, SessionEvent)>,
}

/// An error where the database has no such change of a lock's mode.
type CheckConversion = Box<dyn Fn(Mode, Mode) -> Result<()> + Send>;

struct SessionGrant {
    lock_id: LockId,
    session: SessionId,
    since: Time,
    token: Token,
    /// Whoever has it wants a token.
    fenced: bool,
}

impl Sessions {
    /// Opens the first session.
    pub(crate) async fn open<B: SessionBackend>(
        backend: Arc<B>,
        limits: Limits,
        telemetry: Arc<Telemetry>,
    ) -> Result<Self> {
        backend.preflight().await?;
        let (tell, events) = mpsc::unbounded_channel();
        let label: Box<str> = backend.label().into();
        let mut this = Sessions {
            trouble: no_answer(&label),
            label,
            pace: Pace::of(&*backend, limits.slice),
            dialer: dialer(&backend, limits.connect, &telemetry),
            desk: Desk::new(clerk(&backend, limits.connect, telemetry)),
            limits,
            locks_setting: backend.locks_setting(),
            links: BTreeMap::new(),
            last: 0,
            gathered: Vec::new(),
            held: Map::default(),
            questions: Vec::new(),
            polls: Polls::default(),
            conversions: Conversions::new(backend.conversion_wait_max()),
            check_conversion: {
                let backend = Arc::clone(&backend);
                Box::new(move |from, to| backend.check_conversion(from, to))
            },
            reports: Vec::new(),
            retry: Retry::default(),
            scarce: false,
            unwritten: None,
            unshared: None,
            answered: Time::now(),
            in_doubt: false,
            look: None,
            timer: Timer::default(),
            tasks: JoinSet::new(),
            tell,
            events,
            heard: Vec::new(),
        };
        this.connect();
        match this.events.recv().await {
            Some((_, SessionEvent::Died(error))) => Err(error),
            Some((id, event)) => {
                this.on_event(id, event);
                // Nobody may ask for anything for a long time.
                this.look = this.next_look(Time::now());
                Ok(this)
            }
            None => Err(Error::Closed),
        }
    }

    fn connect(&mut self) -> SessionId {
        self.last += 1;
        reap(&mut self.tasks);
        let (jobs, queue) = mpsc::unbounded_channel();
        let validity = self.pace.validity();
        let session = (self.dialer)(self.last, Arc::clone(&validity), queue, self.tell.clone());
        let task = self.tasks.spawn(session);
        let link = SessionHandle::new(
            jobs,
            task,
            validity,
            self.pace,
            self.retry.patience(self.limits.connect),
        );
        self.links.insert(self.last, link);
        self.last
    }

    /// Connections.
    fn most(&self) -> usize {
        usize::try_from(self.limits.sessions).unwrap_or(usize::MAX)
    }

    /// Connections that there are.
    fn open_now(&self) -> usize {
        self.links.len() + self.desk.len()
    }

    fn room(&self) -> Room {
        match self.most().saturating_sub(self.open_now()) {
            0 => Room::For(0),
            _ if self.retry.is_later(Instant::now(), self.is_connected()) => Room::Later,
            room => Room::For(room),
        }
    }

    /// A session is there.
    fn is_connected(&self) -> bool {
        self.links.values().any(|link| link.tag.is_some())
    }

    /// Who does what, by what the sessions are doing now.
    fn roles(&self, demand: Demand, now: Time) -> Roles {
        let views = self.links.iter().map(|(id, link)| link.view(*id, now));
        Roles::of(views, demand, self.room())
    }

    /// A session that may wait, and is not the one that carries.
    fn free_waiter(&self, roles: &Roles, now: Time) -> Option<SessionId> {
        let taken = [roles.carrier, roles.writer];
        let views = self.links.iter().map(|(id, link)| link.view(*id, now));
        let mut free = views.filter(roles::may_wait).map(|view| view.id);
        free.find(|id| !taken.contains(&Some(*id)))
    }

    fn next_wake(&self) -> Option<Instant> {
        let cancels = self.links.values().filter_map(|link| link.cancel_at);
        cancels.chain(self.polls.next()).chain(self.conversions.next()).chain(self.look).min()
    }
}

/// Forgets the tasks that have ended.
fn reap(tasks: &mut JoinSet<()>) {
    while tasks.try_join_next().is_some() {}
}

/// A write that has no session.
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
