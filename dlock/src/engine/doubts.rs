//! Refusals that wait for a sign of life: "somebody else has it" is the database's word, and an old
//! one counts for nothing while the database cannot be asked.

use tokio::time::Instant;

use super::actor::{Actor, CONTENTION_MEMORY};
use super::callers::{Doubt, EngineDeadline};
use super::executor::{Contact, Executor};
use super::lock_table::{Refusal, RequestId};
use super::message::Request;
use crate::clock::Time;

impl<E: Executor> Actor<E> {
    /// Refuses the caller once the database is known to answer; it is not by then: no answer is not
    /// "busy".
    pub(super) fn refuse_in_touch(&mut self, request: Box<Request>, why: Refusal, until: Instant) {
        // What was refused as short a time ago as that would be refused again.
        let since = Time::now().before(CONTENTION_MEMORY);
        match self.executor.contact(&request.lock_id, since) {
            Contact::Heard => self.refuse_elsewhere(request, why),
            Contact::Failed => request.fail(self.executor.trouble()),
            Contact::Unknown => {
                self.deadlines.insert((until, request.id, EngineDeadline::Overdue));
                self.callers.doubts.push(Doubt { request, why, since });
            }
        }
    }

    /// Answers those of whom it is known by now.
    pub(super) fn settle_doubts(&mut self) {
        if self.callers.doubts.is_empty() {
            return;
        }
        for doubt in std::mem::take(&mut self.callers.doubts) {
            let Doubt { request, why, since } = doubt;
            if request.reply.is_closed() {
                continue;
            }
            match self.executor.contact(&request.lock_id, since) {
                Contact::Heard => self.refuse_elsewhere(request, why),
                Contact::Failed => request.fail(self.executor.trouble()),
                Contact::Unknown => self.callers.doubts.push(Doubt { request, why, since }),
            }
        }
    }

    /// The database has not answered in time.
    pub(super) fn give_up_doubts_of(&mut self, id: RequestId) {
        let place = self.callers.doubts.iter().position(|doubt| doubt.request.id == id);
        if let Some(place) = place {
            self.callers.doubts.swap_remove(place).request.fail(self.executor.trouble());
        }
    }
}
