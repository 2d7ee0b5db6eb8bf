//! What is held, and on what terms.

use std::sync::Arc;
use std::time::Duration;

use crate::backend::lease::{Lease, LeaseOptions, Owner};
use crate::clock::{Time, Word};
use crate::engine::table::Ticket;
use crate::lost::LostReason;
use crate::native::NativeKey;
use crate::terms::Terms;

/// What a lock's terms come to with this locker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Agreed {
    pub(super) owner: Option<Arc<str>>,
    /// [`Duration::MAX`]: until it is released.
    pub(super) ttl: Duration,
    pub(super) renew: bool,
    pub(super) retry_every: Option<Duration>,
    pub(super) min_hold: Duration,
}

/// How long a lease lasts that is to last for ever, until it is known to be ours: if nobody learns
/// that it was granted, it must end.
const AT_FIRST: Duration = Duration::from_secs(10);

impl Agreed {
    pub(super) fn new(terms: &Terms, options: &LeaseOptions, ttl: Duration) -> Self {
        Agreed {
            owner: terms.owner.clone().or_else(|| options.name_of_owner()),
            ttl: terms.ttl.unwrap_or(ttl),
            renew: terms.auto_renew,
            retry_every: terms.retry_every,
            min_hold: terms.min_hold,
        }
    }

    /// What to take on these terms.
    pub(super) fn lease(&self, key: NativeKey) -> Lease {
        let owner = Owner::new(self.owner.clone());
        Lease { key, owner, fence: None, lasts: self.lasts_at_first() }
    }

    fn lasts_at_first(&self) -> Duration {
        let ttl = if self.is_endless() { AT_FIRST } else { self.ttl };
        ttl.max(self.min_hold)
    }

    fn is_endless(&self) -> bool {
        self.ttl == Duration::MAX
    }
}

/// A lease that is ours.
pub(super) struct Grant {
    /// What the table calls it.
    pub(super) ticket: Ticket,
    pub(super) lease: Lease,
    pub(super) agreed: Agreed,
    pub(super) word: Arc<Word>,
    /// When this process got the key.
    pub(super) since: Time,
    /// When its holder got it.
    pub(super) granted: Time,
    /// It has, or had, a holder.
    pub(super) used: bool,
    /// It is to be renewed even if that is not its habit.
    pub(super) due: bool,
    pub(super) handing: Option<Handing>,
}

/// A grant that goes to the next holder: it is taken once more, so that this one has a fence of its
/// own, and its own terms.
pub(super) struct Handing {
    pub(super) lease: Lease,
    pub(super) agreed: Agreed,
    /// The database has perhaps done it.
    pub(super) sent: bool,
    /// Its answer is on its way.
    pub(super) in_flight: bool,
    /// It is to be given back when it is there.
    pub(super) unlock: Option<Ticket>,
}

impl Grant {
    /// What it is to be renewed to.
    pub(super) fn renewal(&self) -> Lease {
        let rest = self.agreed.min_hold.saturating_sub(self.granted.elapsed());
        Lease { lasts: self.agreed.ttl.max(rest), ..self.lease.clone() }
    }

    /// What is to be given back of it, and how long others cannot have it yet.
    pub(super) fn release(&self, keep: bool) -> Lease {
        let rest = self.agreed.min_hold.saturating_sub(self.granted.elapsed());
        let lasts = if keep { rest } else { Duration::ZERO };
        // What was sent has another fence, if it was done.
        let sent = self.handing.as_ref().is_some_and(|handing| handing.sent);
        let fence = self.lease.fence.filter(|_| !sent);
        Lease { lasts, fence, ..self.lease.clone() }
    }

    pub(super) fn wants_renewal(&self) -> bool {
        let lasts_for_ever = self.lease.lasts == Duration::MAX;
        self.handing.is_none() && (self.due || self.agreed.renew && !lasts_for_ever)
    }

    /// Whether it can be given to somebody as it is.
    pub(super) fn is_fresh(&self) -> bool {
        let complete = !self.agreed.is_endless() || self.lease.lasts == Duration::MAX;
        self.handing.is_none()
            && complete
            && self.word.left(Time::now()) >= self.agreed.lasts_at_first() / 2
    }

    /// How it is lost when its word runs out.
    pub(super) fn lapse(&self) -> LostReason {
        if self.agreed.renew { LostReason::Unconfirmed } else { LostReason::Expired }
    }

    /// Makes it fit for another holder. The same owner is written again where it can be: then one
    /// statement does it.
    pub(super) fn hand_over(&mut self, agreed: Agreed) {
        let used = std::mem::replace(&mut self.used, true);
        let same = agreed.owner == self.agreed.owner;
        let lasts = agreed.lasts_at_first();
        if !used && same && lasts == self.agreed.lasts_at_first() {
            self.due |= agreed.ttl == Duration::MAX && self.lease.lasts != Duration::MAX;
            self.agreed = agreed;
            return;
        }
        let owner = if same { self.lease.owner.clone() } else { Owner::new(agreed.owner.clone()) };
        let lease = Lease { key: self.lease.key.clone(), owner, fence: None, lasts };
        self.handing = Some(Handing { lease, agreed, sent: false, in_flight: false, unlock: None });
    }
}
