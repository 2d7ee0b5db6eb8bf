//! What ends a lease before its holder does, and what is left to be given back then.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::batch_size::Backoff;
use super::grant::LeaseGrant;
use super::job::Question;
use super::{Leases, Release, Settling, What};
use crate::backend::lease::{Lease, LeaseBackend, Owner};
use crate::clock::{Time, Validity};
use crate::engine::executor::Reply;
use crate::engine::grant::Grant;
use crate::engine::lock_table::Event;
use crate::spec::lock_id::LockId;
use crate::spec::native::NativeKey;
use crate::status::lost::LostReason;

/// For how long at least, and at most, it is tried to give back what is perhaps ours.
const LEAST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_secs(3600);

impl<B: LeaseBackend> Leases<B> {
    /// This one is not held any more.
    pub(super) fn lose(&mut self, lease: &Lease, reason: LostReason) {
        let Some(grant) = self.held.get(&lease.key) else {
            return;
        };
        let handoff = grant.handoff.as_ref();
        if !grant.lease.is_of(lease) && !handoff.is_some_and(|handoff| handoff.lease.is_of(lease)) {
            return;
        }
        let Some(grant) = self.held.remove(&lease.key) else {
            return;
        };
        grant.validity.end(reason);
        self.owe_all_of(&grant);
        let key = LockId::exclusive(lease.key.clone());
        let unlock = grant.handoff.and_then(|handoff| handoff.unlock);
        let event = unlock.map(|ticket| Event::Unlocked { key: key.clone(), ticket, clean: false });
        self.report(event.unwrap_or(Event::Lost { key, grant: grant.ticket }), reason);
    }

    /// Nobody is to have this one yet, its owner neither, who could take it over in another process:
    /// from now on the row has none. Returns `false` if there is nothing to do about that.
    pub(super) fn keep_from_all(
        &mut self,
        key: &NativeKey,
        rest: Duration,
        hold: &Arc<Grant>,
    ) -> bool {
        // One without a name is nobody else's, and stays as it is until it is given back, if it lasts
        // as long.
        let goes = |grant: &LeaseGrant| {
            let is_named = matches!(grant.lease.owner, Owner::Named(_));
            grant.handoff.is_none() && (is_named || grant.resolved.min_hold < hold.min_hold())
        };
        if !self.held.get(key).is_some_and(goes) {
            return false;
        }
        if let Some(grant) = self.held.remove(key) {
            let lease = Lease { lasts: rest, ..grant.lease };
            let (what, validity, backoff) = (What::Cleanup, grant.validity, Backoff::default());
            let settles =
                Some(Settling { hold: Arc::clone(hold), validity: Arc::clone(&validity) });
            self.releases.push(Release { lease, what, validity, backoff, settles });
        }
        true
    }

    /// Whatever this has led to is to be given back.
    pub(super) fn owe_all_of(&mut self, grant: &LeaseGrant) {
        let (lease, perhaps) = grant.releases(false);
        self.add_cleanup(lease);
        perhaps.into_iter().for_each(|lease| self.add_cleanup(lease));
    }

    /// This row may be ours, and nobody here wants it.
    pub(super) fn add_cleanup(&mut self, lease: Lease) {
        if lease.fence.is_none() && matches!(lease.owner, Owner::Named(_)) {
            // It may be that of another process of this name.
            return;
        }
        // By then a statement that is still on its way has run out as well.
        let time = lease.lasts.saturating_mul(2).clamp(LEAST, MOST);
        let validity = Arc::new(Validity::until(Time::now().after(time)));
        self.lapses_in(time);
        let lease = Lease { lasts: Duration::ZERO, ..lease };
        let (what, backoff) = (What::Cleanup, Backoff::default());
        let settles = None;
        self.releases.push(Release { lease, what, validity, backoff, settles });
    }

    /// Answers at once if there is nothing to check.
    pub(super) fn ask_to_check(&mut self, lease: Lease, reply: Reply<bool>) {
        let held = self.has(&lease);
        if held && !reply.is_closed() {
            self.questions.push_back(Question::Held(lease, reply));
        } else {
            let _ = reply.send(Ok(held));
        }
    }

    /// Whether this very grant is held: not the one before it, of the same owner.
    pub(super) fn has(&self, lease: &Lease) -> bool {
        self.held.get(&lease.key).is_some_and(|grant| grant.lease.is_grant_of(lease))
    }

    /// A validity may end after this time.
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
        let over = self.held.iter().filter(|(_, grant)| !grant.validity.is_valid_at(now));
        let over: Vec<_> = over.map(|(_, grant)| (grant.lease.clone(), grant.lapse())).collect();
        for (lease, reason) in over {
            self.lose(&lease, reason);
        }
        let mut over = Vec::new();
        for release in self.releasing.iter_mut().chain(&mut self.releases) {
            if release.validity.is_valid_at(now) {
                continue;
            }
            release.settles = None;
            if let What::Asked(ticket) = std::mem::replace(&mut release.what, What::Cleanup) {
                // The row has run out, so the lock is free. Nobody knows for how long it has been.
                let key = LockId::exclusive(release.lease.key.clone());
                let event = Event::Unlocked { key, ticket, clean: false };
                over.push((event, release.lease.clone()));
            }
        }
        self.releases.retain(|release| release.validity.is_valid_at(now));
        for (event, lease) in over {
            self.report(event, LostReason::Unconfirmed);
            self.add_cleanup(lease);
        }
        let validities = self.held.values().map(|grant| &grant.validity);
        let releases = self.releases.iter().chain(&self.releasing);
        // What nobody waits for any more is forgotten with its job.
        let releases =
            releases.map(|release| &release.validity).filter(|validity| validity.is_valid_at(now));
        let validities = validities.chain(releases);
        if let Some(left) = validities.map(|validity| validity.remaining(now)).min() {
            self.lapses_in(left);
        }
    }
}
