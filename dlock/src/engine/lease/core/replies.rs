//! What the database's answers, and their absence, lead to.

use std::time::Duration;

use super::action::{Answer, Done, Found, Job, LeaseAction, Question, QuestionId, Settled};
use super::batch_size::Backoff;
use super::grant::LeaseGrant;
use super::health::Why;
use super::now::{Now, Sent};
use super::releases::{Release, What};
use super::{LeaseCore, report};
use crate::backend::lease::{Failure, Lease, Outcomes, Taken};
use crate::engine::lock_table::Event;
use crate::error::Error;
use crate::spec::lock_id::LockId;
use crate::spec::native::NativeKey;
use crate::status::lost::LostReason;

impl LeaseCore {
    /// Takes in what became of the job that was sent.
    pub fn finish(&mut self, done: Done, now: Now, out: &mut Vec<LeaseAction>) {
        let Done { job, sent, result, wanted } = done;
        self.busy = false;
        self.renewals.over();
        if self.health.settle_doubt() {
            out.push(LeaseAction::Look);
        }
        let error = match result {
            Ok(()) => {
                let sent = sent.unwrap_or(Sent { at: now.time, wall: None });
                self.health.answers(sent.at);
                return self.answered(job, wanted, (sent, now), out);
            }
            Err(error) => error,
        };
        let why = match error {
            Failure::Busy(error) => {
                self.health.busy(error, now, &mut self.rng);
                let backoff = if self.busy_rows { self.fared(&job, now) } else { None };
                Why::Busy(backoff.unwrap_or_default())
            }
            Failure::Failed(error) if self.is_to_be_split(&error, &job, sent, now) => {
                self.health.split(error, now);
                Why::Split(self.fared(&job, now).unwrap_or_default())
            }
            Failure::Failed(error) => {
                let fatal = !error.is_retryable();
                let alone = fatal && sent.is_some();
                self.health.failed(error, alone, now, &mut self.rng);
                Why::Failed { fatal, sent: sent.is_some() }
            }
        };
        self.unanswered(job, wanted, (why, now), out);
    }

    /// Whether the database has an answer to one part of this that it does not have to the others.
    fn is_to_be_split(&mut self, error: &Error, job: &Job, sent: Option<Sent>, now: Now) -> bool {
        if error.is_retryable() || sent.is_none() {
            return false;
        }
        let (takes, all) = match job {
            Job::Apply { releases, takes, .. } => (takes.len(), releases.len() + takes.len()),
            Job::Renew { leases, .. } => (0, leases.len()),
            Job::Ask { .. } => return false,
        };
        if all == 1 && self.health.refused_alone() {
            // The rest is to fail as a whole.
            self.applies.together(now.timer);
            self.renewals.together(now);
        }
        // A take that is alone has failed; what is to be given back or renewed is asked for again
        // until it has run out.
        !self.health.refuses_all() && (all > 1 || takes == 0)
    }

    /// What went out with this job was busy, or refused.
    fn fared(&mut self, job: &Job, now: Now) -> Option<Backoff> {
        match job {
            Job::Apply { .. } => Some(self.applies.busy(now.timer)),
            Job::Renew { .. } => Some(self.renewals.busy(now)),
            Job::Ask { .. } => None,
        }
    }

    fn answered(
        &mut self,
        job: Job,
        wanted: bool,
        (sent, now): (Sent, Now),
        out: &mut Vec<LeaseAction>,
    ) {
        match job {
            Job::Apply { takes, outcomes: Outcomes { released, taken }, .. } => {
                self.applies.answered();
                self.health.took_batch();
                for (index, release) in self.releases.answered().into_iter().enumerate() {
                    let clean = released.get(index).copied().unwrap_or(false);
                    self.released(release, clean, now, out);
                }
                for (index, lease) in takes.into_iter().enumerate() {
                    let taken = taken.get(index).copied().unwrap_or(Taken::Held(None));
                    self.took(lease, taken, (sent, now), out);
                }
            }
            Job::Renew { leases, renewed } => {
                self.renewals.answered();
                self.health.took_batch();
                for (index, lease) in leases.into_iter().enumerate() {
                    let renewed = renewed.get(index).copied().unwrap_or(false);
                    self.renewed(&lease, renewed, (sent, now), out);
                }
            }
            Job::Ask { id, question: Question::Own(own), found } => {
                let taken = if let Found::Own(taken) = found { Some(taken) } else { None };
                self.owned((id, *own, taken), wanted, (sent, now), out);
            }
            Job::Ask { id, question: Question::Held(lease), found } => {
                let held = found == Found::Held(true);
                out.push(LeaseAction::Answer { id, answer: Answer::Held(held) });
                if !held && self.held.has(&lease) {
                    self.lose(&lease, LostReason::NotHeld, now, out);
                }
            }
            Job::Ask { id, question, found: Found::Part } => self.ask_later(id, question, wanted),
            Job::Ask { .. } => {}
        }
    }

