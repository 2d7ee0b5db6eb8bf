//! What is asked of which session, and what becomes of the answers.
//!
//! Pure: what the table orders and what sessions tell goes in, with the time; [`Action`]s come out, for the driver
//! to carry out in their order. No clock, no channel, no SQL: a simulation can drive it.

mod action;
mod answers;
mod conversions;
mod converting;
mod dealing;
mod ending;
mod fencing;
mod gathered;
mod grants;
mod handle;
mod handles;
mod health;
mod orders;
mod own;
mod polling;
mod retry;
mod roles;
mod shutdown;
#[cfg(test)]
#[path = "../../../../../tests/simulation/session/mod.rs"]
mod simulation;
mod watch;

use std::time::{Duration, Instant};

use fastrand::Rng;

pub(super) use self::action::{Action, Job, Now, QuestionId, SessionEvent, SessionId};
use self::conversions::Conversions;
use self::gathered::{Gathered, Writes};
use self::grants::SessionGrants;
pub(super) use self::handle::ServerTraits;
use self::handle::{Pace, SessionHandle};
use self::handles::Handles;
use self::health::Health;
pub(super) use self::own::OwnSession;
use self::polling::Polls;
use self::retry::Retry;
use self::roles::{Demand, Roles, Room};
use crate::engine::lock_table::{Event, Ticket};
use crate::error::Error;
use crate::spec::lock_id::LockId;

/// The ticket of what the table has not asked for.
const NOBODY: Ticket = 0;

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
pub(super) struct SessionCore {
    pace: Pace,
    limits: Limits,
    handles: Handles,
    grants: SessionGrants,
    gathered: Gathered,
    writes: Writes,
    /// Keys that no session waits for yet.
    polls: Polls,
    /// What is held and is to be held in another mode.
    conversions: Conversions,
    retry: Retry,
    health: Health,
    /// Keys or writes lacked a session at the last flush.
    scarce: bool,
    /// Sessions that are open beside those that hold or wait.
    elsewhere: usize,
    /// When the clock next asks something of a session.
    look: Option<Instant>,
    out: Vec<Action>,
}

impl SessionCore {
    /// That of a server of this name. `rng`: for the pauses between two tries.
    pub(super) fn new(
        label: Box<str>,
        server: ServerTraits,
        limits: Limits,
        mut rng: Rng,
        now: Now,
    ) -> Self {
        SessionCore {
            pace: Pace::of(server, limits.slice),
            limits,
            handles: Handles::default(),
            grants: SessionGrants::default(),
            gathered: Gathered::default(),
            writes: Writes::default(),
            conversions: Conversions::new(server.conversion_wait_max, rng.fork()),
            polls: Polls::new(rng),
            retry: Retry::default(),
            health: Health::new(label, now.time),
            scarce: false,
            elsewhere: 0,
            look: None,
            out: Vec::new(),
        }
    }

