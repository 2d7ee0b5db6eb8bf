//! How callers are answered: what the table has granted or refused them.

use std::sync::Arc;

use tokio::time::Instant;

use super::actor::Actor;
use super::callers::{Callers, EngineDeadline, disarm};
use super::deadlines::GRACE;
use super::delivery::Delivery;
use super::executor::Executor;
use super::grant::Grant;
use super::lock_table::{Event, GrantId, Refusal, RequestId, Shareable as _, Table};
use super::message::Request;
use super::server_query::this_process;
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;
use crate::status::holder::{Holder, Stage};
use crate::status::lost::LostReason;

impl<E: Executor> Actor<E> {
    /// The caller has gone, or the database takes too long to confirm what was granted to it.
    pub(super) fn give_up_on(&mut self, id: RequestId) {
        let hold = self.callers.granted.confirming(id).map(|(hold, _)| hold);
        if let Some(hold) = hold
            && let Some(request) = self.callers.granted.take_confirming(hold)
        {
            let _ = request.reply.send(Err(self.executor.trouble()));
            self.step(Event::Release { hold, budget_spent: true }, LostReason::Unconfirmed);
        }
    }

    /// Hands out what was granted, as far as the database's answer on it is fresh.
    pub(super) fn confirm(&mut self) {
        while self.callers.granted.has_unconfirmed() {
            let (mut gone, mut unwanted) = (Vec::new(), Vec::new());
            let max_hold = self.telemetry.max_hold();
            let mut ids = self.callers.granted.take_unconfirmed();
            ids.retain(|&id| {
                let Some((lock_id, grant)) = self.callers.granted.unconfirmed(id) else {
                    return false;
                };
                let held = match self.executor.held(lock_id, *grant) {
                    Some(held) if held.fresh => held,
                    Some(_) => {
                        self.executor.refresh(lock_id, *grant);
                        return true;
                    }
                    None => {
                        gone.push((lock_id.clone(), *grant));
                        return true;
                    }
                };
                let confirmed = self.callers.granted.confirm(id, |request| {
                    disarm(&mut self.deadlines, &request);
                    let (terms, reply) = request.into_terms();
                    let hold = Grant::new(id, self.engine.id, terms, held);
                    let hold = Arc::new(hold.held_at_most(max_hold));
                    (Arc::clone(&hold), (hold, reply))
                });
                let Some((hold, reply)) = confirmed else { return false };
                let long_at = hold.long_at();
                self.deadlines.extend(long_at.map(|at| (at, id, EngineDeadline::Long)));
                let grant = Delivery::new(hold, self.engine.way_back());
                // Whoever has gone may want the lock again by the next message: their guard's
                // release must not come after that.
                if let Err(Ok(grant)) = reply.send(Ok(grant)) {
                    grant.forget();
                    unwanted.push(id);
                }
                false
            });
            self.callers.granted.confirm_later(ids);
            if gone.is_empty() && unwanted.is_empty() {
                break;
            }
            for hold in unwanted {
                self.step(Event::Release { hold, budget_spent: false }, LostReason::NotHeld);
            }
            for (key, grant) in gone {
                self.step(Event::Lost { key, grant }, LostReason::SessionEnded);
            }
        }
    }

    /// Answers a caller who does not get the lock.
    pub(super) fn refuse(&mut self, request: Box<Request>, why: Refusal) {
        if why == Refusal::Unavailable {
            return request.fail(self.executor.trouble());
        }
        let waited = request.waited();
        if let Some(holder) = self.holder_here(&request.lock_id) {
            return request.refuse(waited, Stage::Process, Some(holder));
        }
        // The time of one who waits is up now, that of a single try is not.
        let end = request.end.filter(|_| !request.patient);
        let until = end.unwrap_or_else(|| Instant::now() + GRACE);
        self.refuse_in_touch(request, why, until);
    }

    /// Answers a caller who does not get the lock, for nobody in this process is in the way.
    pub(super) fn refuse_elsewhere(&mut self, request: Box<Request>, why: Refusal) {
        let stage = match why {
            // On its way back to the database, or kept for its `min_hold`.
            Refusal::BusyHere | Refusal::TimedOutHere => Stage::Process,
            _ => Stage::Database,
        };
        let waited = request.waited();
        match why {
            Refusal::TimedOutElsewhere => self.look_for_holder(request, waited),
            Refusal::BusyElsewhere => request.refuse(waited, stage, None),
            _ => {
                let holder = Holder::new(this_process(), None);
                request.refuse(waited, stage, Some(holder));
            }
        }
    }

    /// Who of this locker's callers is in the way of this, in whatever mode.
    pub(super) fn holder_here(&self, lock_id: &LockId) -> Option<Holder> {
        holder_among(&self.callers, &self.table, lock_id)
    }
}

/// Apart from the engine's state, so that it is compiled once, and not for each kind of executor.
fn holder_among(callers: &Callers, table: &Table<LockId>, lock_id: &LockId) -> Option<Holder> {
    let against =
        |mode: Mode| Mode::ALL.into_iter().filter(move |other| !other.is_compatible_with(mode));
    let of = |mode: Mode| LockId { key: lock_id.key.clone(), mode };
    let held_since = |id: GrantId| match callers.granted.held(id) {
        Some((hold, _)) => Some(Some(hold.held_for())),
        // Released, and kept for its `min_hold`.
        None => callers.granted.lingers(id).then_some(None),
    };
    let held_against =
        |mode: Mode| against(mode).find_map(|other| table.holders(&of(other)).find_map(held_since));
    // Those who share do not pass one who was first, whom another of ours keeps waiting.
    let was_first = |mode: &Mode| table.waiting(&of(*mode)).next().is_some();
    let held_for = held_against(lock_id.mode).or_else(|| {
        let mut first = against(lock_id.mode).filter(was_first);
        first.find_map(held_against).filter(|_| lock_id.is_shareable())
    })?;
    Some(Holder::new(this_process(), held_for))
}