    /// Has it asked, or the rest of it, when it is its turn again.
    fn ask_later(&mut self, id: QuestionId, question: Question, wanted: bool) {
        if wanted {
            self.questions.add(id, question);
        }
    }

    fn unanswered(
        &mut self,
        job: Job,
        wanted: bool,
        (why, now): (Why, Now),
        out: &mut Vec<LeaseAction>,
    ) {
        match job {
            Job::Apply { takes, .. } => {
                self.releases.unanswered(why.backoff());
                // Their validity was not watched meanwhile.
                self.expiry.lapses_in(Duration::ZERO, now);
                for lease in takes {
                    if !self.unhanded(&lease, why, now, out) {
                        self.untaken(lease, why, now, out);
                    }
                }
            }
            Job::Renew { leases, .. } => {
                leases.iter().for_each(|lease| self.unrenewed(lease, why, now));
            }
            Job::Ask { id, question: Question::Held(lease), .. } => {
                self.ask_to_check(id, lease, wanted, out);
            }
            Job::Ask { id, question, .. } if matches!(why, Why::Busy(_)) => {
                self.ask_later(id, question, wanted);
            }
            Job::Ask { id, question: Question::Own(own), .. } => {
                let sent = matches!(why, Why::Failed { sent: true, .. });
                let error = self.health.trouble().cloned();
                self.unowned(id, *own, (sent, error), now, out);
            }
            Job::Ask { id, .. } => {
                let answer = self.health.trouble().cloned().map(Answer::Failed);
                out.extend(answer.map(|answer| LeaseAction::Answer { id, answer }));
            }
        }
    }

    /// What became of a take: of a handoff, or of an ask.
    fn took(
        &mut self,
        lease: Lease,
        taken: Taken,
        (sent, now): (Sent, Now),
        out: &mut Vec<LeaseAction>,
    ) {
        let handed = self.held.get_mut(&lease.key);
        let handed = handed.filter(|grant| grant.handoff().is_some_and(|next| next.is_of(&lease)));
        match (handed, taken) {
            (Some(grant), Taken::Granted(fence)) => {
                let unlock = grant.handed(&lease, fence, sent, now);
                let left = grant.validity().remaining(now.time);
                self.expiry.lapses_in(left, now);
                self.schedule(&lease.key, now);
                out.push(LeaseAction::Look);
                if let Some(ticket) = unlock {
                    self.unlock(&lease.key, ticket, now, out);
                }
            }
            (Some(_), Taken::Held(_)) => self.lose(&lease, LostReason::NotHeld, now, out),
            (None, Taken::Granted(fence)) => self.granted(lease, fence, (sent, now), out),
            (None, Taken::Held(long)) => self.refused(&lease, long, (sent, now), out),
        }
    }

    fn granted(
        &mut self,
        lease: Lease,
        fence: Option<u64>,
        (sent, now): (Sent, Now),
        out: &mut Vec<LeaseAction>,
    ) {
        let validity = sent.validity(lease.lasts);
        let lease = Lease { fence, ..lease };
        let Some(ask) = self.polling.remove(&lease) else {
            return self.add_cleanup(lease, now);
        };
        let (key, ticket) = (LockId::exclusive(lease.key.clone()), ask.ticket());
        if !now.is_in(&validity) {
            report(Event::Failed { key, ticket, fatal: false }, LostReason::Unconfirmed, out);
            return self.add_cleanup(lease, now);
        }
        let resolved = ask.into_options();
        self.begin(LeaseGrant::new(ticket, lease, resolved, validity, now.time), now, out);
        report(Event::Granted { key, ticket }, LostReason::NotHeld, out);
    }

    /// This is held from now on.
    pub(super) fn begin(&mut self, mut grant: LeaseGrant, now: Now, out: &mut Vec<LeaseAction>) {
        self.expiry.lapses_in(grant.validity().remaining(now.time), now);
        // One that was adopted, or is: its row has just been free, so it is lost.
        if let Some(before) = self.held.get(&grant.lease().key).map(|grant| grant.lease().clone()) {
            self.lose(&before, LostReason::NotHeld, now, out);
        }
        self.renewals.at(grant.schedule(now));
        self.held.insert(grant);
    }

