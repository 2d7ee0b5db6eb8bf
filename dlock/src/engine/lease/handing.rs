//! How a lease passes from one holder of this process to the next.

use std::sync::Arc;
use std::time::Duration;

use super::answers::Why;
use super::grant::Handing;
use super::job::Sent;
use super::portion::Luck;
use super::{Leases, Release, What};
use crate::backend::lease::{Lease, LeaseBackend, Taken};
use crate::clock::Time;
use crate::engine::lock_table::{Event, Ticket};
use crate::spec::lock_id::Claim;
use crate::spec::native::NativeKey;
use crate::status::lost::LostReason;

impl<B: LeaseBackend> Leases<B> {
    /// Those that wait to be handed over.
    pub(super) fn handings(&self) -> impl Iterator<Item = &Handing> {
        let held = self.handing.then(|| self.held.values()).into_iter().flatten();
        held.filter_map(|grant| grant.handing.as_ref()).filter(|handing| !handing.in_flight)
    }

    /// What goes to the database for that: a take, and a release of what had another owner.
    pub(super) fn send_handing(&mut self, key: &NativeKey) -> Option<Lease> {
        let grant = self.held.get_mut(key)?;
        let (release, _) = grant.releases(false);
        let handing = grant.handing.as_mut()?;
        handing.sent += 1;
        handing.in_flight = true;
        let lease = handing.lease.clone();
        if lease.owner != release.owner {
            let (what, word) = (What::HandOver, Arc::clone(&grant.word));
            let luck = handing.luck;
            let settles = None;
            self.releasing.push(Release {
                lease: release,
                what,
                in_time: true,
                word,
                luck,
                settles,
            });
        }
        Some(lease)
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
        grant.luck = Luck::default();
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
    pub(super) fn unhanded(&mut self, lease: &Lease, why: Why) -> bool {
        let Some(grant) = self.held.get_mut(&lease.key) else {
            return false;
        };
        let Some(handing) = grant.handing.as_mut().filter(|handing| handing.lease.is_of(lease))
        else {
            return false;
        };
        match why {
            Why::Failed { sent: true, .. } => {}
            Why::Failed { sent: false, .. } => handing.sent -= 1,
            Why::Split(luck) => handing.luck = luck,
            Why::Busy(luck) => (handing.sent, handing.luck) = (handing.sent - 1, luck),
        }
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
            let (lease, perhaps) = grant.releases(false);
            perhaps.into_iter().for_each(|lease| self.owe(lease));
            let (what, word, luck) = (What::Asked(ticket), grant.word, Luck::default());
            let settles = None;
            self.releases.push(Release { lease, what, in_time, word, luck, settles });
        }
    }
}
