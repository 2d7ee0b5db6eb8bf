//! The decisions about leases: what to ask of the database next, and what its answers mean.
//!
//! While a question is with the database, whatever else is wanted comes together and goes out as
//! the next one. What is held is renewed after each third of its ttl, all of it in one statement.
//! A lease whose validity has ended is lost, even if its row could still be renewed: its holder may
//! have stopped, and others may have looked.
//!
//! Time is an argument, what is to be done is returned, and chance comes from a seed: a simulation
//! drives this very type, with several processes, through faults of all kinds
//! (`tests/simulation/lease`). The one thing that it shares with others is each grant's
//! [`Validity`](crate::clock::Validity), which it ends in one store, before it tells anybody.

mod action;
mod batch_size;
mod expiry;
mod grant;
mod handoff;
mod handover;
mod health;
mod held;
mod now;
mod options;
mod own;
mod polling;
mod questions;
mod releases;
mod renewals;
mod replies;
mod statements;

use std::time::{Duration, Instant};

use fastrand::Rng;

pub use self::action::{Answer, Done, Found, Job, LeaseAction, Question, QuestionId, Settled};
use self::batch_size::BatchSize;
use self::expiry::Expiry;
use self::grant::LeaseGrant;
pub use self::handover::Offer;
pub use self::health::BUSY;
use self::health::Health;
use self::held::HeldLeases;
pub use self::now::{Now, Sent};
use self::options::ResolvedOptions;
pub use self::own::OwnLease;
use self::polling::Polling;
use self::questions::Questions;
use self::releases::Releases;
use self::renewals::Renewals;
use crate::backend::lease::LeaseOptions;
pub use crate::backend::lease::{Failure, Lease, Outcomes, Owner, OwnerSpec, Taken};
use crate::clock::Time;
use crate::engine::executor::{Contact, Report};
use crate::engine::grant::GrantInfo;
use crate::engine::lock_table::{Event, Ticket};
use crate::error::Error;
use crate::sort::sort_by;
use crate::spec::lock_id::LockId;
use crate::spec::native::NativeKey;
use crate::spec::options::LockOptions;
use crate::status::lost::LostReason;

/// Draws the owners of grants: names that no other process can have, where the user gives none.
pub type Owners = Box<dyn FnMut(&OwnerSpec) -> Owner + Send>;

/// What the core must know of its database and its locker.
pub struct Settings {
    /// The options of the locker.
    pub options: LeaseOptions,
    /// How long leases last that do not say it themselves.
    pub ttl: Duration,
    /// The shortest and the longest interval between two polls of a key.
    pub intervals: (Duration, Duration),
    /// Whether one row can be busy while others are not.
    pub busy_rows: bool,
    /// Draws the owners of grants.
    pub owners: Owners,
    /// Of all chance: when keys are polled, and when the database is asked again.
    pub seed: u64,
}

/// See the [module](self).
pub struct LeaseCore {
    options: LeaseOptions,
    /// Of leases that do not say it themselves.
    ttl: Duration,
    busy_rows: bool,
    owners: Owners,
    rng: Rng,
    polling: Polling,
    held: HeldLeases,
    renewals: Renewals,
    releases: Releases,
    applies: BatchSize,
    questions: Questions,
    expiry: Expiry,
    health: Health,
    /// A job is with the database.
    busy: bool,
}

impl LeaseCore {
    /// Creates the core of one locker, which has a connection.
    pub fn new(settings: Settings, now: Now) -> Self {
        let Settings { options, ttl, intervals, busy_rows, owners, seed } = settings;
        LeaseCore {
            options,
            ttl,
            busy_rows,
            owners,
            rng: Rng::with_seed(seed),
            polling: Polling::new(intervals, seed),
            held: HeldLeases::new(seed),
            renewals: Renewals::new(now),
            releases: Releases::default(),
            applies: BatchSize::new(now.timer),
            questions: Questions::default(),
            expiry: Expiry::default(),
            health: Health::new(now),
            busy: false,
        }
    }

    fn resolve(&self, options: &LockOptions) -> ResolvedOptions {
        ResolvedOptions::new(options, &self.options, self.ttl)
    }

    /// No more rows than this go out at once.
    pub fn limit(&mut self, most: usize) {
        self.applies.limit(most);
    }

    /// Asks for the key once.
    pub fn try_lock(&mut self, key: NativeKey, ticket: Ticket, options: &LockOptions, now: Now) {
        let resolved = self.resolve(options);
        let lease = resolved.lease(key, &mut self.owners);
        self.polling.once(lease, ticket, resolved, (now.timer, &mut self.rng));
    }

    /// Asks for the key until it is granted, until then or for ever.
    pub fn wait(
        &mut self,
        key: NativeKey,
        ticket: Ticket,
        until: Option<Instant>,
        options: &LockOptions,
        now: Now,
    ) {
        let resolved = self.resolve(options);
        let lease = resolved.lease(key, &mut self.owners);
        self.polling.until(lease, ticket, resolved, until, (now.timer, &mut self.rng));
    }

