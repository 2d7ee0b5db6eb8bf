//! How a lease passes from one holder of this process to the next.

use std::sync::Arc;
use std::time::Duration;

use super::batch_size::Backoff;
use super::grant::Handoff;
use super::job::Sent;
use super::replies::Why;
use super::{Leases, Release, What};
use crate::backend::lease::{Lease, LeaseBackend, Taken};
use crate::clock::Time;
use crate::engine::lock_table::{Event, Ticket};
use crate::spec::lock_id::LockId;
use crate::spec::native::NativeKey;
use crate::status::lost::LostReason;

impl<B: LeaseBackend> Leases<B> {
    /// Those that wait to be handed over.
    pub(super) fn handoffs_due(&self) -> impl Iterator<Item = &Handoff> {
        let held = self.handoff.then(|| self.held.values()).into_iter().flatten();
        held.filter_map(|grant| grant.handoff.as_ref()).filter(|handoff| !handoff.in_flight)
    }

    /// What goes to the database for that: a take, and a release of what had another owner.
    pub(super) fn send_handoff(&mut self, key: &NativeKey) -> Option<Lease> {
        let grant = self.held.get_mut(key)?;
        let (release, _) = grant.releases(false);
        let handoff = grant.handoff.as_mut()?;
        handoff.sent += 1;
        handoff.in_flight = true;
        let lease = handoff.lease.clone();
        if lease.owner != release.owner {
            let (what, validity) = (What::HandOver, Arc::clone(&grant.validity));
            let backoff = handoff.backoff;
            let settles = None;
            self.releasing.push(Release { lease: release, what, validity, backoff, settles });
        }
        Some(lease)
    }

    /// Whether this take was for a lease that is handed over; then that is done.
    pub(super) fn handed(&mut self, lease: &Lease, taken: Taken, sent: Sent) -> bool {
        let Some(grant) = self.held.get_mut(&lease.key) else {
            return false;
        };
        let Some(handoff) = grant.handoff.take_if(|handoff| handoff.lease.is_of(lease)) else {
            return false;
        };
        let Taken::Granted(fence) = taken else {
            grant.handoff = Some(handoff);
            self.lose(lease, LostReason::NotHeld);
            return true;
        };
        grant.validity = Arc::new(sent.validity(lease.lasts));
        grant.lease = Lease { fence, ..handoff.lease };
        grant.resolved = handoff.resolved;
        grant.granted = Time::now();
        grant.due = grant.resolved.ttl == Duration::MAX;
        grant.backoff = Backoff::default();
        let left = grant.validity.remaining(grant.granted);
        self.lapses_in(left);
        self.schedule(&lease.key);
        self.news = true;
        if let Some(ticket) = handoff.unlock {
            self.release_unwanted(&lease.key, ticket);
        }
        true
    }

    /// The database may have done it or not, or has surely not: it is asked again either way, for
    /// the same owner takes its own lease once more.
    pub(super) fn unhanded(&mut self, lease: &Lease, why: Why) -> bool {
        let Some(grant) = self.held.get_mut(&lease.key) else {
            return false;
        };
        let Some(handoff) = grant.handoff.as_mut().filter(|handoff| handoff.lease.is_of(lease))
        else {
            return false;
        };
        match why {
            Why::Failed { sent: true, .. } => {}
            Why::Failed { sent: false, .. } => handoff.sent -= 1,
            Why::Split(backoff) => handoff.backoff = backoff,
            Why::Busy(backoff) => (handoff.sent, handoff.backoff) = (handoff.sent - 1, backoff),
        }
        handoff.in_flight = false;
        self.handoff = true;
        if let Some(ticket) = handoff.unlock.take() {
            self.release_unwanted(&lease.key, ticket);
        }
        true
    }

    /// Gives a lease back.
    pub(super) fn release_unwanted(&mut self, key: &NativeKey, ticket: Ticket) {
        let Some(grant) = self.held.get_mut(key) else {
            // Lost, and the table does not know it yet.
            let key = LockId::exclusive(key.clone());
            let event = Event::Unlocked { key, ticket, clean: false };
            return self.report(event, LostReason::NotHeld);
        };
        if let Some(handoff) = grant.handoff.as_mut().filter(|handoff| handoff.in_flight) {
            handoff.unlock = Some(ticket);
            return;
        }
        if let Some(grant) = self.held.remove(key) {
            let (lease, perhaps) = grant.releases(false);
            perhaps.into_iter().for_each(|lease| self.add_cleanup(lease));
            let (what, validity, backoff) =
                (What::Asked(ticket), grant.validity, Backoff::default());
            let settles = None;
            self.releases.push(Release { lease, what, validity, backoff, settles });
        }
    }
}
