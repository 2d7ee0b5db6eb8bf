//! What the database's answers, and their absence, lead to.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::batch_size::{Backoff, BatchSize};
use super::grant::LeaseGrant;
use super::job::{Done, Job, Question, Sent};
use super::polling::about;
use super::queue::Line;
use super::{BUSY, Leases, Release, What};
use crate::backend::lease::{Failure, Lease, LeaseBackend, Outcomes, Taken};
use crate::clock::Time;
use crate::engine::lock_table::Event;
use crate::error::Error;
use crate::observe;
use crate::spec::lock_id::LockId;
use crate::status::lost::LostReason;

/// The pauses between attempts to reach a database that cannot be reached.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// When so many have failed alone, one after the other, all fail.
const FAILURES_IN_A_ROW_MAX: u32 = 4;

/// Why there is no answer.
#[derive(Clone, Copy)]
pub(super) enum Why {
    /// Something was busy, and nothing has been done. What was asked fares so.
    Busy(Backoff),
    /// Something in it is refused, and it is not known what: it is asked again in parts.
    Split(Backoff),
    /// `fatal`: it makes no sense to ask again. `sent`: the database may have looked at it.
    Failed { fatal: bool, sent: bool },
}

impl<B: LeaseBackend> Leases<B> {
    /// Takes in what became of a job.
    pub(super) fn finish(&mut self, done: Done<B::Connection>) {
        self.line = Line::Idle(done.session);
        self.news |= std::mem::take(&mut self.in_doubt);
        self.renewing = false;
        match done.result {
            Ok(()) => {
                self.trouble = None;
                self.pause = FIRST_PAUSE;
                let sent = done.sent.unwrap_or_else(Sent::now);
                self.answered = self.answered.max(sent.at);
                self.answered(done.job, sent);
            }
            Err(Failure::Busy(error)) => {
                self.trouble = Some(error);
                let now = Instant::now();
                self.not_before = now + about(BUSY);
                let rows = self.backend.has_busy_rows();
                let backoff = self.batch_size(&done.job).filter(|_| rows).map(|p| p.busy(now));
                let backoff = backoff.unwrap_or_default();
                self.unanswered(done.job, Why::Busy(backoff));
            }
            Err(Failure::Failed(error)) if self.is_to_be_split(&error, &done.job, done.sent) => {
                self.trouble = Some(error);
                let now = Instant::now();
                self.not_before = now;
                let backoff = self.batch_size(&done.job).map(|batch_size| batch_size.busy(now));
                self.unanswered(done.job, Why::Split(backoff.unwrap_or_default()));
            }
            Err(Failure::Failed(error)) => {
                let fatal = !error.is_retryable();
                self.not_before = Instant::now();
                // Of what was refused alone, others need not pay the price.
                if !fatal || done.sent.is_none() || self.failed_alone >= FAILURES_IN_A_ROW_MAX {
                    self.not_before += about(self.pause);
                    self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                }
                self.trouble = Some(error);
                self.unanswered(done.job, Why::Failed { fatal, sent: done.sent.is_some() });
            }
        }
    }

    /// Whether the database has an answer to one part of this that it does not have to the others.
    fn is_to_be_split(&mut self, error: &Error, job: &Job, sent: Option<Sent>) -> bool {
        if error.is_retryable() || sent.is_none() {
            return false;
        }
        let (takes, all) = match job {
            Job::Apply { releases, takes, .. } => (takes.len(), releases.len() + takes.len()),
            Job::Renew { leases, .. } => (0, leases.len()),
            Job::Ask { .. } => return false,
        };
        if all == 1 {
            self.failed_alone += 1;
            if self.failed_alone == FAILURES_IN_A_ROW_MAX {
                // The rest is to fail as a whole.
                (self.applies, self.renewals) = (BatchSize::new(), BatchSize::new());
            }
        }
        // When many fail alone, one after the other, it is not about them. A take that is alone
        // has failed; what is to be given back or renewed is asked for again until it has run out.
        self.failed_alone < FAILURES_IN_A_ROW_MAX && (all > 1 || takes == 0)
    }

