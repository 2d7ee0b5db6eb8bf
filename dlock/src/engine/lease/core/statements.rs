//! What goes out on the one connection, and when.

use std::time::{Duration, Instant};

use super::LeaseCore;
use super::action::{Found, Job, LeaseAction};
use super::batch_size::Backoff;
use super::grant::{ANSWER_TIME_MIN, LeaseGrant};
use super::now::Now;
use super::releases::{Release, What};
use crate::backend::lease::{Lease, Outcomes};
use crate::sort::sort_by;
use crate::spec::native::NativeKey;

impl LeaseCore {
    /// When there is something to do that no answer brings.
    pub fn deadline(&self, now: Now) -> Option<Instant> {
        let work = if self.busy {
            // There is nothing to do then yet. But a timer that is earlier than all others wakes the
            // thread that sets it: this one is not to be the first again with every answer.
            self.renewals.next().filter(|at| *at > now.timer)
        } else if !self.questions.are_none() {
            Some(self.health.not_before())
        } else {
            let earliest = self.health.not_before();
            let handoffs = self.held.handoffs_due();
            let handoffs = handoffs.map(|(_, backoff)| backoff.at().unwrap_or(earliest)).min();
            let releases = self.releases.next(earliest);
            let next = [self.renewals.next(), self.polling.next(), releases, handoffs];
            next.into_iter().flatten().min().map(|next| next.max(earliest))
        };
        [work, self.expiry.first()].into_iter().flatten().min()
    }

    /// Sends what is due, unless the connection is busy.
    pub fn send(&mut self, now: Now, out: &mut Vec<LeaseAction>) {
        if self.busy || self.health.rests(now) {
            return;
        }
        let job = self.next_renewals(now).or_else(|| self.next_question());
        if let Some(job) = job.or_else(|| self.next_apply(now)) {
            self.busy = true;
            let patience = self.patience(&job);
            out.push(LeaseAction::Send { job, patience });
        }
    }

    /// How long this job may take: an answer that comes when what it grants has run out is worth
    /// nothing, nor is that to a release, and a renewal without an answer must be asked for again in time.
    fn patience(&self, job: &Job) -> Duration {
        let renewing = self.held.all().filter_map(LeaseGrant::patience);
        let applying = match job {
            Job::Apply { takes, .. } => {
                Some(takes.iter().map(|lease| lease.lasts).max().unwrap_or(self.ttl))
            }
            Job::Renew { .. } | Job::Ask { .. } => None,
        };
        let applying = applying.map(|time| time.max(ANSWER_TIME_MIN));
        renewing.chain(applying).min().unwrap_or(Duration::MAX)
    }

    /// Sees to it that this one is renewed in time.
    pub(super) fn schedule(&mut self, key: &NativeKey, now: Now) {
        if let Some(grant) = self.held.get_mut(key) {
            self.renewals.at(grant.schedule(now));
        }
    }

    /// Has all that is held renewed now.
    pub(super) fn renew_all(&mut self, now: Now) {
        for grant in self.held.all_mut() {
            self.renewals.at(grant.hurry(now));
        }
    }

    fn next_renewals(&mut self, now: Now) -> Option<Job> {
        if !self.renewals.are_due(now) {
            return None;
        }
        self.expiry.look_now(now);
        let leases = self.renewals.send(&mut self.held, now);
        (!leases.is_empty()).then(|| Job::Renew { leases, renewed: Vec::new() })
    }

    fn next_question(&mut self) -> Option<Job> {
        let (id, question) = self.questions.next()?;
        Some(Job::Ask { id, question, found: Found::Nothing })
    }

    fn next_apply(&mut self, now: Now) -> Option<Job> {
        let mut wanted: Vec<_> = self.releases.take_waiting().map(Wanted::Release).collect();
        let asks = self.polling.due(now.timer);
        wanted.extend(asks.map(|ask| Wanted::Ask(ask.lease().clone(), ask.backoff())));
        wanted.extend(
            self.held
                .handoffs_due()
                .map(|(handoff, backoff)| Wanted::Handoff(handoff.lease().key.clone(), backoff)),
        );
        let chosen = self.applies.choose(now.timer, &mut wanted, Wanted::backoff);
        self.releases.put_back(wanted.into_iter().filter_map(Wanted::into_release));
        let mut takes = Vec::new();
        for wanted in chosen {
            match wanted {
                Wanted::Release(release) => self.releases.send(release),
                Wanted::Ask(lease, _) => {
                    self.polling.sent(&lease);
                    takes.push(lease);
                }
                Wanted::Handoff(key, backoff) => {
                    takes.extend(self.send_handoff(&key, backoff));
                }
            }
        }
        let releases = self.releases.sent();
        if takes.is_empty() && releases.is_empty() {
            return None;
        }
        sort_by(&mut takes, |a, b| a.key.cmp(&b.key));
        Some(Job::Apply { releases, takes, outcomes: Outcomes::default() })
    }

    /// What goes to the database for a handoff: a take, and perhaps a release before it.
    fn send_handoff(&mut self, key: &NativeKey, backoff: Backoff) -> Option<Lease> {
        let grant = self.held.get_mut(key)?;
        let (take, release) = grant.send_handoff()?;
        if let Some(release) = release {
            let release =
                Release::new(release, What::HandOver, (grant.validity(), grant.row_lasts()));
            self.releases.send(release.fared(backoff));
        }
        Some(take)
    }
}

/// What can go out in one statement.
enum Wanted {
    Release(Release),
    Ask(Lease, Backoff),
    Handoff(NativeKey, Backoff),
}

impl Wanted {
    fn backoff(&self) -> Backoff {
        match self {
            Wanted::Release(release) => release.backoff(),
            Wanted::Ask(_, backoff) | Wanted::Handoff(_, backoff) => *backoff,
        }
    }

    fn into_release(self) -> Option<Release> {
        match self {
            Wanted::Release(release) => Some(release),
            _ => None,
        }
    }
}
