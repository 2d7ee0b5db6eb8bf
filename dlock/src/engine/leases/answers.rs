//! What the database's answers, and their absence, lead to.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::asks::about;
use super::grant::Grant;
use super::job::{Done, Job, Question, Sent};
use super::line::Line;
use super::{BUSY, Leases, Release, What};
use crate::backend::lease::{Failure, Lease, LeaseBackend, Taken, Verdicts};
use crate::claim::Claim;
use crate::clock::Time;
use crate::engine::table::Event;
use crate::lost::LostReason;

/// The pauses between attempts to reach a database that cannot be reached.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A question that the database may or may not have looked at.
#[derive(Clone, Copy)]
struct Failed {
    /// It makes no sense to ask again.
    fatal: bool,
    /// It may have.
    sent: bool,
}

impl<B: LeaseBackend> Leases<B> {
    /// Takes in what became of a job.
    pub(super) fn finish(&mut self, done: Done<B::Connection>) {
        self.line = Line::Idle(done.connection);
        self.renewing = false;
        match done.result {
            Ok(()) => {
                self.trouble = None;
                self.pause = FIRST_PAUSE;
                self.answered(done.job, done.sent.unwrap_or_else(Sent::now));
            }
            Err(Failure::Busy(error)) => {
                self.trouble = Some(error);
                self.not_before = Instant::now() + about(BUSY);
                self.unanswered(done.job, None);
            }
            Err(Failure::Failed(error)) => {
                self.not_before = Instant::now() + about(self.pause);
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                let fatal = !error.is_retryable();
                self.trouble = Some(error);
                self.unanswered(done.job, Some(Failed { fatal, sent: done.sent.is_some() }));
            }
        }
    }

    fn answered(&mut self, job: Job, sent: Sent) {
        match job {
            Job::Apply { takes, verdicts: Verdicts { released, taken }, .. } => {
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
                            Taken::Held(long) => self.refused(&lease, long),
                        }
                    }
                }
            }
            Job::Renew { leases, renewed } => {
                for (index, lease) in leases.into_iter().enumerate() {
                    self.renewed(&lease, renewed.get(index).copied().unwrap_or(false), sent);
                }
            }
            Job::Ask { question: None, lost: Some(lease) } => {
                self.lose(&lease, LostReason::NotHeld);
            }
            Job::Ask { .. } => {}
        }
    }

    /// There is no answer: `failed` if it is not even known whether anything was done.
    fn unanswered(&mut self, job: Job, failed: Option<Failed>) {
        match job {
            Job::Apply { takes, .. } => {
                let asked = self.releasing.drain(..);
                self.releases.extend(asked.filter(|release| release.what != What::HandOver));
                // Their words were not looked after meanwhile.
                self.lapses_in(Duration::ZERO);
                for lease in takes {
                    let sent = failed.is_some_and(|failed| failed.sent);
                    if !self.unhanded(&lease, sent) {
                        self.untaken(lease, failed);
                    }
                }
            }
            Job::Renew { .. } => self.renew_at = Some(Instant::now()),
            Job::Ask { question: Some(Question::Held(lease, reply)), .. } => {
                self.ask_to_check(lease, reply);
            }
            Job::Ask { question: Some(question), .. } if failed.is_none() => {
                self.questions.push_back(question);
            }
            Job::Ask { question, .. } => {
                let error = self.trouble.clone();
                question.into_iter().zip(error).for_each(|(question, error)| question.fail(error));
            }
        }
    }

    fn granted(&mut self, lease: Lease, fence: Option<u64>, sent: Sent) {
        let word = Arc::new(sent.word(lease.lasts));
        let lease = Lease { fence, ..lease };
        let Some(ask) = self.asks.remove(&lease) else {
            return self.owe(lease);
        };
        let ticket = ask.ticket;
        let key = lease.key.clone();
        let now = Time::now();
        if !word.good_at(now) {
            let key = Claim::exclusive(key);
            self.report(Event::Failed { key, ticket, fatal: false }, LostReason::Unconfirmed);
            return self.owe(lease);
        }
        self.lapses_in(word.left(now));
        let grant = Grant {
            ticket,
            lease,
            agreed: ask.agreed,
            word,
            since: now,
            granted: now,
            used: false,
            due: false,
            handing: None,
        };
        self.held.insert(key.clone(), grant);
        self.schedule(&key);
        self.report(Event::Granted { key: Claim::exclusive(key), ticket }, LostReason::NotHeld);
    }

    fn refused(&mut self, lease: &Lease, long: Option<Duration>) {
        let ask = self.asks.remove(lease);
        let Some(ask) = ask.and_then(|ask| self.asks.refused(ask, long)) else {
            return;
        };
        let (key, ticket) = (Claim::exclusive(ask.lease.key), ask.ticket);
        let event = match ask.cancelled {
            true => Event::Ended { key, ticket },
            false => Event::Refused { key, ticket },
        };
        self.report(event, LostReason::NotHeld);
    }

    fn untaken(&mut self, lease: Lease, failed: Option<Failed>) {
        if failed.is_some_and(|failed| failed.sent) {
            self.owe(lease.clone());
        }
        let Some(ask) = self.asks.remove(&lease) else {
            return;
        };
        let (key, ticket) = (Claim::exclusive(lease.key), ask.ticket);
        let event = match failed {
            _ if ask.cancelled => Event::Ended { key, ticket },
            None => return self.asks.put_back(ask),
            Some(Failed { fatal, .. }) => Event::Failed { key, ticket, fatal },
        };
        self.report(event, LostReason::NotHeld);
    }

    fn released(&mut self, release: Release, clean: bool) {
        let What::Asked(ticket) = release.what else {
            return;
        };
        let key = release.lease.key;
        self.asks.released(&key);
        let key = Claim::exclusive(key);
        self.report(Event::Unlocked { key, ticket, clean }, LostReason::NotHeld);
    }

    fn renewed(&mut self, lease: &Lease, renewed: bool, sent: Sent) {
        let Some(grant) = self.held.get_mut(&lease.key) else {
            return;
        };
        if !grant.lease.is_of(lease) || grant.lease.fence != lease.fence {
            return;
        }
        if !renewed {
            self.lose(lease, LostReason::NotHeld);
        } else if grant.word.good_at(Time::now()) {
            grant.word.extend(sent.at.after(lease.lasts));
            if let Some(wall) = sent.wall {
                grant.word.follow(wall.after(lease.lasts));
            }
            grant.lease.lasts = lease.lasts;
            grant.due = false;
            self.news = true;
        } else {
            self.lose(lease, LostReason::Unconfirmed);
        }
    }
}
