//! What ends a lease before its holder does, and what is left to be given back then.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::action::{LeaseAction, Settled};
use super::grant::LeaseGrant;
use super::now::Now;
use super::releases::{RanOut, Release, What};
use super::{LeaseCore, report};
use crate::backend::lease::{Lease, Owner};
use crate::clock::Validity;
use crate::engine::lock_table::{Event, GrantId};
use crate::spec::lock_id::LockId;
use crate::spec::native::NativeKey;
use crate::status::lost::LostReason;

/// For how long at least, and at most, it is tried to give back what is perhaps ours.
const CLEANUP_TIME_MIN: Duration = Duration::from_secs(1);
const CLEANUP_TIME_MAX: Duration = Duration::from_secs(3600);

/// When a validity may end.
#[derive(Default)]
pub(super) struct Expiry {
    first: Option<Instant>,
}

impl Expiry {
    /// When the first validity may end.
    pub(super) fn first(&self) -> Option<Instant> {
        self.first
    }

    /// A validity may end after this time.
    pub(super) fn lapses_in(&mut self, time: Duration, now: Now) {
        let at = now.timer + time;
        self.first = Some(self.first.map_or(at, |first| first.min(at)));
    }

    /// Looks at all of them now: the machine may have been suspended, which the timers do not know.
    pub(super) fn look_now(&mut self, now: Now) {
        self.first = Some(now.timer);
    }

    /// Whether one may have ended; then they are looked at.
    fn is_due(&mut self, now: Now) -> bool {
        self.first.take_if(|at| *at <= now.timer).is_some()
    }
}

impl LeaseCore {
    /// This one is not held any more.
    pub(super) fn lose(
        &mut self,
        lease: &Lease,
        reason: LostReason,
        now: Now,
        out: &mut Vec<LeaseAction>,
    ) {
        if !self.held.get(&lease.key).is_some_and(|grant| grant.is_of(lease)) {
            return;
        }
        let Some(grant) = self.held.remove(&lease.key) else {
            return;
        };
        grant.validity().end(reason);
        self.owe_all_of(&grant, now);
        let (key, ticket) = (LockId::exclusive(lease.key.clone()), grant.ticket());
        let event = match grant.into_unlock() {
            Some(ticket) => Event::Unlocked { key, ticket, clean: false },
            None => Event::Lost { key, grant: ticket },
        };
        report(event, reason, out);
    }

    /// Nobody is to have this one yet, its owner neither, who could take it over in another process:
    /// from now on the row has none, and its hold is settled when the database has confirmed it.
    /// Returns the validity that it has until then, or `None` if there is nothing to do about that.
    pub fn linger(
        &mut self,
        key: &NativeKey,
        rest: Duration,
        (hold, min_hold): (GrantId, Duration),
    ) -> Option<Arc<Validity>> {
        // It stays as it is until it is given back, if it lasts as long.
        if self.held.get(key).is_none_or(|grant| grant.keeps(min_hold)) {
            return None;
        }
        let grant = self.held.remove(key)?;
        let lease = Lease { lasts: rest, ..grant.row() };
        let release = Release::new(lease, What::Cleanup, (grant.validity(), grant.row_lasts()));
        let release = release.settling(hold);
        self.releases.add(release);
        Some(Arc::clone(grant.validity()))
    }

    /// Whatever this has led to is to be given back.
    pub(super) fn owe_all_of(&mut self, grant: &LeaseGrant, now: Now) {
        let (lease, perhaps) = grant.releases(false, now);
        for lease in perhaps.into_iter().chain([lease]) {
            self.add_cleanup_of(lease, grant.row_lasts(), now);
        }
    }

    /// This row may be ours, and nobody here wants it.
    pub(super) fn add_cleanup(&mut self, lease: Lease, now: Now) {
        let lasts = lease.lasts;
        self.add_cleanup_of(Lease { lasts: Duration::ZERO, ..lease }, lasts, now);
    }

    /// The same of a row that ends by itself after this time.
    pub(super) fn add_cleanup_of(&mut self, lease: Lease, lasts: Duration, now: Now) {
        if lease.fence.is_none() && matches!(lease.owner, Owner::Named(_)) {
            // It may be that of another process of this name.
            return;
        }
        // By then a statement that is still on its way has run out as well.
        let time = lasts.saturating_mul(2).clamp(CLEANUP_TIME_MIN, CLEANUP_TIME_MAX);
        let validity = Arc::new(Validity::until(now.time.after(time)));
        self.expiry.lapses_in(time, now);
        self.releases.add(Release::new(lease, What::Cleanup, (&validity, lasts)));
    }

    /// Ends what the database has not confirmed in time.
    pub fn lapse(&mut self, now: Now, out: &mut Vec<LeaseAction>) {
        if !self.expiry.is_due(now) {
            return;
        }
        let over = self.held.over(now).map(|grant| (grant.lease().clone(), grant.lapse()));
        for (lease, reason) in over.collect::<Vec<_>>() {
            self.lose(&lease, reason, now, out);
        }
        let (over, settled) = self.releases.lapse(now);
        let ran_out = |hold| LeaseAction::Settle { hold, settled: Settled::RanOut };
        out.extend(settled.into_iter().map(ran_out));
        for RanOut { lease, ticket, row_lasts } in over {
            // The row has run out, so the lock is free. Nobody knows for how long it has been.
            if let Some(ticket) = ticket {
                let key = LockId::exclusive(lease.key.clone());
                let event = Event::Unlocked { key, ticket, clean: false };
                report(event, LostReason::Unconfirmed, out);
            }
            // Unless it was renewed by a statement that has had no answer. What nobody has asked for
            // yet is kept for its `min_hold`.
            let lasts = if ticket.is_some() { Duration::ZERO } else { lease.lasts };
            self.add_cleanup_of(Lease { lasts, ..lease }, row_lasts, now);
        }
        let held = self.held.all().map(LeaseGrant::validity);
        let releases = self.releases.validities().filter(|validity| now.is_in(validity));
        let next = held.chain(releases).map(|validity| validity.remaining(now.time)).min();
        if let Some(left) = next {
            self.expiry.lapses_in(left, now);
        }
    }
}
