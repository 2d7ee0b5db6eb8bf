//! Watches over the sessions: heartbeats, loss, turns, and connections that nobody needs.

use std::time::{Duration, Instant};

use super::SessionCore;
use super::action::{Action, Now, SessionId};
use super::handle::{Due, SessionHandle};
use super::roles::Demand;
use crate::status::lost::LostReason;

/// So long a write waits for a session before it is asked for anew.
pub(super) const UNWRITTEN: Duration = Duration::from_millis(500);

impl SessionCore {
    /// Does what the clock asks of each session.
    pub(super) fn watch_over(&mut self, now: Now) {
        let warm = self.warm(now);
        for id in self.handles.ids() {
            let Some(handle) = self.handles.get_mut(id) else {
                continue;
            };
            match handle.due(warm == Some(id), now) {
                Due::Ping => handle.ping(now, &mut self.out),
                Due::Close => {
                    self.handles.remove(id);
                    self.out.push(Action::Close { session: id });
                }
                Due::Dead => self.drop_session(id, LostReason::Unconfirmed, now),
                // What it holds stays with it; what is new goes to another one, by its role.
                Due::Stuck(_) | Due::Later(_) => {}
            }
        }
    }

    /// The one session that is there even if it has nothing to do. `None` as well while every session
    /// has something to do.
    fn warm(&self, now: Now) -> Option<SessionId> {
        let mut handles = self.handles.values();
        let has_spare = handles.any(|handle| handle.is_idle() && handle.holds_nothing());
        has_spare.then(|| self.handles.carrier(now)).flatten()
    }

    /// When the clock next asks something of a session, or for one.
    pub(super) fn next_look(&self, now: Now) -> Option<Instant> {
        let warm = self.warm(now);
        let due = self.handles.iter().map(|(id, handle)| match handle.due(warm == Some(id), now) {
            Due::Stuck(left) | Due::Later(left) => left,
            Due::Ping | Due::Close | Due::Dead => Duration::ZERO,
        });
        let due = due.min().filter(|left| *left < Duration::MAX).map(|left| now.clock + left);
        let turn = if self.scarce { self.next_turn(now.clock) } else { None };
        let unwritten = self.writes.ends(UNWRITTEN);
        due.into_iter().chain(self.next_retry(now.clock)).chain(turn).chain(unwritten).min()
    }

    /// When a session that is wanted can be opened; by then it is, so that never lies in the past.
    fn next_retry(&self, clock: Instant) -> Option<Instant> {
        let wanted = !self.gathered.is_empty() || self.polls.len() > 0;
        let has_room = self.handles.len() < self.most();
        self.retry.next().filter(|at| wanted && has_room && *at > clock)
    }

    /// When the next of those that wait must leave its session to another key. One that is to stay though its turn
    /// is over, for enough others are leaving, is looked at again when one of those has left.
    fn next_turn(&self, clock: Instant) -> Option<Instant> {
        let turns = self.handles.values().filter_map(SessionHandle::turn_ends);
        turns.filter(|ends| *ends > clock).min()
    }

    /// Where keys are more than sessions, those that have had their turn leave them to others.
    pub(super) fn take_turns(&mut self, demand: Demand, now: Now) {
        let waits = self.handles.values().filter_map(SessionHandle::waiting);
        let leaving = waits.filter(|wait| wait.leaves).count();
        let wanted = demand.waits + usize::from(demand.fenced);
        for _ in leaving..wanted {
            let over = self.handles.iter().filter(|(_, handle)| handle.can_leave(now.clock));
            let first = over.min_by_key(|(_, handle)| handle.turn_ends());
            let Some(id) = first.map(|(id, _)| id) else { return };
            self.stop_wait(id, true, now);
        }
    }

    /// Has a session stop its wait. `leaves`: so that another key has its place.
    pub(super) fn stop_wait(&mut self, id: SessionId, leaves: bool, now: Now) {
        let Some(handle) = self.handles.get_mut(id) else { return };
        let order = handle.stop_wait(now.time, leaves);
        if self.pace.stops_waits() {
            return self.gathered.extend(order);
        }
        // The wait ends with its connection, and so does a grant that it meets.
        self.end_wait(id, now);
        self.bury(id, LostReason::SessionEnded, now);
        if leaves {
            // For the key that its place is left to.
            self.connect(now);
        }
    }

    /// Who wants a token and finds no session for it is told, or asks again: others who want the
    /// same key without one are behind it.
    pub(super) fn give_up_writes(&mut self, now: Now) {
        if !self.writes.give_up(UNWRITTEN, now.clock) {
            return;
        }
        self.health.note_no_writer();
        for op in self.gathered.take_writes() {
            self.failed(0, &op, Some(LostReason::SessionEnded), now);
        }
    }

    /// Waits whose time is up on the server anyway are not cancelled at once, but if the server
    /// does not say so soon.
    pub(super) fn late_cancels(&mut self, now: Now) {
        for id in self.handles.ids() {
            let handle = self.handles.get_mut(id);
            if handle.is_some_and(|handle| handle.take_late_cancel(now.clock)) {
                self.stop_wait(id, false, now);
            }
        }
    }
}
