//! A grant that goes to the next holder of this process: it is taken once more, so that this one
//! has a fence of its own, and its own options.

use super::batch_size::Backoff;
use super::health::Why;
use super::options::ResolvedOptions;
use crate::backend::lease::{Lease, Owner};
use crate::engine::lock_table::Ticket;

/// More unanswered questions than this are not looked after one by one.
const UNANSWERED_MAX: u64 = 8;

/// See the [module](self).
pub(super) struct Handoff {
    lease: Lease,
    resolved: ResolvedOptions,
    /// How often the database has perhaps done it.
    sent: u64,
    /// Its answer is on its way.
    in_flight: bool,
    /// It is to be given back when it is there.
    unlock: Option<Ticket>,
    backoff: Backoff,
}

impl Handoff {
    pub(super) fn new(lease: Lease, resolved: ResolvedOptions) -> Self {
        let backoff = Backoff::default();
        Handoff { lease, resolved, sent: 0, in_flight: false, unlock: None, backoff }
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
            Why::Failed { sent: false, .. } => self.sent -= 1,
            Why::Split(backoff) => self.backoff = backoff,
            Why::Busy(backoff) => (self.sent, self.backoff) = (self.sent - 1, backoff),
        }
        self.in_flight = false;
        self.unlock.take()
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

    /// What may be ours besides what is `held`, which is given back too.
    pub(super) fn releases(&self, held: &mut Lease) -> Vec<Lease> {
        let lasts = held.lasts;
        let mut perhaps = Vec::new();
        if self.sent > 0 && matches!(self.lease.owner, Owner::Token(_)) {
            // A token is ours, whatever its fence is by now.
            if self.lease.owner == held.owner {
                held.fence = None;
            } else {
                perhaps.push(Lease { lasts, ..self.lease.clone() });
            }
            return perhaps;
        }
        // A name may be that of another process, whose lease has another fence yet.
        for done in 1..=self.sent.min(UNANSWERED_MAX) {
            let fence = held.fence.map(|fence| fence.saturating_add(done));
            perhaps.push(Lease { lasts, fence, ..self.lease.clone() });
        }
        perhaps
    }
}
