//! Leases that go from one process to another: the row gets another owner, and keeps its fence.

use std::sync::Arc;

use super::LeaseCore;
use super::action::{Answer, LeaseAction, Question, QuestionId};
use super::grant::LeaseGrant;
use super::now::{Now, Sent};
use super::own::{Goal, OwnLease};
use super::report;
use crate::backend::lease::{Lease, Owner, Taken};
use crate::engine::lock_table::{Event, GrantId, RequestId, Ticket};
use crate::error::Error;
use crate::spec::lock_id::LockId;
use crate::spec::native::NativeKey;
use crate::spec::options::LockOptions;
use crate::status::lost::LostReason;

/// What a caller wants to take over: what that owner has of the key.
#[derive(Debug)]
pub struct Offer {
    /// Which key it is.
    pub key: NativeKey,
    /// Who has it.
    pub owner: Arc<str>,
    /// Its fencing token.
    pub fence: Option<u64>,
}

impl LeaseCore {
    /// Gives the grant of this key to that owner, whom nobody has yet.
    pub fn make_token(
        &mut self,
        id: QuestionId,
        key: &NativeKey,
        (hold, owner): (GrantId, Arc<str>),
        now: Now,
        out: &mut Vec<LeaseAction>,
    ) {
        let Some(grant) = self.held.get(key) else {
            // It is lost, which the table knows.
            out.push(LeaseAction::Answer { id, answer: Answer::NotHeld(key.clone()) });
            return;
        };
        let lease = Lease { lasts: grant.lasts(now), ..grant.lease().clone() };
        let resolved = grant.resolved().clone();
        let (to, goal) = (Owner::Token(owner), Goal::Token { hold, resolved });
        self.questions.add(id, Question::Own(Box::new(OwnLease { lease, to, goal })));
    }

    /// Takes over what an owner has. The ticket is that of the grant.
    pub fn adopt(
        &mut self,
        id: QuestionId,
        Offer { key, owner, fence }: Offer,
        (ticket, request): (Ticket, RequestId),
        options: &LockOptions,
    ) {
        let resolved = self.resolve(options);
        let lease =
            Lease { key, owner: Owner::Token(owner), fence, lasts: resolved.lasts_at_first() };
        let to = resolved.new_owner(&mut self.owners);
        let goal = Goal::Adopt { ticket, request, resolved };
        self.questions.add(id, Question::Own(Box::new(OwnLease { lease, to, goal })));
    }

    /// Gives back what that owner has: nobody knows the token.
    pub fn drop_token(&mut self, key: NativeKey, owner: Arc<str>, now: Now) {
        let lease = Lease { key, owner: Owner::Token(owner), fence: None, lasts: self.ttl };
        self.add_cleanup(lease, now);
    }

    /// Gives back a lease that was handed over to somebody who has not heard of it.
    pub fn drop_handed_over(&mut self, lease: Lease, now: Now) {
        self.add_cleanup(lease, now);
    }

    /// Takes in the database's answer. `wanted`: whoever asked is there to hear it.
    pub(super) fn owned(
        &mut self,
        (id, own, taken): (QuestionId, OwnLease, Option<Taken>),
        wanted: bool,
        (sent, now): (Sent, Now),
        out: &mut Vec<LeaseAction>,
    ) {
        let mut say = |answer| out.push(LeaseAction::Answer { id, answer });
        let Some(Taken::Granted(fence)) = taken else {
            // The row is somebody else's, or has run out.
            say(Answer::NotHeld(own.lease.key.clone()));
            if let Goal::Token { .. } = own.goal {
                self.lose(&own.lease, LostReason::NotHeld, now, out);
            }
            return;
        };
        let lease = own.done(fence.or(own.lease.fence));
        match own.goal {
            Goal::Token { resolved, .. } => {
                let answer = Answer::HandedOver { fence: lease.fence, ttl: resolved.ttl(), lease };
                say(answer);
                let key = own.lease.key.clone();
                let held = self.held.get(&key).filter(|grant| grant.lease().is_of(&own.lease));
                if let Some(grant) = held.map(LeaseGrant::ticket) {
                    self.held.remove(&key);
                    let key = LockId::exclusive(key);
                    report(Event::Lost { key, grant }, LostReason::NotHeld, out);
                }
            }
            Goal::Adopt { ticket, request, resolved } => {
                let validity = sent.validity(lease.lasts);
                if !now.is_in(&validity) || !wanted {
                    say(Answer::NotHeld(lease.key.clone()));
                    return self.add_cleanup(lease, now);
                }
                say(Answer::Adopted);
                let key = LockId::exclusive(lease.key.clone());
                self.begin(LeaseGrant::new(ticket, lease, resolved, validity, now.time), now, out);
                report(Event::Adopted { key, ticket, request }, LostReason::NotHeld, out);
            }
        }
    }

    /// There is no answer. `sent`: it may have been done all the same.
    pub(super) fn unowned(
        &mut self,
        id: QuestionId,
        own: OwnLease,
        (sent, error): (bool, Option<Error>),
        now: Now,
        out: &mut Vec<LeaseAction>,
    ) {
        // A name keeps the fence: by now the row may be that of another one of this name, who came
        // with the same token. If it is ours, it runs out.
        if sent && !matches!(own.to, Owner::Named(_)) {
            self.add_cleanup(own.done(own.lease.fence), now);
        }
        if let Goal::Token { hold, .. } = own.goal {
            report(Event::Release { hold, budget_spent: true }, LostReason::NotHeld, out);
        }
        let answer = error.map_or_else(|| Answer::NotHeld(own.lease.key.clone()), Answer::Failed);
        out.push(LeaseAction::Answer { id, answer });
    }
}
