//! The one connection: what goes out on it, and when.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::batch_size::Backoff;
use super::grant::{ENOUGH, LeaseGrant};
use super::job::{Done, Job, Session, carry_out};
use super::{Leases, Release};
use crate::backend::lease::{Lease, LeaseBackend, Outcomes};
use crate::clock::Time;
use crate::engine::unwind::catch_panic;
use crate::spec::native::NativeKey;

/// The connection, or the job that has it.
pub(super) enum Line<C> {
    Idle(Option<Session<C>>),
    Busy(Pin<Box<dyn Future<Output = Done<C>> + Send>>),
}

impl<C> Line<C> {
    /// Ends with the job that is on its way. Cancel-safe: the job stays where it is.
    pub(super) async fn done(&mut self) -> Done<C> {
        match self {
            Line::Busy(job) => {
                let done = job.await;
                *self = Line::Idle(None);
                done
            }
            Line::Idle(_) => pending().await,
        }
    }
}

impl<C> Line<C> {
    /// Ends with the job that is on its way; without one, when what is polled may have changed.
    /// Cancel-safe.
    pub(super) async fn validity<B>(&mut self, backend: &B, polled: bool) -> Option<Done<C>>
    where
        B: LeaseBackend<Connection = C>,
    {
        match self {
            Line::Busy(_) => Some(self.done().await),
            Line::Idle(Some(session)) if polled => {
                if catch_panic(backend.changed(&mut session.connection)).await.is_err() {
                    // In doubt: the next job opens another one.
                    *self = Line::Idle(None);
                }
                None
            }
            Line::Idle(_) => pending().await,
        }
    }
}

impl<B: LeaseBackend> Leases<B> {
    /// When there is something to do that no answer brings.
    pub(super) fn engine_deadline(&self) -> Option<Instant> {
        let work = match self.line {
            // There is nothing to do then yet. But a timer that is earlier than all others wakes the
            // thread that sets it: this one is not to be the first again with every answer.
            Line::Busy(_) => self.renew_at.filter(|at| *at > Instant::now()),
            Line::Idle(_) if !self.questions.is_empty() => Some(self.not_before),
            Line::Idle(_) => {
                let at = |backoff: Backoff| backoff.at().unwrap_or(self.not_before);
                let releases = self.releases.iter().map(|release| at(release.backoff)).min();
                let handoffs_due = self.handoffs_due().map(|handoff| at(handoff.backoff)).min();
                let next = [self.renew_at, self.asks.next(), releases, handoffs_due];
                let next = next.into_iter().flatten().min();
                next.map(|next| next.max(self.not_before))
            }
        };
        [work, self.lapse_at].into_iter().flatten().min()
    }

    /// Sends what is due, unless the line is busy.
    pub(super) fn send(&mut self) {
        let now = Instant::now();
        let Line::Idle(session) = &mut self.line else {
            return;
        };
        let session = session.take();
        let job = if now < self.not_before { None } else { self.next_job(now) };
        self.line = match job {
            Some(job) => {
                let longest = self.patience(&job);
                let (backend, telemetry) = (Arc::clone(&self.backend), Arc::clone(&self.telemetry));
                Line::Busy(Box::pin(carry_out(backend, telemetry, session, job, longest)))
            }
            None => Line::Idle(session),
        };
    }

    /// How long this job may take: an answer that comes when what it grants has run out is worth
    /// nothing, and a renewal without an answer must be asked for again in time.
    fn patience(&self, job: &Job) -> Duration {
        let renewing = self.held.values().filter_map(LeaseGrant::patience);
        let takes: &[_] = if let Job::Apply { takes, .. } = job { takes } else { &[] };
        let taking = takes.iter().map(|lease| lease.lasts).max();
        renewing.chain(taking.map(|time| time.max(ENOUGH))).min().unwrap_or(Duration::MAX)
    }