    /// What looks after how much goes out with such a job.
    fn batch_size(&mut self, job: &Job) -> Option<&mut BatchSize> {
        match job {
            Job::Apply { .. } => Some(&mut self.applies),
            Job::Renew { .. } => Some(&mut self.renewals),
            Job::Ask { .. } => None,
        }
    }

    fn answered(&mut self, job: Job, sent: Sent) {
        if let Some(batch_size) = self.batch_size(&job) {
            batch_size.answered();
            self.failed_alone = 0;
        }
        match job {
            Job::Apply { takes, outcomes: Outcomes { released, taken }, .. } => {
                let releasing = std::mem::take(&mut self.releasing);
                for (index, release) in releasing.into_iter().enumerate() {
                    let clean = released.get(index).copied().unwrap_or(false);
                    self.released(release, clean);
                }
                for (index, lease) in takes.into_iter().enumerate() {
                    let taken = taken.get(index).copied().unwrap_or(Taken::Held(None));
                    if !self.handed(&lease, taken, sent) {
                        match taken {
                            Taken::Granted(fence) => self.granted(lease, fence, sent),
                            Taken::Held(long) => self.refused(&lease, long, sent),
                        }
                    }
                }
            }
            Job::Renew { leases, renewed } => {
                self.telemetry.emit(&observe::Event::Renewed { took: sent.at.elapsed() });
                for (index, lease) in leases.into_iter().enumerate() {
                    self.renewed(&lease, renewed.get(index).copied().unwrap_or(false), sent);
                }
            }
            Job::Ask { question: None, lost: Some(lease) } => {
                if self.has(&lease) {
                    self.lose(&lease, LostReason::NotHeld);
                }
            }
            Job::Ask { question: Some(Question::OwnLease(own)), .. } => self.owned(*own, sent),
            Job::Ask { question, .. } => self.ask_later(question),
        }
    }

    /// Has the rest of it done when it is its turn again.
    fn ask_later(&mut self, question: Option<Question>) {
        self.questions.extend(question.filter(Question::goes_on));
    }

    fn unanswered(&mut self, job: Job, why: Why) {
        match job {
            Job::Apply { takes, .. } => {
                let asked = self.releasing.drain(..);
                let asked = asked.filter(|release| release.what != What::HandOver);
                self.releases.extend(asked.map(|release| match why {
                    Why::Busy(backoff) | Why::Split(backoff) => Release { backoff, ..release },
                    Why::Failed { .. } => release,
                }));
                // Their validity was not watched meanwhile.
                self.lapses_in(Duration::ZERO);
                for lease in takes {
                    if !self.unhanded(&lease, why) {
                        self.untaken(lease, why);
                    }
                }
            }
            Job::Renew { leases, .. } => {
                leases.iter().for_each(|lease| self.unrenewed(lease, why));
            }
            Job::Ask { question: Some(Question::Held(lease, reply)), .. } => {
                self.ask_to_check(lease, reply);
            }
            Job::Ask { question, .. } if matches!(why, Why::Busy(_)) => self.ask_later(question),
            Job::Ask { question: Some(Question::OwnLease(own)), .. } => {
                self.unowned(*own, matches!(why, Why::Failed { sent: true, .. }));
            }
            Job::Ask { question, .. } => {
                let error = self.trouble.clone();
                question.into_iter().zip(error).for_each(|(question, error)| question.fail(error));
            }
        }
    }

