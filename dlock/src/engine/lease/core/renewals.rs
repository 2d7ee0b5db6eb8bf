//! When what is held is renewed, and how much of it at once.

use std::time::Instant;

use super::batch_size::{Backoff, BatchSize};
use super::grant::LeaseGrant;
use super::held::HeldLeases;
use super::now::Now;
use crate::backend::lease::Lease;
use crate::sort::sort_by;

/// See the [module](self).
pub(super) struct Renewals {
    /// When the first of all is to be renewed.
    next: Option<Instant>,
    /// A renewal is with the database.
    in_flight: bool,
    size: BatchSize,
}

impl Renewals {
    pub(super) fn new(now: Now) -> Self {
        Renewals { next: None, in_flight: false, size: BatchSize::new(now.timer) }
    }

    /// When the first of all is to be renewed.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    pub(super) fn are_due(&self, now: Now) -> bool {
        self.next.is_some_and(|at| at <= now.timer)
    }

    pub(super) fn are_in_flight(&self) -> bool {
        self.in_flight
    }

    /// One is to be renewed then.
    pub(super) fn at(&mut self, time: Option<Instant>) {
        self.next = self.next.into_iter().chain(time).min();
    }

    /// What goes out now, by name.
    pub(super) fn send(&mut self, held: &mut HeldLeases, now: Now) -> Vec<Lease> {
        let mut wanted: Vec<_> = held.valid(now).filter(|grant| grant.wants_renewal(now)).collect();
        let chosen = self.size.choose(now.timer, &mut wanted, |grant| grant.backoff());
        let mut leases: Vec<_> = chosen.into_iter().map(|grant| grant.renewal(now)).collect();
        for lease in &leases {
            held.get_mut(&lease.key).into_iter().for_each(|grant| grant.renews(now));
        }
        self.next = held.valid(now).filter_map(LeaseGrant::renew_at).min();
        self.in_flight = !leases.is_empty();
        sort_by(&mut leases, |a, b| a.key.cmp(&b.key));
        leases
    }

    /// A job is over, of whatever kind.
    pub(super) fn over(&mut self) {
        self.in_flight = false;
    }

    pub(super) fn answered(&mut self) {
        self.size.answered();
    }

    pub(super) fn busy(&mut self, now: Now) -> Backoff {
        self.size.busy(now.timer)
    }

    /// What is busy or refused is to fail as a whole from now on.
    pub(super) fn together(&mut self, now: Now) {
        self.size.together(now.timer);
    }
}
