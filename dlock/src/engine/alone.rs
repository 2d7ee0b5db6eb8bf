//! What the engine decides without the database: it has the key already, and so it knows the answer.

use super::actor::{Actor, HANDOFF_TIME_MAX};
use super::executor::Executor;
use super::lock_table::{GrantId, Shareable as _};
use super::message::{Message, Request};

impl<E: Executor> Actor<E> {
    /// Does what is asked, if that needs nothing of the database, and the database needs to know nothing of
    /// it: the caller is refused, or waits for a holder of this process; or the lock goes to the next one
    /// who waits. Otherwise returns the message.
    pub(super) fn decide_alone(&mut self, message: Message) -> Option<Message> {
        match message {
            Message::Acquire(request) if self.is_held_here(&request) => self.acquire(request),
            // That its time is not over is found once: a later look might come to another end.
            Message::Release { hold, .. } if self.passes_on(hold) => self.pass_on(hold),
            other => return Some(other),
        }
        None
    }

    fn is_held_here(&self, request: &Request) -> bool {
        let granted = &self.callers.granted;
        // One that is to be confirmed may be lost before that.
        let is_sure = |id: GrantId| granted.held(id).is_some() || granted.lingers(id);
        !request.lock_id.is_shareable()
            && self.table.is_idle(&request.lock_id)
            && self.table.holders(&request.lock_id).any(is_sure)
    }

    fn passes_on(&self, hold: GrantId) -> bool {
        let Some((grant, (lock_id, ticket))) = self.callers.granted.held(hold) else {
            return false;
        };
        let next = self.table.next_after(hold, lock_id);
        let Some(next) = next.and_then(|next| self.callers.requests.get(&next)) else {
            return false;
        };
        let held = self.executor.held(lock_id, *ticket);
        // A fencing token is the database's to give.
        !next.options.fenced
            && !grant.options().fenced
            && grant.min_hold_left().is_zero()
            && held.is_some_and(|held| held.fresh && held.since.elapsed() <= HANDOFF_TIME_MAX)
    }
}
