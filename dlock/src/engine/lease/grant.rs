//! What is held, and on what options.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::batch_size::Backoff;
use crate::backend::lease::{Lease, LeaseOptions, Owner, OwnerSpec};
use crate::clock::{Time, Validity};
use crate::engine::lock_table::Ticket;
use crate::spec::native::NativeKey;
use crate::spec::options::LockOptions;
use crate::status::lost::LostReason;

/// What a lock's options come to with this locker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ResolvedOptions {
    pub(super) owner: OwnerSpec,
    /// [`Duration::MAX`]: until it is released.
    pub(super) ttl: Duration,
    pub(super) renew: bool,
    /// After how long it is renewed, again and again.
    pub(super) renew_every: Option<Duration>,
    pub(super) retry_every: Option<Duration>,
    pub(super) min_hold: Duration,
}

/// How long a lease lasts that is to last for ever, until it is known to be ours: if nobody learns
/// that it was granted, it must end.
const AT_FIRST: Duration = Duration::from_secs(10);
/// However short leases are, a database gets so long to answer.
pub(super) const ENOUGH: Duration = Duration::from_secs(1);
/// More unanswered questions than this are not looked after one by one.
const MANY: u64 = 8;

impl ResolvedOptions {
    pub(super) fn new(lock_options: &LockOptions, options: &LeaseOptions, ttl: Duration) -> Self {
        let ttl = lock_options.ttl.unwrap_or(ttl);
        let renews = lock_options.auto_renew && ttl != Duration::MAX;
        ResolvedOptions {
            owner: options.owner_of(lock_options),
            ttl,
            renew: lock_options.auto_renew,
            renew_every: renews.then(|| options.renew_after(ttl)),
            retry_every: lock_options.retry_every,
            min_hold: lock_options.min_hold,
        }
    }

    /// What to take on these options.
    pub(super) fn lease(&self, key: NativeKey) -> Lease {
        let owner = Owner::new(&self.owner);
        Lease { key, owner, fence: None, lasts: self.lasts_at_first() }
    }

    pub(super) fn lasts_at_first(&self) -> Duration {
        let ttl = if self.is_endless() { AT_FIRST } else { self.ttl };
        ttl.max(self.min_hold)
    }

    fn is_endless(&self) -> bool {
        self.ttl == Duration::MAX
    }
}

/// A lease that is ours.
pub(super) struct LeaseGrant {
    /// What the table calls it.
    pub(super) ticket: Ticket,
    pub(super) lease: Lease,
    pub(super) resolved: ResolvedOptions,
    pub(super) validity: Arc<Validity>,
    /// When this process got the key.
    pub(super) since: Time,
    /// When its holder got it.
    pub(super) granted: Time,
    /// It has, or had, a holder.
    pub(super) used: bool,
    /// It is to be renewed even if that is not its habit.
    pub(super) due: bool,
    /// When it is renewed next; `None`: never.
    pub(super) renew_at: Option<Instant>,
    pub(super) backoff: Backoff,
    pub(super) handoff: Option<Handoff>,
}

/// A grant that goes to the next holder: it is taken once more, so that this one has a fence of its
/// own, and its own options.
pub(super) struct Handoff {
    pub(super) lease: Lease,
    pub(super) resolved: ResolvedOptions,
    /// How often the database has perhaps done it.
    pub(super) sent: u64,
    /// Its answer is on its way.
    pub(super) in_flight: bool,
    /// It is to be given back when it is there.
    pub(super) unlock: Option<Ticket>,
    pub(super) backoff: Backoff,
}

impl LeaseGrant {
    /// What it is to be renewed to.
    pub(super) fn renewal(&self) -> Lease {
        let rest = self.resolved.min_hold.saturating_sub(self.granted.elapsed());
        Lease { lasts: self.resolved.ttl.max(rest), ..self.lease.clone() }
    }

    /// What is to be given back of it, and how long others cannot have it yet; after that, what else
    /// may be ours while it is being handed over.
    pub(super) fn releases(&self, keep: bool) -> (Lease, Vec<Lease>) {
        let rest = self.resolved.min_hold.saturating_sub(self.granted.elapsed());
        let lasts = if keep { rest } else { Duration::ZERO };
        let mut held = Lease { lasts, ..self.lease.clone() };
        let mut perhaps = Vec::new();
        match &self.handoff {
            Some(Handoff { lease, sent: 1.., .. }) if matches!(lease.owner, Owner::Token(_)) => {
                // A token is ours, whatever its fence is by now.
                if lease.owner == held.owner {
                    held.fence = None;
                } else {
                    perhaps.push(Lease { lasts, ..lease.clone() });
                }
            }
            // A name may be that of another process, whose lease has another fence yet.
            Some(Handoff { lease, sent, .. }) => {
                for done in 1..=(*sent).min(MANY) {
                    let fence = held.fence.map(|fence| fence.saturating_add(done));
                    perhaps.push(Lease { lasts, fence, ..lease.clone() });
                }
            }
            None => {}
        }
        (held, perhaps)
    }

    /// Whether a renewal is to have it too that goes out now; it saves one that would come soon.
    pub(super) fn wants_renewal(&self, now: Instant) -> bool {
        let soon = now + self.resolved.renew_every.unwrap_or(Duration::ZERO) / 2;
        self.handoff.is_none() && self.renew_at.is_some_and(|at| at <= soon)
    }

    /// When it is to be renewed if it is renewed now.
    pub(super) fn next_renewal(&self, now: Instant) -> Option<Instant> {
        self.resolved.renew_every.map(|pause| now + pause)
    }

    /// How long an answer about it may take, so that there is time for another question.
    pub(super) fn patience(&self) -> Option<Duration> {
        let every = self.resolved.renew_every.filter(|_| !self.due);
        let (every, lasts) = match every {
            Some(every) => (every, self.resolved.ttl),
            None if self.due => (self.lease.lasts / 3, self.lease.lasts),
            None => return None,
        };
        Some(every.max(ENOUGH).min(lasts))
    }

    /// Whether it can be given to somebody as it is.
    pub(super) fn is_fresh(&self) -> bool {
        let complete = !self.resolved.is_endless() || self.lease.lasts == Duration::MAX;
        self.handoff.is_none()
            && complete
            && self.validity.remaining(Time::now()) >= self.resolved.lasts_at_first() / 2
    }

    /// How it is lost when its validity ends.
    pub(super) fn lapse(&self) -> LostReason {
        if self.resolved.renew { LostReason::Unconfirmed } else { LostReason::Expired }
    }

    /// Makes it fit for another holder. The same owner is written again where it can be: then one
    /// statement does it.
    pub(super) fn hand_over(&mut self, resolved: ResolvedOptions) {
        let used = std::mem::replace(&mut self.used, true);
        let same = resolved.owner == self.resolved.owner;
        let lasts = resolved.lasts_at_first();
        if !used && same && lasts == self.resolved.lasts_at_first() {
            self.due |= resolved.ttl == Duration::MAX && self.lease.lasts != Duration::MAX;
            self.resolved = resolved;
            return;
        }
        let owner = if same { self.lease.owner.clone() } else { Owner::new(&resolved.owner) };
        let lease = Lease { key: self.lease.key.clone(), owner, fence: None, lasts };
        self.handoff = Some(Handoff {
            lease,
            resolved,
            sent: 0,
            in_flight: false,
            unlock: None,
            backoff: Backoff::default(),
        });
    }
}
