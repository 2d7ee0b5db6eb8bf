//! What ends a lease before its holder does, and what is left to be given back then.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::grant::Handing;
use super::job::Question;
use super::{Leases, Release, What};
use crate::backend::lease::{Lease, LeaseBackend, Owner};
use crate::claim::Claim;
use crate::clock::{Time, Word};
use crate::engine::table::Event;
use crate::lost::LostReason;

/// For how long at least, and at most, it is tried to give back what is perhaps ours.
const LEAST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_secs(3600);

impl<B: LeaseBackend> Leases<B> {
    /// This one is not held any more.
    pub(super) fn lose(&mut self, lease: &Lease, reason: LostReason) {
        let Some(grant) = self.held.get(&lease.key) else {
            return;
        };
        let handing = grant.handing.as_ref();
        if !grant.lease.is_of(lease) && !handing.is_some_and(|handing| handing.lease.is_of(lease)) {
            return;
        }
        let Some(grant) = self.held.remove(&lease.key) else {
            return;
        };
        self.owe(grant.release(false));
        let key = Claim::exclusive(lease.key.clone());
        let event = match grant.handing {
            Some(Handing { lease, unlock, .. }) => {
                self.owe(lease);
                unlock.map(|ticket| Event::Unlocked { key: key.clone(), ticket, clean: false })
            }
            None => None,
        };
        self.report(event.unwrap_or(Event::Lost { key, grant: grant.ticket }), reason);
    }

    /// This row may be ours, and nobody here wants it.
    pub(super) fn owe(&mut self, lease: Lease) {
        if lease.fence.is_none() && matches!(lease.owner, Owner::Named(_)) {
            // It may be that of another process of this name.
            return;
        }
        // By then a statement that is still on its way has run out as well.
        let time = lease.lasts.saturating_mul(2).clamp(LEAST, MOST);
        let word = Arc::new(Word::until(Time::now().after(time)));
        self.lapses_in(time);
        let lease = Lease { lasts: Duration::ZERO, ..lease };
        self.releases.push(Release { lease, what: What::Debt, in_time: false, word });
    }

    /// Answers at once if there is nothing to check.
    pub(super) fn ask_to_check(&mut self, lease: Lease, reply: oneshot::Sender<bool>) {
        let held = self.held.get(&lease.key).is_some_and(|grant| grant.lease.is_of(&lease));
        if held && !reply.is_closed() {
            self.questions.push_back(Question::Held(lease, reply));
        } else {
            let _ = reply.send(held);
        }
    }

    /// A word may run out after this time.
    pub(super) fn lapses_in(&mut self, time: Duration) {
        let at = Instant::now() + time;
        self.lapse_at = Some(self.lapse_at.map_or(at, |lapse| lapse.min(at)));
    }

    /// Ends what the database has not confirmed in time.
    pub(super) fn lapse(&mut self) {
        if self.lapse_at.is_none_or(|at| at > Instant::now()) {
            return;
        }
        self.lapse_at = None;
        let now = Time::now();
        let over = self.held.iter().filter(|(_, grant)| !grant.word.good_at(now));
        let over: Vec<_> = over.map(|(_, grant)| (grant.lease.clone(), grant.lapse())).collect();
        for (lease, reason) in over {
            self.lose(&lease, reason);
        }
        for release in std::mem::take(&mut self.releases) {
            if release.word.good_at(now) {
                self.releases.push(release);
            } else if let What::Asked(ticket) = release.what {
                // The row has run out, so the lock is free: it was held until then.
                let key = Claim::exclusive(release.lease.key.clone());
                let clean = release.in_time;
                self.report(Event::Unlocked { key, ticket, clean }, LostReason::Unconfirmed);
                self.owe(release.lease);
            }
        }
        let words = self.held.values().map(|grant| &grant.word);
        let words = words.chain(self.releases.iter().map(|release| &release.word));
        if let Some(left) = words.map(|word| word.left(now)).min() {
            self.lapses_in(left);
        }
    }
}
