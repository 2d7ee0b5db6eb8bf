//! What a lock's options come to with this locker.

use std::time::Duration;

use super::Owners;
use crate::backend::lease::{Lease, LeaseOptions, Owner, OwnerSpec};
use crate::spec::native::NativeKey;
use crate::spec::options::LockOptions;

/// How long a lease lasts that is to last for ever, until it is known to be ours: if nobody learns
/// that it was granted, it must end.
const AT_FIRST: Duration = Duration::from_secs(10);

/// See the [module](self).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ResolvedOptions {
    owner: OwnerSpec,
    /// [`Duration::MAX`]: until it is released.
    ttl: Duration,
    renew: bool,
    /// After how long it is renewed, again and again.
    renew_every: Option<Duration>,
    retry_every: Option<Duration>,
    min_hold: Duration,
}

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
    pub(super) fn lease(&self, key: NativeKey, owners: &mut Owners) -> Lease {
        Lease { key, owner: self.new_owner(owners), fence: None, lasts: self.lasts_at_first() }
    }

    pub(super) fn new_owner(&self, owners: &mut Owners) -> Owner {
        owners(&self.owner)
    }

    pub(super) fn has_owner_of(&self, other: &ResolvedOptions) -> bool {
        self.owner == other.owner
    }

    pub(super) fn lasts_at_first(&self) -> Duration {
        let ttl = if self.is_endless() { AT_FIRST } else { self.ttl };
        ttl.max(self.min_hold)
    }

    pub(super) fn is_endless(&self) -> bool {
        self.ttl == Duration::MAX
    }

    pub(super) fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Whether it is to be renewed for as long as it is held.
    pub(super) fn renews(&self) -> bool {
        self.renew
    }

    pub(super) fn renew_every(&self) -> Option<Duration> {
        self.renew_every
    }

    pub(super) fn retry_every(&self) -> Option<Duration> {
        self.retry_every
    }

    pub(super) fn min_hold(&self) -> Duration {
        self.min_hold
    }

    /// Nobody else is to have it before so much time has passed since its grant.
    pub(super) fn keep(&mut self, min_hold: Duration) {
        self.min_hold = self.min_hold.max(min_hold);
    }
}
