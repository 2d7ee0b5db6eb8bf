//! A lease that is ours.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Owners;
use super::batch_size::Backoff;
use super::handoff::Handoff;
use super::now::{Now, Sent};
use super::options::ResolvedOptions;
use crate::backend::lease::{Lease, Owner};
use crate::clock::{Time, Validity};
use crate::engine::grant::GrantInfo;
use crate::engine::lock_table::Ticket;
use crate::status::lost::LostReason;

/// However short leases are, a database gets so long to answer.
pub(super) const ANSWER_TIME_MIN: Duration = Duration::from_secs(1);

/// See the [module](self).
pub(super) struct LeaseGrant {
    /// What the table calls it.
    ticket: Ticket,
    lease: Lease,
    resolved: ResolvedOptions,
    /// The one cell that tells the guards until when it is surely held.
    validity: Arc<Validity>,
    /// When this process got the key.
    since: Time,
    /// When its holder got it.
    granted: Time,
    /// It has, or had, a holder.
    used: bool,
    /// It is to be renewed even if that is not its habit.
    due: bool,
    /// When it is renewed next; `None`: never.
    renew_at: Option<Instant>,
    backoff: Backoff,
    handoff: Option<Handoff>,
}

impl LeaseGrant {
    pub(super) fn new(
        ticket: Ticket,
        lease: Lease,
        resolved: ResolvedOptions,
        validity: Validity,
        now: Time,
    ) -> Self {
        LeaseGrant {
            ticket,
            lease,
            resolved,
            validity: Arc::new(validity),
            since: now,
            granted: now,
            used: false,
            due: false,
            renew_at: None,
            backoff: Backoff::default(),
            handoff: None,
        }
    }

    pub(super) fn ticket(&self) -> Ticket {
        self.ticket
    }

    pub(super) fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Its row, as a statement is to find it. That of a token is ours whatever its fence is: a take
    /// of ours that was done late, or twice, may have raised it.
    pub(super) fn row(&self) -> Lease {
        let fence = match self.lease.owner {
            Owner::Token(_) => None,
            Owner::Named(_) => self.lease.fence,
        };
        Lease { fence, ..self.lease.clone() }
    }

    /// How long its row may last from now on: a renewal that has no answer may have arrived.
    pub(super) fn row_lasts(&self) -> Duration {
        self.lease.lasts.max(self.resolved.ttl())
    }

    pub(super) fn resolved(&self) -> &ResolvedOptions {
        &self.resolved
    }

    pub(super) fn validity(&self) -> &Arc<Validity> {
        &self.validity
    }

    pub(super) fn backoff(&self) -> Backoff {
        self.backoff
    }

    /// Whether it has, or had, a holder.
    pub(super) fn is_used(&self) -> bool {
        self.used
    }

    /// How it is held.
    pub(super) fn info(&self, now: Now) -> GrantInfo {
        GrantInfo {
            validity: Arc::clone(&self.validity),
            fresh: self.is_fresh(now),
            fence: self.lease.fence,
            since: self.since,
            lapse: self.lapse(),
        }
    }

    /// Whether it can be given to somebody as it is.
    fn is_fresh(&self, now: Now) -> bool {
        let complete = !self.resolved.is_endless() || self.lease.lasts == Duration::MAX;
        self.handoff.is_none()
            && complete
            && self.validity.remaining(now.time) >= self.resolved.lasts_at_first() / 2
    }

    /// How it is lost when its validity ends.
    pub(super) fn lapse(&self) -> LostReason {
        if self.resolved.renews() { LostReason::Unconfirmed } else { LostReason::Expired }
    }

    /// Whether it, or what it is handed over as, is of that lease's owner.
    pub(super) fn is_of(&self, lease: &Lease) -> bool {
        let handed = self.handoff.as_ref().is_some_and(|handoff| handoff.is_of(lease));
        self.lease.is_of(lease) || handed
    }
}

/// What is renewed, and when.
impl LeaseGrant {
    /// What it is to be renewed to.
    pub(super) fn renewal(&self, now: Now) -> Lease {
        Lease { lasts: self.lasts(now), ..self.row() }
    }

    /// For how long it is to last from now on.
    pub(super) fn lasts(&self, now: Now) -> Duration {
        self.resolved.ttl().max(self.rest(now))
    }

    /// For how long nobody else is to have it yet.
    fn rest(&self, now: Now) -> Duration {
        self.resolved.min_hold().saturating_sub(now.time.since(self.granted))
    }

    /// Whether a renewal is to have it too that goes out now; it saves one that would come soon.
    pub(super) fn wants_renewal(&self, now: Now) -> bool {
        let soon = now.timer + self.resolved.renew_every().unwrap_or(Duration::ZERO) / 2;
        self.handoff.is_none() && self.renew_at.is_some_and(|at| at <= soon)
    }

    /// When it is to be renewed; never while it is handed over.
    pub(super) fn renew_at(&self) -> Option<Instant> {
        self.renew_at.filter(|_| self.handoff.is_none())
    }

    /// It is renewed now: the next time comes later.
    pub(super) fn renews(&mut self, now: Now) {
        self.renew_at = self.next_renewal(now);
    }

    fn next_renewal(&self, now: Now) -> Option<Instant> {
        self.resolved.renew_every().map(|pause| now.timer + pause)
    }

    /// When it can be renewed: what was busy alone has its own time.
    fn earliest(&self, now: Now) -> Instant {
        self.backoff.at().map_or(now.timer, |at| at.max(now.timer))
    }

    /// Sees to it that it is renewed in time; when that is.
    pub(super) fn schedule(&mut self, now: Now) -> Option<Instant> {
        self.renew_at = if self.due { Some(self.earliest(now)) } else { self.next_renewal(now) };
        self.renew_at
    }

