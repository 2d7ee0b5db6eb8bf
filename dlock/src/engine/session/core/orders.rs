//! What the table orders.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::action::{Now, QuestionId};
use super::roles::Demand;
use super::{NOBODY, SessionCore};
use crate::backend::{BatchItem, Op};
use crate::clock::Time;
use crate::engine::executor::Contact;
use crate::engine::grant::GrantInfo;
use crate::engine::lock_table::{Event, Ticket};
use crate::spec::lock_id::LockId;
use crate::spec::options::LockOptions;
use crate::status::lost::LostReason;

/// A wait that the server itself ends so soon is not cancelled.
const SOON: Duration = Duration::from_millis(10);

impl SessionCore {
    /// Asks for the key, without waiting. `fenced`: with a token.
    pub(in crate::engine::session) fn try_lock(
        &mut self,
        lock_id: LockId,
        ticket: Ticket,
        fenced: bool,
    ) {
        self.gathered.try_key(lock_id, fenced, ticket);
    }

    /// Waits for the key, until then or for ever.
    pub(in crate::engine::session) fn wait(
        &mut self,
        lock_id: LockId,
        ticket: Ticket,
        until: Option<Instant>,
        options: &LockOptions,
        now: Now,
    ) {
        let coming = self.handles.len() < self.most() || self.can_wait(options, now);
        self.polls.add((lock_id, ticket), options, until, coming, now.clock);
    }

    /// Returns `true` if a wait would begin at once.
    pub(in crate::engine::session) fn can_wait(&self, options: &LockOptions, now: Now) -> bool {
        let roles = self.roles(Demand::default(), now);
        options.retry_every.is_none()
            && self.polls.len() == 0
            && self.handles.free_waiter(&roles, now).is_some()
    }

    /// Stops that wait.
    pub(in crate::engine::session) fn cancel(
        &mut self,
        lock_id: &LockId,
        ticket: Ticket,
        now: Now,
    ) {
        if let Some(gone) = self.polls.cancel(ticket) {
            if gone {
                self.report(Event::Ended { key: lock_id.clone(), ticket });
            }
            return;
        }
        let soon = now.clock + SOON;
        let Some(handle) = self.handles.waiting_for(ticket) else { return };
        let Some(wait) = handle.wait_is_unwanted() else { return };
        if wait.until.is_some_and(|until| until <= soon) {
            handle.stop_wait_at(soon);
        } else {
            let id = handle.id();
            self.stop_wait(id, false, now);
        }
    }

    /// Gives back what was granted by that ticket.
    pub(in crate::engine::session) fn unlock(
        &mut self,
        lock_id: LockId,
        grant: Ticket,
        ticket: Ticket,
    ) {
        let grant = self.grants.remove(grant);
        let fenced = grant.as_ref().is_some_and(|grant| grant.fenced);
        let Some(handle) = grant.and_then(|grant| self.handles.get_mut(grant.session)) else {
            return self.report(Event::Failed { key: lock_id, ticket, fatal: false });
        };
        handle.remove_key(&lock_id, fenced);
        handle.push(BatchItem { what: Op::Unlock(lock_id), ticket });
    }

    /// The grant goes to a caller who wants a token or not.
    pub(in crate::engine::session) fn hand_over(
        &mut self,
        lock_id: &LockId,
        grant: Ticket,
        fenced: bool,
    ) {
        let Some(held) = self.grants.get_mut(grant) else { return };
        let draw = held.token.hand_over(fenced);
        let Some(handle) = self.handles.get_mut(held.session) else { return };
        if held.fenced != fenced {
            held.fenced = fenced;
            handle.change_lock(fenced);
        }
        if draw && handle.keeps_plain() {
            // A write must not stop what others' locks depend on: it is taken again elsewhere.
            self.release_unwanted(lock_id, grant);
        } else if draw {
            handle.push(BatchItem { what: Op::Fence(lock_id.clone()), ticket: grant });
        }
    }

    /// Gives back what was granted by that ticket, and has the table ask for it anew.
    fn release_unwanted(&mut self, lock_id: &LockId, grant: Ticket) {
        let Some(held) = self.grants.remove(grant) else { return };
        if let Some(handle) = self.handles.get_mut(held.session) {
            handle.remove_key(lock_id, held.fenced);
            handle.push(BatchItem { what: Op::Unlock(lock_id.clone()), ticket: NOBODY });
        }
        self.report(Event::Lost { key: lock_id.clone(), grant });
    }

    /// Makes sure that nothing is held by what answered this ticket.
    pub(in crate::engine::session) fn discard_session(&mut self, ticket: Ticket, now: Now) {
        if let Some(id) = self.grants.session_of(ticket) {
            self.drop_session(id, LostReason::SessionEnded, now);
        }
    }

    /// How the key is held by what was granted by that ticket.
    pub(in crate::engine::session) fn held(&self, grant: Ticket, now: Now) -> Option<GrantInfo> {
        let grant = self.grants.get(grant)?;
        let handle = self.handles.get(grant.session)?;
        Some(GrantInfo {
            validity: Arc::clone(handle.validity()),
            fresh: handle.is_fresh(now.time) && grant.token.is_known(),
            fence: grant.token.given(),
            since: grant.since,
            lapse: LostReason::Unconfirmed,
        })
    }

    /// Has the server confirm the grant.
    pub(in crate::engine::session) fn refresh(&mut self, grant: Ticket, now: Now) {
        let session = self.grants.session_of(grant);
        if let Some(handle) = session.and_then(|id| self.handles.get_mut(id)) {
            handle.ping(now, &mut self.out);
        }
    }

    /// Whether the server has answered something that was asked later than `since`. If that is not known, it is
    /// asked now.
    pub(in crate::engine::session) fn contact(&mut self, since: Time) -> Contact {
        if self.health.has_answered_since(since) || self.pace.is_lasting() {
            return Contact::Heard;
        }
        if !self.handles.is_connected() && self.retry.next().is_some() {
            return Contact::Failed;
        }
        self.health.doubt();
        Contact::Unknown
    }

    /// Has a question answered by the session that carries the locks.
    pub(in crate::engine::session) fn ask(&mut self, question: QuestionId) {
        self.gathered.ask(question);
    }

    /// Has a question answered by the session that has this grant. Returns `false` if there is none.
    pub(in crate::engine::session) fn ask_holder(
        &mut self,
        grant: Ticket,
        question: QuestionId,
    ) -> bool {
        let session = self.grants.session_of(grant);
        let handle = session.and_then(|id| self.handles.get_mut(id));
        handle.map(|handle| handle.ask(question)).is_some()
    }

    /// How many keys there may be at once.
    pub(in crate::engine::session) fn most_keys(&self) -> usize {
        usize::try_from(self.limits.keys).unwrap_or(usize::MAX)
    }

    /// The database and its address.
    pub(in crate::engine::session) fn label(&self) -> &str {
        self.health.label()
    }
}
