//! Leases that go from one process to another: the row gets another owner, and keeps its fence.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::Leases;
use super::batch_size::Backoff;
use super::grant::{LeaseGrant, ResolvedOptions};
use super::job::{Question, Sent};
use crate::backend::lease::{Lease, LeaseBackend, Owner, Taken};
use crate::clock::Time;
use crate::engine::executor::{Adopted, Reply};
use crate::engine::lock_table::{Event, GrantId, RequestId, Ticket};
use crate::engine::message::HandedOver;
use crate::error::Error;
use crate::spec::key::Key;
use crate::spec::lock_id::LockId;
use crate::spec::native::NativeKey;
use crate::status::lost::{LostInfo, LostReason};

/// A row that is to have another owner.
pub(super) struct OwnLease {
    /// As it is, and how long it is to last.
    pub(super) lease: Lease,
    pub(super) to: Owner,
    /// The database's answer.
    pub(super) taken: Option<Taken>,
    goal: Goal,
}

enum Goal {
    /// It waits for whoever has the token.
    Token { hold: GrantId, resolved: ResolvedOptions, reply: Reply<HandedOver> },
    /// This caller has it.
    Adopt {
        ticket: Ticket,
        request: RequestId,
        resolved: ResolvedOptions,
        refused: oneshot::Sender<Error>,
    },
}

impl OwnLease {
    /// Answers with an error.
    pub(super) fn fail(self, error: Error) {
        match self.goal {
            Goal::Token { reply, .. } => drop(reply.send(Err(error))),
            Goal::Adopt { refused, .. } => drop(refused.send(error)),
        }
    }

    /// What the row is when it was done.
    fn done(&self, fence: Option<u64>) -> Lease {
        Lease { owner: self.to.clone(), fence, ..self.lease.clone() }
    }
}

impl<B: LeaseBackend> Leases<B> {
    pub(super) fn ask_for_token(
        &mut self,
        key: &NativeKey,
        hold: GrantId,
        owner: Arc<str>,
        reply: Reply<HandedOver>,
    ) {
        let Some(grant) = self.held.get(key) else {
            // It is lost, which the table knows.
            let _ = reply.send(Err(not_held(key)));
            return;
        };
        let (lease, resolved) = (grant.renewal(), grant.resolved.clone());
        let goal = Goal::Token { hold, resolved, reply };
        let own = OwnLease { lease, to: Owner::Token(owner), taken: None, goal };
        self.questions.push_back(Question::OwnLease(Box::new(own)));
    }

    pub(super) fn ask_to_adopt(&mut self, ticket: Ticket, adopted: Adopted) {
        let Adopted { lock_id, owner, fence, options, request, refused } = adopted;
        let resolved = self.agree(&options);
        let lasts = resolved.lasts_at_first();
        let lease = Lease { key: lock_id.key, owner: Owner::Token(owner), fence, lasts };
        let to = Owner::new(&resolved.owner);
        let goal = Goal::Adopt { ticket, request, resolved, refused };
        self.questions.push_back(Question::OwnLease(Box::new(OwnLease {
            lease,
            to,
            taken: None,
            goal,
        })));
    }

    /// Takes in the database's answer.
    pub(super) fn owned(&mut self, own: OwnLease, sent: Sent) {
        let fence = match own.taken {
            Some(Taken::Granted(fence)) => fence.or(own.lease.fence),
            _ => {
                // The row is somebody else's, or has run out.
                let error = not_held(&own.lease.key);
                if let Goal::Token { .. } = own.goal {
                    self.lose(&own.lease, LostReason::NotHeld);
                }
                return own.fail(error);
            }
        };
        let lease = own.done(fence);
        match own.goal {
            Goal::Token { resolved, reply, .. } => {
                let key = LockId::exclusive(lease.key.clone());
                let held = self.held.get(&key.key).filter(|grant| grant.lease.is_of(&own.lease));
                if let Some(grant) = held.map(|grant| grant.ticket) {
                    self.held.remove(&key.key);
                    self.report(Event::Lost { key, grant }, LostReason::NotHeld);
                }
                if reply.send(Ok(HandedOver { fence, ttl: resolved.ttl })).is_err() {
                    // Nobody knows the token.
                    self.add_cleanup(lease);
                }
            }
            Goal::Adopt { ticket, request, resolved, refused } => {
                let validity = Arc::new(sent.validity(lease.lasts));
                let now = Time::now();
                if !validity.is_valid_at(now) || refused.is_closed() {
                    let _ = refused.send(not_held(&lease.key));
                    return self.add_cleanup(lease);
                }
                if let Some(before) = self.held.get(&lease.key).map(|grant| grant.lease.clone()) {
                    self.lose(&before, LostReason::NotHeld);
                }
                self.lapses_in(validity.remaining(now));
                let key = LockId::exclusive(lease.key.clone());
                let grant = LeaseGrant {
                    ticket,
                    lease,
                    resolved,
                    validity,
                    since: now,
                    granted: now,
                    used: false,
                    due: false,
                    renew_at: None,
                    backoff: Backoff::default(),
                    handoff: None,
                };
                self.held.insert(key.key.clone(), grant);
                self.schedule(&key.key);
                self.report(Event::Adopted { key, ticket, request }, LostReason::NotHeld);
            }
        }
    }

    /// There is no answer. `sent`: it may have been done all the same.
    pub(super) fn unowned(&mut self, own: OwnLease, sent: bool) {
        if sent {
            self.add_cleanup(own.done(own.lease.fence));
        }
        if let Goal::Token { hold, .. } = own.goal {
            self.report(Event::Release { hold, budget_spent: true }, LostReason::NotHeld);
        }
        let error = self.trouble.clone().unwrap_or_else(|| not_held(&own.lease.key));
        own.fail(error);
    }
}

/// Whoever asked says for how long it had been held.
fn not_held(key: &NativeKey) -> Error {
    let (key, reason) = (Key::of_native(key), LostReason::NotHeld);
    LostInfo { key, reason, held_for: std::time::Duration::ZERO }.into()
}
