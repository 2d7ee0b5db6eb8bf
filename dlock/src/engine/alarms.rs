//! What the engine does by the clock.

use std::time::Duration;

use tokio::time::Instant;

use super::actor::{Actor, TURN};
use super::callers::{Alarm, Place, expiry};
use super::executor::Executor;
use super::lock_table::{Event, HoldId};
use crate::spec::lock_id::Claim;
use crate::status::lost::LostReason;

/// How long the database may take to say what became of a wait that ran out.
pub(super) const GRACE: Duration = Duration::from_millis(500);

impl<E: Executor> Actor<E> {
    /// A guard has gone: its lock goes too, now or when its time has come.
    pub(super) fn release(&mut self, id: HoldId) {
        let Some((hold, place)) = self.callers.holds.get(&id) else {
            return;
        };
        if let Some(at) = hold.long_at() {
            self.alarms.remove(&(at, id, Alarm::Long));
        }
        let rest = hold.min_hold_left();
        if rest.is_zero() {
            return self.let_go(id, &place.clone());
        }
        if let Some((hold, place)) = self.callers.holds.remove(&id) {
            if !self.executor.linger(&place.0, rest, &hold) {
                hold.settle();
            }
            self.callers.lingering.insert(id, place);
            self.alarms.insert((Instant::now() + rest, id, Alarm::Linger));
        }
    }

    fn let_go(&mut self, hold: HoldId, (claim, grant): &Place) {
        let held = self.executor.held(claim, *grant);
        let spent = held.is_none_or(|held| held.since.elapsed() > TURN);
        self.step(Event::Release { hold, spent }, LostReason::NotHeld);
    }

    /// Until when the most patient of those who wait for this key does so; `None`: for ever.
    pub(super) fn latest(&self, key: &Claim) -> Option<Instant> {
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
        if self.alarms.is_empty() {
            return;
        }
        let now = Instant::now();
        let mut later = Vec::new();
        while let Some(&(at, id, alarm)) = self.alarms.first()
            && at <= now
        {
            self.alarms.pop_first();
            if alarm == Alarm::Overdue && !heard {
                later.push((at, id, alarm));
                continue;
            }
            match (alarm, self.callers.requests.contains_key(&id)) {
                (Alarm::Look, true) => self.look_ahead(id),
                // Granted, and not yet confirmed.
                (Alarm::Look, false) => {
                    let unsure = self.callers.unsure.values().find(|(_, request)| request.id == id);
                    self.alarms.extend(unsure.and_then(|(_, request)| expiry(request)));
                }
                (Alarm::Expire, waits) => {
                    if waits {
                        self.step(Event::Expire { request: id }, LostReason::Closed);
                    }
                    if self.callers.owes(id) {
                        self.alarms.insert((now + GRACE, id, Alarm::Overdue));
                    }
                }
                (Alarm::Overdue, true) => {
                    self.step(Event::Overdue { request: id }, LostReason::Closed);
                }
                (Alarm::Overdue, false) => {
                    self.give_up_on(id);
                    self.give_up_doubts_of(id);
                    self.give_up_search_for(id);
                }
                (Alarm::Wake, _) => {
                    if let Some(reply) = self.callers.sleepers.remove(&id) {
                        let _ = reply.send(());
                    }
                }
                (Alarm::Slow, _) => self.waits_long(id),
                (Alarm::Long, _) => {
                    if let Some((hold, _)) = self.callers.holds.get(&id) {
                        hold.tell_long();
                    }
                }
                (Alarm::Convert, _) => self.conversion_is_late(id),
                (Alarm::Linger, _) => {
                    if let Some(place) = self.callers.lingering.remove(&id) {
                        self.let_go(id, &place);
                    }
                }
            }
        }
        self.alarms.extend(later);
    }
}
