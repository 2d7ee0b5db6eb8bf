//! What the engine does by the clock.

use std::time::Duration;

use tokio::time::Instant;

use super::actor::{Actor, HANDOFF_TIME_MAX};
use super::callers::{EngineDeadline, expiry};
use super::executor::Executor;
use super::granted::GrantTicket;
use super::lock_table::{Event, GrantId};
use crate::spec::lock_id::LockId;
use crate::status::lost::LostReason;

/// How long the database may take to say what became of a wait that ran out.
pub(super) const GRACE: Duration = Duration::from_millis(500);

impl<E: Executor> Actor<E> {
    /// A guard has gone: its lock goes too, now or when its time has come.
    pub(super) fn release(&mut self, id: GrantId) {
        self.forget_long(id);
        let Some((hold, place)) = self.callers.granted.held(id) else {
            return;
        };
        let (rest, place) = (hold.min_hold_left(), place.clone());
        if rest.is_zero() {
            return self.release_grant(id, &place);
        }
        if let Some(hold) = self.callers.granted.linger(id) {
            if !self.executor.linger(&place.0, rest, &hold) {
                hold.mark_released();
            }
            self.deadlines.insert((Instant::now() + rest, id, EngineDeadline::MinHold));
        }
    }

    /// A guard has gone, and its lock goes to the next one of this process.
    pub(super) fn pass_on(&mut self, hold: GrantId) {
        self.forget_long(hold);
        self.step(Event::Release { hold, budget_spent: false }, LostReason::NotHeld);
    }

    /// It is not held for too long any more.
    fn forget_long(&mut self, id: GrantId) {
        let hold = self.callers.granted.held(id).map(|(hold, _)| hold);
        if let Some(at) = hold.and_then(|hold| hold.long_at()) {
            self.deadlines.remove(&(at, id, EngineDeadline::Long));
        }
    }

    fn release_grant(&mut self, hold: GrantId, (lock_id, grant): &GrantTicket) {
        let held = self.executor.held(lock_id, *grant);
        let budget_spent = held.is_none_or(|held| held.since.elapsed() > HANDOFF_TIME_MAX);
        self.step(Event::Release { hold, budget_spent }, LostReason::NotHeld);
    }

    /// Until when the most patient of those who wait for this key does so; `None`: for ever.
    pub(super) fn latest(&self, key: &LockId) -> Option<Instant> {
        let mut latest = None;
        for request in self.table.waiting(key).filter_map(|id| self.callers.requests.get(&id)) {
            if request.patient {
                latest = latest.max(Some(request.end?));
            }
        }
        latest.or_else(|| Some(Instant::now()))
    }

    /// Does what is due by the clock. Nobody is told that there is no answer before what has come
    /// is `heard`: it may be the answer.
    pub(super) fn ring(&mut self, heard: bool) {
        if self.deadlines.is_empty() {
            return;
        }
        let now = Instant::now();
        let mut later = Vec::new();
        while let Some(&(at, id, alarm)) = self.deadlines.first()
            && at <= now
        {
            self.deadlines.pop_first();
            if alarm == EngineDeadline::Overdue && !heard {
                later.push((at, id, alarm));
                continue;
            }
            match (alarm, self.callers.requests.contains_key(&id)) {
                (EngineDeadline::Look, true) => self.look_ahead(id),
                // Granted, and not yet confirmed.
                (EngineDeadline::Look, false) => {
                    let confirming = self.callers.granted.confirming(id);
                    self.deadlines.extend(confirming.and_then(|(_, request)| expiry(request)));
                }
                (EngineDeadline::Expire, waits) => {
                    if waits {
                        self.step(Event::Expire { request: id }, LostReason::Closed);
                    }
                    if self.callers.has_unanswered(id) {
                        self.deadlines.insert((now + GRACE, id, EngineDeadline::Overdue));
                    }
                }
                (EngineDeadline::Overdue, true) => {
                    self.step(Event::Overdue { request: id }, LostReason::Closed);
                }
                (EngineDeadline::Overdue, false) => {
                    self.give_up_on(id);
                    self.give_up_doubts_of(id);
                    self.give_up_search_for(id);
                }
                (EngineDeadline::Wake, _) => {
                    if let Some(reply) = self.callers.sleepers.remove(&id) {
                        let _ = reply.send(());
                    }
                }
                (EngineDeadline::Slow, _) => self.waits_long(id),
                (EngineDeadline::Long, _) => {
                    if let Some((hold, _)) = self.callers.granted.held(id) {
                        hold.tell_long();
                    }
                }
                (EngineDeadline::Convert, _) => self.conversion_is_late(id),
                (EngineDeadline::MinHold, _) => {
                    if let Some(place) = self.callers.granted.take_lingering(id) {
                        self.release_grant(id, &place);
                    }
                }
            }
        }
        self.deadlines.extend(later);
    }
}
