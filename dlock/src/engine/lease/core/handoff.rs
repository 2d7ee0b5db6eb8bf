//! A grant that goes to the next holder of this process: it is taken once more, so that this one
//! has a fence of its own, and its own options.

use super::batch_size::Backoff;
use super::health::Why;
use super::options::ResolvedOptions;
use crate::backend::lease::{Lease, Owner};
use crate::engine::lock_table::Ticket;

/// See the [module](self).
pub(super) struct Handoff {
    lease: Lease,
    resolved: ResolvedOptions,
    /// The row is given back before it is taken.
    frees: bool,
    /// How often the database has perhaps done it.
    sent: u64,
    /// Its answer is on its way.
    in_flight: bool,
    /// It is to be given back when it is there.
    unlock: Option<Ticket>,
    backoff: Backoff,
}

impl Handoff {
    pub(super) fn new(lease: Lease, resolved: ResolvedOptions, frees: bool) -> Self {
        let backoff = Backoff::default();
        Handoff { lease, resolved, frees, sent: 0, in_flight: false, unlock: None, backoff }
    }

    /// It takes the place of that one: what is on its way to the same owner does for this one too.
    pub(super) fn instead_of(self, before: Option<Handoff>) -> Self {
        match before.filter(|before| before.is_of(&self.lease)) {
            Some(Handoff { sent, in_flight, backoff, .. }) => {
                Handoff { sent, in_flight, backoff, ..self }
            }
            None => self,
        }
    }

    /// Whether the row is given back before it is taken.
    pub(super) fn frees(&self) -> bool {
        self.frees
    }

    pub(super) fn lease(&self) -> &Lease {
        &self.lease
    }

    pub(super) fn is_of(&self, lease: &Lease) -> bool {
        self.lease.is_of(lease)
    }

    /// How it has fared, if it is not with the database.
    pub(super) fn due(&self) -> Option<Backoff> {
        (!self.in_flight).then_some(self.backoff)
    }

    /// What goes to the database.
    pub(super) fn send(&mut self) -> Lease {
        self.sent += 1;
        self.in_flight = true;
        self.lease.clone()
    }

    /// The database may have done it or not, or has surely not: it is asked again either way, for
    /// the same owner takes its own lease once more. Returns who wants it unlocked.
    pub(super) fn unanswered(&mut self, why: Why) -> Option<Ticket> {
        match why {
            Why::Failed { sent: true, .. } => {}
            Why::Failed { sent: false, .. } => self.not_done(),
            Why::Split(backoff) => self.backoff = backoff,
            Why::Busy(backoff) => {
                self.not_done();
                self.backoff = backoff;
            }
        }
        self.in_flight = false;
        self.unlock.take()
    }

    /// What was sent, by this or by one before the last of the same owner, is surely not done.
    fn not_done(&mut self) {
        self.sent = self.sent.saturating_sub(1);
    }

    /// Whether an answer is on its way: then it is unlocked when that is there.
    pub(super) fn unlock_later(&mut self, ticket: Ticket) -> bool {
        if self.in_flight {
            self.unlock = Some(ticket);
        }
        self.in_flight
    }

    /// The lease and the options of the next holder, and who wants it unlocked.
    pub(super) fn done(self) -> (Lease, ResolvedOptions, Option<Ticket>) {
        (self.lease, self.resolved, self.unlock)
    }

    /// What may be ours besides what is `held`, which is given back too. The row of a name runs out:
    /// what fence it has is not known, and another grant of that name may have the one that was
    /// guessed, in this process too.
    pub(super) fn release(&self, held: &Lease) -> Option<Lease> {
        let is_token = matches!(self.lease.owner, Owner::Token(_));
        let perhaps = self.sent > 0 && is_token && self.lease.owner != held.owner;
        perhaps.then(|| Lease { lasts: held.lasts, ..self.lease.clone() })
    }
}