    /// Sees to it that this one is renewed in time.
    pub(super) fn schedule(&mut self, key: &NativeKey) {
        let Some(grant) = self.held.get_mut(key) else {
            return;
        };
        let now = Instant::now();
        grant.renew_at = if grant.due { Some(now) } else { grant.next_renewal(now) };
        self.renew_at = self.renew_at.into_iter().chain(grant.renew_at).min();
    }

    /// Has all that is held renewed now.
    pub(super) fn renew_all(&mut self) {
        let now = Instant::now();
        for grant in self.held.values_mut().filter(|grant| grant.renew_at.is_some()) {
            grant.renew_at = Some(now);
            self.renew_at = Some(now);
        }
    }

    fn next_job(&mut self, now: Instant) -> Option<Job> {
        self.next_renewals(now).or_else(|| self.next_question()).or_else(|| self.next_apply(now))
    }

    fn next_renewals(&mut self, now: Instant) -> Option<Job> {
        self.renew_at.filter(|at| *at <= now)?;
        // The machine may have been suspended, which the timers do not know.
        self.lapse_at = Some(now);
        let time = Time::now();
        let held = self.held.values().filter(|grant| grant.validity.is_valid_at(time));
        let mut wanted: Vec<_> = held.filter(|grant| grant.wants_renewal(now)).collect();
        let chosen = self.renewals.choose(now, &mut wanted, |grant| grant.backoff);
        let mut leases: Vec<_> = chosen.into_iter().map(LeaseGrant::renewal).collect();
        for lease in &leases {
            if let Some(grant) = self.held.get_mut(&lease.key) {
                grant.renew_at = grant.next_renewal(now);
            }
        }
        let held = self.held.values().filter(|grant| grant.handoff.is_none());
        let next = held
            .filter(|grant| grant.validity.is_valid_at(time))
            .filter_map(|grant| grant.renew_at);
        self.renew_at = next.min();
        if leases.is_empty() {
            return None;
        }
        self.renewing = true;
        leases.sort_by(|a, b| a.key.cmp(&b.key));
        Some(Job::Renew { leases, renewed: Vec::new() })
    }

    fn next_question(&mut self) -> Option<Job> {
        // After a question the others have their turn.
        if std::mem::take(&mut self.asked) {
            return None;
        }
        let question = self.questions.pop_front()?;
        self.asked = true;
        Some(Job::Ask { question: Some(question), lost: None })
    }

    fn next_apply(&mut self, now: Instant) -> Option<Job> {
        let mut wanted: Vec<_> = self.releases.drain(..).map(Wanted::Release).collect();
        wanted.extend(self.asks.due(now).map(|ask| Wanted::Ask(ask.lease.clone(), ask.backoff)));
        wanted.extend(
            self.handoffs_due()
                .map(|handoff| Wanted::Handoff(handoff.lease.key.clone(), handoff.backoff)),
        );
        self.applies.limit(self.backend.most());
        let chosen = self.applies.choose(now, &mut wanted, Wanted::backoff);
        let left = wanted.into_iter().filter_map(Wanted::into_release);
        self.releases.extend(left);
        let mut takes = Vec::new();
        for wanted in chosen {
            match wanted {
                Wanted::Release(release) => self.releasing.push(release),
                Wanted::Ask(lease, _) => {
                    self.asks.sent(&lease);
                    takes.push(lease);
                }
                Wanted::Handoff(key, _) => takes.extend(self.send_handoff(&key)),
            }
        }
        if takes.is_empty() && self.releasing.is_empty() {
            return None;
        }
        self.releasing.sort_by(|a, b| a.lease.key.cmp(&b.lease.key));
        let releases = self.releasing.iter().map(|release| release.lease.clone()).collect();
        takes.sort_by(|a, b| a.key.cmp(&b.key));
        Some(Job::Apply { releases, takes, outcomes: Outcomes::default() })
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
            Wanted::Release(release) => release.backoff,
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