    fn refused(
        &mut self,
        lease: &Lease,
        long: Option<Duration>,
        (sent, now): (Sent, Now),
        out: &mut Vec<LeaseAction>,
    ) {
        let Some(ask) = self.polling.remove(lease) else { return };
        let Some(ask) = self.polling.refused(ask, long, sent.at, (now.timer, &mut self.rng)) else {
            return;
        };
        let (key, ticket) = (LockId::exclusive(lease.key.clone()), ask.ticket());
        let event = match ask.is_cancelled() {
            true => Event::Ended { key, ticket },
            false => Event::Refused { key, ticket },
        };
        report(event, LostReason::NotHeld, out);
    }

    fn untaken(&mut self, lease: Lease, why: Why, now: Now, out: &mut Vec<LeaseAction>) {
        let ask = self.polling.remove(&lease);
        let goes_on =
            matches!(why, Why::Split(_)) && ask.as_ref().is_some_and(|a| !a.is_cancelled());
        if matches!(why, Why::Failed { sent: true, .. } | Why::Split(_)) && !goes_on {
            self.add_cleanup(lease.clone(), now);
        }
        let Some(ask) = ask else { return };
        let (key, ticket) = (LockId::exclusive(lease.key), ask.ticket());
        let event = match why {
            _ if ask.is_cancelled() => Event::Ended { key, ticket },
            Why::Busy(backoff) | Why::Split(backoff) => return self.polling.put_back(ask, backoff),
            Why::Failed { fatal, .. } => Event::Failed { key, ticket, fatal },
        };
        report(event, LostReason::NotHeld, out);
    }

    /// A take that was of a handoff has no answer.
    fn unhanded(&mut self, lease: &Lease, why: Why, now: Now, out: &mut Vec<LeaseAction>) -> bool {
        let handoff = self.held.get_mut(&lease.key).and_then(|grant| grant.handoff_of(lease));
        let Some(handoff) = handoff else { return false };
        let unlock = handoff.unanswered(why);
        self.held.has_handoff();
        if let Some(ticket) = unlock {
            self.unlock(&lease.key, ticket, now, out);
        }
        true
    }

    fn released(&mut self, release: Release, clean: bool, now: Now, out: &mut Vec<LeaseAction>) {
        let settled = if clean { Settled::Confirmed } else { Settled::NotHeld };
        out.extend(release.settles().map(|hold| LeaseAction::Settle { hold, settled }));
        let What::Asked(ticket) = release.what() else {
            // Nobody waits for it but perhaps the end of the program.
            out.push(LeaseAction::Look);
            return;
        };
        let key = release.into_lease().key;
        self.polling.released(&key, now.timer);
        let key = LockId::exclusive(key);
        report(Event::Unlocked { key, ticket, clean }, LostReason::NotHeld, out);
    }

    fn unrenewed(&mut self, lease: &Lease, why: Why, now: Now) {
        if let Some(grant) = self.held.get_mut(&lease.key) {
            let at = grant.unrenewed(why.backoff(), now);
            self.renewals.at(Some(at));
        }
    }

    fn renewed(
        &mut self,
        lease: &Lease,
        renewed: bool,
        (sent, now): (Sent, Now),
        out: &mut Vec<LeaseAction>,
    ) {
        let Some(grant) = self.held.grant_of(lease) else {
            return;
        };
        let is_valid = now.is_in(grant.validity());
        if renewed && is_valid {
            grant.renewed(lease, sent);
            out.push(LeaseAction::Look);
            return;
        }
        if !renewed && is_valid {
            // Somebody has taken it, or the database's clock was set forward: then others may
            // have the other rows too, and their holders are not to wait for their turn.
            self.renew_all(now);
        }
        let reason = if renewed { LostReason::Unconfirmed } else { LostReason::NotHeld };
        self.lose(lease, reason, now, out);
    }

    /// Gives a lease back.
    pub fn unlock(&mut self, key: &NativeKey, ticket: u64, now: Now, out: &mut Vec<LeaseAction>) {
        let Some(grant) = self.held.get_mut(key) else {
            // Lost, and the table does not know it yet.
            let key = LockId::exclusive(key.clone());
            let event = Event::Unlocked { key, ticket, clean: false };
            return report(event, LostReason::NotHeld, out);
        };
        if grant.unlock_later(ticket) {
            return;
        }
        if let Some(grant) = self.held.remove(key) {
            let (lease, perhaps) = grant.releases(false, now);
            let row_lasts = grant.row_lasts();
            perhaps.into_iter().for_each(|lease| self.add_cleanup_of(lease, row_lasts, now));
            let validity = (grant.validity(), row_lasts);
            let release = Release::new(lease, What::Asked(ticket), validity);
            self.releases.add(release);
        }
    }
}
