//! How a lease passes from one holder of this process to the next.

use std::sync::Arc;
use std::time::Duration;

use super::grant::Grant;
use super::job::Sent;
use super::{Leases, Release, What};
use crate::backend::lease::{Lease, LeaseBackend, Taken};
use crate::claim::Claim;
use crate::clock::Time;
use crate::engine::table::{Event, Ticket};
use crate::lost::LostReason;
use crate::native::NativeKey;

impl<B: LeaseBackend> Leases<B> {
    /// Whether a lease waits to be handed over.
    pub(super) fn is_handing(&self) -> bool {
        self.handing && self.held.values().any(is_to_be_sent)
    }

    /// What goes to the database for that: takes, and releases of what had another owner.
    pub(super) fn send_handings(&mut self, takes: &mut Vec<Lease>) {
        if !std::mem::take(&mut self.handing) {
            return;
        }
        for grant in self.held.values_mut().filter(|grant| is_to_be_sent(grant)) {
            let release = grant.release(false);
            let Some(handing) = &mut grant.handing else { continue };
            handing.sent = true;
            handing.in_flight = true;
            takes.push(handing.lease.clone());
            if handing.lease.owner != release.owner {
                let word = Arc::clone(&grant.word);
                let what = What::HandOver;
                self.releases.push(Release { lease: release, what, in_time: true, word });
            }
        }
    }

    /// Whether this take was for a lease that is handed over; then that is done.
    pub(super) fn handed(&mut self, lease: &Lease, taken: Taken, sent: Sent) -> bool {
        let Some(grant) = self.held.get_mut(&lease.key) else {
            return false;
        };
        let Some(handing) = grant.handing.take_if(|handing| handing.lease.is_of(lease)) else {
            return false;
        };
        let Taken::Granted(fence) = taken else {
            grant.handing = Some(handing);
            self.lose(lease, LostReason::NotHeld);
            return true;
        };
        grant.word = Arc::new(sent.word(lease.lasts));
        grant.lease = Lease { fence, ..handing.lease };
        grant.agreed = handing.agreed;
        grant.granted = Time::now();
        grant.due = grant.agreed.ttl == Duration::MAX;
        let left = grant.word.left(grant.granted);
        self.lapses_in(left);
        self.schedule(&lease.key);
        self.news = true;
        if let Some(ticket) = handing.unlock {
            self.give_back(&lease.key, ticket);
        }
        true
    }

    /// The database may have done it or not, or has surely not: it is asked again either way, for
    /// the same owner takes its own lease once more.
    pub(super) fn unhanded(&mut self, lease: &Lease, failed: bool) -> bool {
        let Some(grant) = self.held.get_mut(&lease.key) else {
            return false;
        };
        let Some(handing) = grant.handing.as_mut().filter(|handing| handing.lease.is_of(lease))
        else {
            return false;
        };
        handing.sent |= failed;
        handing.in_flight = false;
        self.handing = true;
        if let Some(ticket) = handing.unlock.take() {
            self.give_back(&lease.key, ticket);
        }
        true
    }

    /// Gives a lease back.
    pub(super) fn give_back(&mut self, key: &NativeKey, ticket: Ticket) {
        let Some(grant) = self.held.get_mut(key) else {
            // Lost, and the table does not know it yet.
            let key = Claim::exclusive(key.clone());
            let event = Event::Unlocked { key, ticket, clean: false };
            return self.report(event, LostReason::NotHeld);
        };
        if let Some(handing) = grant.handing.as_mut().filter(|handing| handing.in_flight) {
            handing.unlock = Some(ticket);
            return;
        }
        if let Some(grant) = self.held.remove(key) {
            let in_time = grant.word.good_at(Time::now());
            let (lease, what, word) = (grant.release(false), What::Asked(ticket), grant.word);
            self.releases.push(Release { lease, what, in_time, word });
        }
    }
}

fn is_to_be_sent(grant: &Grant) -> bool {
    grant.handing.as_ref().is_some_and(|handing| !handing.in_flight)
}