    /// What is to be done, in this order. The driver gives the empty list back.
    pub(super) fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.out)
    }

    /// Takes a list back, so that it is not allocated anew.
    pub(super) fn give_back(&mut self, actions: Vec<Action>) {
        if self.out.is_empty() {
            self.out = actions;
        }
    }

    /// Returns `true` if there is nothing to be done.
    pub(super) fn is_done(&self) -> bool {
        self.out.is_empty()
    }

    /// So many sessions are open beside those that hold or wait.
    pub(super) fn note_elsewhere(&mut self, sessions: usize) {
        self.elsewhere = sessions;
    }

    /// Opens a session.
    pub(super) fn connect(&mut self, now: Now) -> SessionId {
        let (pace, validity) = (self.pace, self.pace.validity(now.time));
        let patience = self.retry.patience(self.limits.connect);
        let handle = |id| SessionHandle::new(id, validity.clone(), pace, patience, now.time);
        let session = self.handles.add(handle);
        self.out.push(Action::Connect { session, validity });
        session
    }

    /// Does what the clock asks for: only as often as [`next_wake`](Self::next_wake) says.
    pub(super) fn tick(&mut self, now: Now) {
        for (lock_id, fenced, ticket) in self.polls.due(now.clock) {
            self.gathered.try_key(lock_id, fenced, ticket);
        }
        self.give_up_writes(now);
        self.late_cancels(now);
        self.watch_over(now);
    }

    /// A batch has no answer yet: what is asked now goes out with others when it has.
    pub(super) fn is_in_batch(&self) -> bool {
        self.handles.values().any(SessionHandle::is_in_batch)
    }

    /// When the clock next asks for something.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        let cancels = self.handles.values().filter_map(SessionHandle::cancel_at);
        cancels.chain(self.polls.next()).chain(self.conversions.next()).chain(self.look).min()
    }

    /// When the first session is open: nobody may ask for anything for a long time.
    pub(super) fn look_ahead(&mut self, now: Now) {
        self.look = self.next_look(now);
    }

    /// Sends what has come together.
    pub(super) fn flush(&mut self, now: Now) {
        let demand = self.demand(now);
        // An answer that leads to nothing is every second turn.
        let roles = if demand.is_nothing() { Roles::default() } else { self.roles(demand, now) };
        for _ in 0..roles.connect {
            self.connect(now);
        }
        if let Some(waiting) = roles.reclaim {
            self.reclaim(waiting, now);
            self.connect(now);
        }
        // One session must be there to stop those that wait.
        while demand.waits > 0
            && roles.carrier.is_some()
            && let Some(id) = self.handles.free_waiter(&roles, now)
            && let Some(wait) = self.polls.take_first(now.clock)
            && let Some(handle) = self.handles.get_mut(id)
        {
            handle.send_wait(wait, now, &mut self.out);
        }
        self.scarce = roles.scarce;
        if self.scarce {
            // A key has more use for its place.
            self.out.push(Action::CloseDesk);
            self.elsewhere = 0;
            self.take_turns(demand, now);
        }
        self.deal_out(&roles, now);
        self.deal_out_conversions(now.clock);
        self.writes.note(roles.unwritable, now.clock);
        self.handles.values_mut().for_each(|handle| handle.send_batch(now, &mut self.out));
        if self.health.take_doubt()
            && let Some(handle) = self.handles.values_mut().find(|handle| handle.is_idle())
        {
            // What is on its way on others is as good when it is answered.
            handle.ping(now, &mut self.out);
        }
        self.look = self.next_look(now);
    }

    /// Returns `true` if one more session may be opened, and one is left for a key to wait on.
    pub(super) fn has_room_for_desk(&self, now: Now) -> bool {
        matches!(self.room(now), Room::For(room) if room > 1)
    }

    /// How many sessions there may be.
    fn most(&self) -> usize {
        usize::try_from(self.limits.sessions).unwrap_or(usize::MAX)
    }

    fn room(&self, now: Now) -> Room {
        let open = self.handles.len() + self.elsewhere;
        match self.most().saturating_sub(open) {
            0 => Room::For(0),
            _ if self.retry.is_later(now.clock, self.handles.is_connected()) => Room::Later,
            room => Room::For(room),
        }
    }

    fn roles(&self, demand: Demand, now: Now) -> Roles {
        self.handles.roles(demand, self.room(now), now)
    }

    fn demand(&self, now: Now) -> Demand {
        let careful = self.writes.may_share(now.clock);
        self.gathered.demand(self.polls.len(), self.health.is_in_doubt(), careful)
    }

    fn report(&mut self, event: Event<LockId>) {
        self.out.push(Action::Report(event.into()));
    }

    /// Why callers cannot be served.
    pub(super) fn trouble(&self) -> Error {
        self.health.trouble().clone()
    }

    /// Those whom the last trouble concerned have been told.
    pub(super) fn told(&mut self) {
        self.health.told();
    }
}