    fn granted(&mut self, lease: Lease, fence: Option<u64>, sent: Sent) {
        let validity = Arc::new(sent.validity(lease.lasts));
        let lease = Lease { fence, ..lease };
        let Some(ask) = self.asks.remove(&lease) else {
            return self.add_cleanup(lease);
        };
        let ticket = ask.ticket;
        let key = lease.key.clone();
        let now = Time::now();
        if !validity.is_valid_at(now) {
            let key = LockId::exclusive(key);
            self.report(Event::Failed { key, ticket, fatal: false }, LostReason::Unconfirmed);
            return self.add_cleanup(lease);
        }
        self.lapses_in(validity.remaining(now));
        // One that was adopted: its row has just been free, so it is lost.
        if let Some(before) = self.held.get(&key).map(|grant| grant.lease.clone()) {
            self.lose(&before, LostReason::NotHeld);
        }
        let grant = LeaseGrant {
            ticket,
            lease,
            resolved: ask.resolved,
            validity,
            since: now,
            granted: now,
            used: false,
            due: false,
            renew_at: None,
            backoff: Backoff::default(),
            handoff: None,
        };
        self.held.insert(key.clone(), grant);
        self.schedule(&key);
        self.report(Event::Granted { key: LockId::exclusive(key), ticket }, LostReason::NotHeld);
    }

    fn refused(&mut self, lease: &Lease, long: Option<Duration>, sent: Sent) {
        let ask = self.asks.remove(lease);
        let Some(ask) = ask.and_then(|ask| self.asks.refused(ask, long, sent.at)) else {
            return;
        };
        let (key, ticket) = (LockId::exclusive(ask.lease.key), ask.ticket);
        let event = match ask.cancelled {
            true => Event::Ended { key, ticket },
            false => Event::Refused { key, ticket },
        };
        self.report(event, LostReason::NotHeld);
    }

    fn untaken(&mut self, lease: Lease, why: Why) {
        let ask = self.asks.remove(&lease);
        let goes_on = matches!(why, Why::Split(_)) && ask.as_ref().is_some_and(|a| !a.cancelled);
        if matches!(why, Why::Failed { sent: true, .. } | Why::Split(_)) && !goes_on {
            self.add_cleanup(lease.clone());
        }
        let Some(ask) = ask else { return };
        let (key, ticket) = (LockId::exclusive(lease.key), ask.ticket);
        let event = match why {
            _ if ask.cancelled => Event::Ended { key, ticket },
            Why::Busy(backoff) | Why::Split(backoff) => return self.asks.put_back(ask, backoff),
            Why::Failed { fatal, .. } => Event::Failed { key, ticket, fatal },
        };
        self.report(event, LostReason::NotHeld);
    }

    fn released(&mut self, release: Release, clean: bool) {
        release.settles.into_iter().for_each(|settling| settling.confirm(clean));
        let What::Asked(ticket) = release.what else {
            // Nobody waits for it but perhaps the end of the program.
            self.news = true;
            return;
        };
        let key = release.lease.key;
        self.asks.released(&key);
        let key = LockId::exclusive(key);
        self.report(Event::Unlocked { key, ticket, clean }, LostReason::NotHeld);
    }

    fn unrenewed(&mut self, lease: &Lease, why: Why) {
        let Some(grant) = self.held.get_mut(&lease.key) else {
            return;
        };
        let mut at = Instant::now();
        if let Why::Busy(backoff) | Why::Split(backoff) = why {
            grant.backoff = backoff;
            at = backoff.at().unwrap_or(at);
        }
        grant.renew_at = Some(at);
        self.renew_at = Some(self.renew_at.map_or(at, |next| next.min(at)));
    }

    fn renewed(&mut self, lease: &Lease, renewed: bool, sent: Sent) {
        let Some(grant) = self.held.get_mut(&lease.key) else {
            return;
        };
        if !grant.lease.is_grant_of(lease) {
            return;
        }
        if !renewed {
            if grant.validity.is_valid_at(Time::now()) {
                // Somebody has taken it, or the database's clock was set forward: then others may
                // have the other rows too, and their holders are not to wait for their turn.
                self.renew_all();
            }
            self.lose(lease, LostReason::NotHeld);
        } else if grant.validity.is_valid_at(Time::now()) {
            grant.validity.extend(sent.at.after(lease.lasts));
            if let Some(wall) = sent.wall {
                grant.validity.follow(wall.after(lease.lasts));
            }
            grant.lease.lasts = lease.lasts;
            grant.due = false;
            grant.backoff = Backoff::default();
            self.news = true;
        } else {
            self.lose(lease, LostReason::Unconfirmed);
        }
    }
}
