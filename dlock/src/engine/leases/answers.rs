//! What the database's answers, and their absence, lead to.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::asks::about;
use super::job::{Done, Job, Question};
use super::line::Line;
use super::{BUSY, Grant, Leases, Release};
use crate::backend::lease::{Failure, Lease, LeaseBackend, Verdicts};
use crate::claim::Claim;
use crate::clock::{Time, Word};
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
                self.answered(done.job, done.sent.unwrap_or_else(Time::now));
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

    fn answered(&mut self, job: Job, sent: Time) {
        match job {
            Job::Apply { takes, verdicts: Verdicts { released, taken }, .. } => {
                let releasing = std::mem::take(&mut self.releasing);
                for (index, release) in releasing.into_iter().enumerate() {
                    let clean = released.get(index).copied().unwrap_or(false);
                    self.released(release, clean);
                }
                for (index, lease) in takes.into_iter().enumerate() {
                    match taken.get(index).copied().flatten() {
                        Some(fence) => self.granted(lease, fence, sent),
                        None => self.refused(&lease),
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
                self.releases.append(&mut self.releasing);
                // Their words were not looked after meanwhile.
                self.lapses_in(Duration::ZERO);
                for lease in takes {
                    self.untaken(lease, failed);
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

    fn granted(&mut self, lease: Lease, fence: u64, sent: Time) {
        let word = Arc::new(Word::until(sent.after(self.ttl)));
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
        self.renew_at.get_or_insert_with(|| Instant::now() + self.ttl / 3);
        let grant = Grant { ticket, owner: lease.owner, word, fence, since: now };
        self.held.insert(lease.key, grant);
        self.report(Event::Granted { key: Claim::exclusive(key), ticket }, LostReason::NotHeld);
    }

    fn refused(&mut self, lease: &Lease) {
        let ask = self.asks.remove(lease);
        let Some(ask) = ask.and_then(|ask| self.asks.refused(ask)) else {
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
        let Some(ticket) = release.ticket else { return };
        let key = release.lease.key;
        self.asks.released(&key);
        let key = Claim::exclusive(key);
        self.report(Event::Unlocked { key, ticket, clean }, LostReason::NotHeld);
    }

    fn renewed(&mut self, lease: &Lease, renewed: bool, sent: Time) {
        let Some(grant) = self.held.get(&lease.key) else {
            return;
        };
        if grant.owner != lease.owner {
            return;
        }
        if !renewed {
            self.lose(lease, LostReason::NotHeld);
        } else if grant.word.good_at(Time::now()) {
            grant.word.extend(sent.after(self.ttl));
        } else {
            self.lose(lease, LostReason::Unconfirmed);
        }
    }
}