    /// Has it renewed now, if it ever is; when that is.
    pub(super) fn hurry(&mut self, now: Now) -> Option<Instant> {
        self.renew_at = self.renew_at.map(|_| self.earliest(now));
        self.renew_at
    }

    /// It is to be renewed even if that is not its habit. Returns `false` if a take does that soon.
    pub(super) fn want_renewal(&mut self) -> bool {
        self.due |= self.handoff.is_none();
        self.handoff.is_none()
    }

    /// Nobody else is to have it before so much time has passed since its grant: its row is to last
    /// as long.
    pub(super) fn keep(&mut self, min_hold: Duration) -> bool {
        if self.handoff.is_none() {
            self.resolved.keep(min_hold);
        }
        self.want_renewal()
    }

    /// How long an answer about it may take, so that there is time for another question.
    pub(super) fn patience(&self) -> Option<Duration> {
        let every = self.resolved.renew_every().filter(|_| !self.due);
        let (every, lasts) = match every {
            Some(every) => (every, self.resolved.ttl()),
            None if self.due => (self.lease.lasts / 3, self.lease.lasts),
            None => return None,
        };
        Some(every.max(ANSWER_TIME_MIN).min(lasts))
    }

    /// The database has renewed it.
    pub(super) fn renewed(&mut self, lease: &Lease, sent: Sent) {
        sent.extend(&self.validity, lease.lasts);
        self.lease.lasts = lease.lasts;
        self.due = false;
        self.backoff = Backoff::default();
    }

    /// The database has not answered: it is asked again. Returns when.
    pub(super) fn unrenewed(&mut self, backoff: Option<Backoff>, now: Now) -> Instant {
        let mut at = now.timer;
        if let Some(backoff) = backoff {
            self.backoff = backoff;
            at = backoff.at().unwrap_or(at);
        }
        self.renew_at = Some(at);
        at
    }
}

/// How it passes from one holder of this process to the next.
impl LeaseGrant {
    /// Makes it fit for another holder. The same owner is written again where it can be: then one
    /// statement does it. Not where the row is to last for less than now: a take never shortens the
    /// row of its owner.
    pub(super) fn hand_over(&mut self, resolved: ResolvedOptions, owners: &mut Owners, now: Now) {
        let used = std::mem::replace(&mut self.used, true);
        let same = resolved.has_owner_of(&self.resolved);
        let lasts = resolved.lasts_at_first();
        if !used && same && lasts == self.resolved.lasts_at_first() {
            self.due |= resolved.is_endless() && self.lease.lasts != Duration::MAX;
            self.resolved = resolved;
            return;
        }
        let frees = !same || self.validity.remaining(now.time) > lasts;
        let owner = if frees { resolved.new_owner(owners) } else { self.lease.owner.clone() };
        let lease = Lease { key: self.lease.key.clone(), owner, fence: None, lasts };
        let handoff = Handoff::new(lease, resolved, frees);
        self.handoff = Some(handoff.instead_of(self.handoff.take()));
    }

    pub(super) fn handoff(&self) -> Option<&Handoff> {
        self.handoff.as_ref()
    }

    /// What goes to the database for that: a take, and perhaps a release of this very grant, for the
    /// same owner may have the row again before a late statement is done.
    pub(super) fn send_handoff(&mut self) -> Option<(Lease, Option<Lease>)> {
        let handoff = self.handoff.as_mut()?;
        let release =
            handoff.frees().then(|| Lease { lasts: Duration::ZERO, ..self.lease.clone() });
        Some((handoff.send(), release))
    }

    /// The handoff that this take was for, if it was.
    pub(super) fn handoff_of(&mut self, lease: &Lease) -> Option<&mut Handoff> {
        self.handoff.as_mut().filter(|handoff| handoff.is_of(lease))
    }

    /// The database has written it for the next holder. Returns who has wanted it unlocked meanwhile.
    pub(super) fn handed(
        &mut self,
        lease: &Lease,
        fence: Option<u64>,
        sent: Sent,
        now: Now,
    ) -> Option<Ticket> {
        let (next, resolved, unlock) = self.handoff.take()?.done();
        self.validity = Arc::new(sent.validity(lease.lasts));
        self.lease = Lease { fence, ..next };
        self.resolved = resolved;
        self.granted = now.time;
        self.due = self.resolved.is_endless();
        self.backoff = Backoff::default();
        unlock
    }

    /// Whether it is with the database, to be handed over: then it is unlocked when that is over.
    pub(super) fn unlock_later(&mut self, ticket: Ticket) -> bool {
        self.handoff.as_mut().is_some_and(|handoff| handoff.unlock_later(ticket))
    }

    /// It ends: who has wanted it unlocked meanwhile.
    pub(super) fn into_unlock(self) -> Option<Ticket> {
        self.handoff.and_then(|handoff| handoff.done().2)
    }

    /// Whether its row can stay as it is for so long, and be given back then: one without a name is
    /// nobody else's.
    pub(super) fn keeps(&self, min_hold: Duration) -> bool {
        let is_named = matches!(self.lease.owner, Owner::Named(_));
        self.handoff.is_some() || !is_named && self.resolved.min_hold() >= min_hold
    }

    /// What is to be given back of it, and how long others cannot have it yet; after that, what else
    /// may be ours while it is being handed over.
    pub(super) fn releases(&self, keep: bool, now: Now) -> (Lease, Option<Lease>) {
        let lasts = if keep { self.rest(now) } else { Duration::ZERO };
        let held = Lease { lasts, ..self.row() };
        let perhaps = self.handoff.as_ref().and_then(|handoff| handoff.release(&held));
        (held, perhaps)
    }
}
