//! Watches over the sessions: heartbeats, loss, and connections that nobody needs.

use std::time::Duration;

use tokio::time::Instant;

use super::handle::{Due, KeyWait, Sent, SessionHandle};
use super::retry::Failure;
use super::roles::Demand;
use super::routing::{a_try, is_fenced};
use super::task::SessionId;
use super::{SessionGrant, Sessions, no_answer, no_writer};
use crate::backend::{BatchItem, Op};
use crate::clock::Time;
use crate::engine::executor::Report;
use crate::engine::lock_table::{Event, Ticket};
use crate::status::lost::LostReason;

/// So long a write waits for a session before it is asked for anew.
pub(super) const UNWRITTEN: Duration = Duration::from_millis(500);

impl Sessions {
    /// Does what the clock asks of each session.
    pub(super) fn watch_over(&mut self, now: Time) {
        let ids: Vec<SessionId> = self.links.keys().copied().collect();
        let warm = self.warm(now);
        for id in ids {
            let Some(link) = self.links.get_mut(&id) else {
                continue;
            };
            match link.due(warm == Some(id), now) {
                Due::Ping => link.ping(),
                Due::Close => {
                    link.close();
                    self.links.remove(&id);
                }
                Due::Dead => self.drop_session(id, LostReason::Unconfirmed),
                // What it holds stays with it; what is new goes to another one, by its role.
                Due::Stuck(_) | Due::Later(_) => {}
            }
        }
    }

    /// The one session that is there even if it has nothing to do.
    fn warm(&self, now: Time) -> Option<SessionId> {
        self.roles(Demand::default(), now).carrier
    }

    /// When the clock next asks something of a session, or for one.
    pub(super) fn next_look(&self, now: Time) -> Option<Instant> {
        let (warm, clock) = (self.warm(now), Instant::now());
        let due = self.links.iter().map(|(id, link)| match link.due(warm == Some(*id), now) {
            Due::Stuck(left) | Due::Later(left) => left,
            Due::Ping | Due::Close | Due::Dead => Duration::ZERO,
        });
        let due = due.min().filter(|left| *left < Duration::MAX).map(|left| clock + left);
        let turn = if self.scarce { self.next_turn() } else { None };
        let unwritten = self.unwritten.map(|since| since + UNWRITTEN);
        due.into_iter().chain(self.next_retry(clock)).chain(turn).chain(unwritten).min()
    }

    /// When a session that is wanted can be opened; by then it is, so that never lies in the past.
    fn next_retry(&self, clock: Instant) -> Option<Instant> {
        let wanted =
            !self.gathered.is_empty() || !self.questions.is_empty() || self.polls.len() > 0;
        let has_room = self.links.len() < self.most();
        self.retry.next().filter(|at| wanted && has_room && *at > clock)
    }

    /// When the next of those that wait must leave its session to another key.
    fn next_turn(&self) -> Option<Instant> {
        let waits = self.links.values().filter_map(SessionHandle::waiting);
        waits.filter(|wait| wait.stopped.is_none()).map(|wait| wait.turn_ends).min()
    }

    /// Where keys are more than sessions, those that have had their turn leave them to others.
    pub(super) fn take_turns(&mut self, demand: Demand, now: Time) {
        let clock = Instant::now();
        let leaving =
            self.links.values().filter_map(SessionHandle::waiting).filter(|wait| wait.leaves);
        let wanted = demand.waits + usize::from(demand.fenced);
        for _ in leaving.count()..wanted {
            let waits = self.links.iter().filter(|(_, link)| {
                let over = |wait: &KeyWait| wait.stopped.is_none() && wait.turn_ends <= clock;
                !link.cancelling && link.cancel_at.is_none() && link.waiting().is_some_and(over)
            });
            let first = waits.min_by_key(|(_, link)| link.waiting().map(|wait| wait.turn_ends));
            let Some(id) = first.map(|(id, _)| *id) else { return };
            self.stop_wait(id, true, now);
        }
    }