    /// Stops that wait.
    pub fn cancel(&mut self, key: &NativeKey, ticket: Ticket, out: &mut Vec<LeaseAction>) {
        if self.polling.cancel(key, ticket) {
            let key = LockId::exclusive(key.clone());
            report(Event::Ended { key, ticket }, LostReason::NotHeld, out);
        }
    }

    /// The grant goes to a caller who wants it on these options.
    pub fn hand_over(&mut self, key: &NativeKey, grant: Ticket, options: &LockOptions, now: Now) {
        let resolved = self.resolve(options);
        let Some(grant) = self.held.of(key, grant) else { return };
        grant.hand_over(resolved, &mut self.owners, now);
        if grant.handoff().is_some() {
            self.held.has_handoff();
        }
        self.schedule(key, now);
    }

    /// Nobody else is to have the key before so much time has passed since its grant.
    pub fn keep(&mut self, key: &NativeKey, min_hold: Duration, now: Now) {
        if self.held.get_mut(key).is_some_and(|grant| grant.keep(min_hold)) {
            self.schedule(key, now);
        }
    }

    /// Makes sure that nothing is held by what answered this ticket.
    pub fn discard(&mut self, key: &NativeKey, ticket: Ticket, now: Now) {
        if self.held.of(key, ticket).is_some()
            && let Some(grant) = self.held.remove(key)
        {
            grant.validity().end(LostReason::NotHeld);
            self.owe_all_of(&grant, now);
        }
    }

    /// How the key is held.
    pub fn held(&self, key: &NativeKey, now: Now) -> Option<GrantInfo> {
        self.held.get(key).map(|grant| grant.info(now))
    }

    /// Has the database confirm the grant.
    pub fn refresh(&mut self, key: &NativeKey, now: Now) {
        if self.held.get_mut(key).is_some_and(|grant| grant.want_renewal())
            && !self.renewals.are_in_flight()
        {
            self.schedule(key, now);
        }
    }

    /// Asks the database whether the key is held; answers at once if there is nothing to ask.
    pub fn verify(&mut self, id: QuestionId, key: &NativeKey, out: &mut Vec<LeaseAction>) {
        match self.held.get(key).map(LeaseGrant::row) {
            Some(lease) => self.ask_to_check(id, lease, true, out),
            None => out.push(LeaseAction::Answer { id, answer: Answer::Held(false) }),
        }
    }

    /// Answers at once if there is nothing to check.
    fn ask_to_check(
        &mut self,
        id: QuestionId,
        lease: Lease,
        wanted: bool,
        out: &mut Vec<LeaseAction>,
    ) {
        let held = self.held.has(&lease);
        if held && wanted {
            self.questions.add(id, Question::Held(lease));
        } else {
            out.push(LeaseAction::Answer { id, answer: Answer::Held(held) });
        }
    }

    /// Asks the database something that changes nothing here.
    pub fn ask(&mut self, id: QuestionId) {
        self.questions.add(id, Question::Other);
    }

    /// Returns whether the database has answered something about this that was asked later than
    /// `since`. If that is not known, it is asked now.
    pub fn contact(
        &mut self,
        key: &NativeKey,
        since: Time,
        now: Now,
        out: &mut Vec<LeaseAction>,
    ) -> Contact {
        if self.polling.refused_after(key, since) {
            return Contact::Heard;
        }
        if self.health.is_away() {
            return Contact::Failed;
        }
        self.health.doubt();
        if self.polling.ask_now(key, now.timer) {
            return Contact::Unknown;
        }
        // Nobody asks for it any more: that the database answers is all there is to know.
        if self.health.has_answered_since(since) {
            return Contact::Heard;
        }
        if self.questions.are_none() && !self.busy {
            out.push(LeaseAction::Probe { key: key.clone() });
        }
        Contact::Unknown
    }

    /// The table may have changed: what is polled is asked for soon.
    pub fn changed(&mut self, now: Now) {
        self.polling.hurry(now.timer, &mut self.rng);
    }

    /// Returns whether word of a change is of use.
    pub fn is_polling(&self) -> bool {
        self.polling.are_polled()
    }

    /// Returns whether something is on its way back to the database.
    pub fn has_unanswered(&self) -> bool {
        !self.releases.are_none() || self.polling.any_is_given_up()
    }

    /// Returns why the database did not answer the last time.
    pub fn trouble(&self) -> Option<&Error> {
        self.health.trouble()
    }

    /// Returns what is to be given back at the end, by name.
    pub fn farewell(&mut self, now: Now) -> Vec<Lease> {
        let mut releases = Vec::new();
        for grant in self.held.all() {
            // What was granted just now, when nobody wanted it any more, is kept from nobody.
            let (lease, perhaps) = grant.releases(grant.is_used(), now);
            releases.push(lease);
            releases.extend(perhaps);
        }
        releases.extend(self.releases.take_waiting().map(|release| release.into_lease()));
        sort_by(&mut releases, |a, b| a.key.cmp(&b.key));
        releases
    }
}

fn report(event: Event<LockId>, reason: LostReason, out: &mut Vec<LeaseAction>) {
    out.push(LeaseAction::Report(Report { event, reason }));
}

/// A time of about this length, never quite the same.
fn about(time: Duration, rng: &mut Rng) -> Duration {
    time.mul_f64(0.5 + rng.f64())
}
