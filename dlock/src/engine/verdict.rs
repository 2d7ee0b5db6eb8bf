//! How callers are answered: what the table has granted or refused them.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::actor::Actor;
use super::callers::disarm;
use super::executor::{Executor, Held};
use super::hold::Hold;
use super::mail::Request;
use super::table::{Event, Refusal, RequestId};
use crate::guard::Guard;
use crate::holder::{Holder, Stage};
use crate::lost::LostReason;

impl<E: Executor> Actor<E> {
    /// The caller has gone, or the database takes too long to confirm what was granted to it.
    pub(super) fn give_up_on(&mut self, id: RequestId) {
        let hold = self.callers.unsure.iter().find(|(_, (_, request))| request.id == id);
        if let Some(hold) = hold.map(|(hold, _)| *hold)
            && let Some((_, request)) = self.callers.unsure.remove(&hold)
        {
            let _ = request.reply.send(Err(self.executor.trouble()));
            self.step(Event::Release { hold, spent: true }, LostReason::Unconfirmed);
        }
    }

    /// Hands out what was granted, as far as the database's word on it is fresh.
    pub(super) fn confirm(&mut self) {
        while !self.callers.unsure.is_empty() {
            let (mut gone, mut unwanted) = (Vec::new(), Vec::new());
            let executor = &mut self.executor;
            let holds = &mut self.callers.holds;
            let alarms = &mut self.alarms;
            self.callers.unsure.retain(|&id, (place, request)| {
                match executor.held(&place.0, place.1) {
                    Some(Held { fresh: false, .. }) => {
                        executor.refresh(&place.0, place.1);
                        true
                    }
                    Some(held) => {
                        disarm(alarms, request);
                        let (reply, _) = oneshot::channel();
                        let reply = std::mem::replace(&mut request.reply, reply);
                        let hold = Arc::new(Hold::new(id, request, &held));
                        holds.insert(id, (Arc::clone(&hold), place.clone()));
                        let guard = Guard::new(hold, Some(request.engine.clone()));
                        tracing::debug!(target: "dlock", key = %request.key,
                            waited = ?request.asked.elapsed(), "acquired");
                        // Whoever has gone may want the lock again by the next message: their
                        // guard's release must not come after that.
                        if let Err(Ok(guard)) = reply.send(Ok(guard)) {
                            guard.forget();
                            unwanted.push(id);
                        }
                        false
                    }
                    None => {
                        gone.push(place.clone());
                        true
                    }
                }
            });
            if gone.is_empty() && unwanted.is_empty() {
                break;
            }
            for hold in unwanted {
                self.step(Event::Release { hold, spent: false }, LostReason::NotHeld);
            }
            for (key, grant) in gone {
                self.step(Event::Lost { key, grant }, LostReason::SessionEnded);
            }
        }
    }

    /// Answers a caller who does not get the lock.
    pub(super) fn refuse(&mut self, request: Request, why: Refusal) {
        let stage = match why {
            Refusal::Unavailable => {
                let _ = request.reply.send(Err(self.executor.trouble()));
                return;
            }
            Refusal::BusyHere | Refusal::TimedOutHere => Stage::Process,
            Refusal::BusyElsewhere | Refusal::TimedOutElsewhere => Stage::Database,
        };
        let waited = request.asked.elapsed();
        tracing::debug!(target: "dlock", key = %request.key, ?waited, %stage, "timed out");
        if why == Refusal::TimedOutElsewhere {
            return self.look_for_holder(request, waited);
        }
        let holder = (stage == Stage::Process).then(|| {
            let here = self.callers.holds.values().find(|(_, place)| place.0 == request.claim);
            let since = here.map(|(hold, _)| hold.since.elapsed());
            Holder { who: format!("process {}", std::process::id()), since }
        });
        request.refuse(waited, stage, holder);
    }
}