    /// Has a session stop its wait. `leaves`: so that another key has its place.
    pub(super) fn stop_wait(&mut self, id: SessionId, leaves: bool, now: Time) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let order = link.stop_wait(now, leaves);
        if self.pace.stops_waits() {
            return self.gathered.extend(order);
        }
        // The wait ends with its connection, and so does a grant that it meets.
        self.end_wait(id);
        self.bury(id, LostReason::SessionEnded);
        if leaves {
            // For the key that its place is left to.
            self.connect();
        }
    }

    /// Tries the keys again that no session waits for, and does what the clock says.
    pub(super) fn tick(&mut self) {
        for (lock_id, fenced, ticket) in self.polls.due(Instant::now()) {
            self.gathered.push(BatchItem { what: a_try(lock_id, fenced), ticket });
        }
        self.give_up_writes();
        let now = Time::now();
        self.late_cancels(now);
        self.watch_over(now);
    }

    /// Who wants a token and finds no session for it is told, or asks again: others who want the
    /// same key without one are behind it.
    fn give_up_writes(&mut self) {
        if self.unwritten.take_if(|since| since.elapsed() >= UNWRITTEN).is_none() {
            return;
        }
        self.trouble = no_writer(&self.label);
        for op in std::mem::take(&mut self.gathered) {
            if is_fenced(&op) {
                self.failed(0, &op, Some(LostReason::SessionEnded));
            } else {
                self.gathered.push(op);
            }
        }
    }

    /// Waits whose time is up on the server anyway are not cancelled at once, but if the server
    /// does not say so soon.
    fn late_cancels(&mut self, now: Time) {
        let clock = Instant::now();
        let late = self
            .links
            .iter_mut()
            .filter_map(|(id, link)| link.cancel_at.take_if(|at| *at <= clock).map(|_| *id));
        for id in late.collect::<Vec<_>>() {
            self.stop_wait(id, false, now);
        }
    }

    /// Gives a session up: what it holds is lost, what it was asked has failed. Its connection is
    /// dropped, and since that may take the server a while to see, it is told from another one.
    pub(super) fn drop_session(&mut self, id: SessionId, reason: LostReason) {
        if reason == LostReason::Unconfirmed {
            self.trouble = no_answer(&self.label);
        }
        let (Some(link), clock) = (self.links.get(&id), Instant::now()) else { return };
        match link.tag {
            Some(tag) => self.gathered.push(BatchItem { what: Op::End(tag), ticket: 0 }),
            None => self.retry.failed(Failure::Late, clock),
        }
        self.bury(id, reason);
    }

    /// A session has ended by itself.
    pub(super) fn session_ended(&mut self, id: SessionId) {
        let Some(link) = self.links.get(&id) else { return };
        match link.tag {
            // A process id is not used for others before it is free, and it is only free when the
            // server itself has ended the session.
            Some(_) if self.trouble.is_retryable() => {
                if !link.has_answered {
                    self.retry.failed(Failure::Refused, Instant::now());
                }
            }
            Some(tag) => self.gathered.push(BatchItem { what: Op::End(tag), ticket: 0 }),
            None => {
                let others = self.links.values().any(|link| link.tag.is_some());
                let full = self.trouble.is_full() && others;
                let failure = if full { Failure::Full } else { Failure::Refused };
                self.retry.failed(failure, Instant::now());
            }
        }
        self.bury(id, LostReason::SessionEnded);
    }

    /// Takes a session out, and tells what became of what it was asked and held.
    fn bury(&mut self, id: SessionId, reason: LostReason) {
        let Some(link) = self.links.remove(&id) else { return };
        // Before the connection goes and others can have what it holds: all its guards at once.
        link.validity.end(reason);
        link.task.abort();
        let was_empty = link.holds == 0;
        for sent in link.sent {
            match sent {
                // An empty session that had died unnoticed: the same goes out on a new one, once.
                Sent::Batch(ops)
                    if was_empty && link.confirmed && reason == LostReason::SessionEnded =>
                {
                    self.gathered.extend(ops.iter().cloned());
                }
                Sent::Batch(ops) => ops.iter().for_each(|op| self.failed(id, op, Some(reason))),
                Sent::Wait(KeyWait { lock_id: key, ticket, .. }) => {
                    let fatal = !self.trouble.is_retryable();
                    self.reports.push(Event::Failed { key, ticket, fatal }.into());
                }
                // Its grant is lost below.
                Sent::Question | Sent::Conversion(..) => {}
            }
        }
        link.batch.iter().for_each(|op| self.failed(id, op, Some(reason)));
        for question in link.questions {
            question.fail(&self.trouble);
        }
        let lost: Vec<_> = self.held.iter().filter(|(_, grant)| grant.session == id).collect();
        let lost: Vec<Ticket> = lost.into_iter().map(|(ticket, _)| *ticket).collect();
        for grant in lost {
            self.forget_conversion(grant);
            if let Some(SessionGrant { lock_id: key, .. }) = self.held.remove(&grant) {
                self.reports.push(Report { event: Event::Lost { key, grant }, reason });
            }
        }
        if link.tag.is_none() {
            self.give_up_on_gathered();
        }
    }

    /// Gives up a session for its place: what it waits for stays wanted.
    pub(super) fn reclaim(&mut self, id: SessionId) {
        self.end_wait(id);
        self.drop_session(id, LostReason::SessionEnded);
    }

    /// Takes the wait from a session that is about to go: the key is waited for elsewhere, if it is
    /// still wanted.
    fn end_wait(&mut self, id: SessionId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let wait = link.waiting().is_some().then(|| link.sent.pop_front()).flatten();
        if let Some(Sent::Wait(wait)) = wait {
            if wait.stopped.is_some() && !wait.leaves {
                self.reports.push(Event::Ended { key: wait.lock_id, ticket: wait.ticket }.into());
            } else {
                self.polls.come_back(wait, Instant::now());
            }
        }
    }

    /// There is no server: those who wanted only a try are told, the others will be asked for again.
    fn give_up_on_gathered(&mut self) {
        if self.links.is_empty() {
            for op in std::mem::take(&mut self.gathered) {
                self.failed(0, &op, Some(LostReason::SessionEnded));
            }
            for question in std::mem::take(&mut self.questions) {
                question.fail(&self.trouble);
            }
        }
    }
}
