//! What is held.

use super::batch_size::Backoff;
use super::grant::LeaseGrant;
use super::handoff::Handoff;
use super::now::Now;
use crate::backend::lease::Lease;
use crate::engine::lock_table::Ticket;
use crate::engine::map::{SeededMap, seeded};
use crate::spec::native::NativeKey;

/// See the [module](self).
pub(super) struct HeldLeases {
    grants: SeededMap<NativeKey, LeaseGrant>,
    /// Something is perhaps to be handed over.
    handing_over: bool,
}

impl HeldLeases {
    pub(super) fn new(seed: u64) -> Self {
        HeldLeases { grants: seeded(seed), handing_over: false }
    }

    pub(super) fn get(&self, key: &NativeKey) -> Option<&LeaseGrant> {
        self.grants.get(key)
    }

    pub(super) fn get_mut(&mut self, key: &NativeKey) -> Option<&mut LeaseGrant> {
        self.grants.get_mut(key)
    }

    /// The grant of this key, if it is the one that the table calls so.
    pub(super) fn of(&mut self, key: &NativeKey, ticket: Ticket) -> Option<&mut LeaseGrant> {
        self.grants.get_mut(key).filter(|grant| grant.ticket() == ticket)
    }

    /// The very grant of that lease: not the one before it, of the same owner.
    pub(super) fn grant_of(&mut self, lease: &Lease) -> Option<&mut LeaseGrant> {
        self.grants.get_mut(&lease.key).filter(|grant| grant.lease().is_meant_by(lease))
    }

    pub(super) fn has(&self, lease: &Lease) -> bool {
        self.grants.get(&lease.key).is_some_and(|grant| grant.lease().is_meant_by(lease))
    }

    pub(super) fn insert(&mut self, grant: LeaseGrant) {
        self.grants.insert(grant.lease().key.clone(), grant);
    }

    pub(super) fn remove(&mut self, key: &NativeKey) -> Option<LeaseGrant> {
        self.grants.remove(key)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &LeaseGrant> {
        self.grants.values()
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut LeaseGrant> {
        self.grants.values_mut()
    }

    pub(super) fn valid(&self, now: Now) -> impl Iterator<Item = &LeaseGrant> {
        self.grants.values().filter(move |grant| now.is_in(grant.validity()))
    }

    pub(super) fn over(&self, now: Now) -> impl Iterator<Item = &LeaseGrant> {
        self.grants.values().filter(move |grant| !now.is_in(grant.validity()))
    }

    /// One of them is to be handed over, and is not with the database.
    pub(super) fn has_handoff(&mut self) {
        self.handing_over = true;
    }

    /// Those that wait to be handed over, and how they have fared.
    pub(super) fn handoffs_due(&self) -> impl Iterator<Item = (&Handoff, Backoff)> {
        let grants = self.handing_over.then(|| self.grants.values()).into_iter().flatten();
        let handoffs = grants.filter_map(LeaseGrant::handoff);
        handoffs.filter_map(|handoff| Some((handoff, handoff.due()?)))
    }
}
