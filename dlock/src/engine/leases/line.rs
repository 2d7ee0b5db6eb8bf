//! The one connection: what goes out on it, and when.

use std::future::pending;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::Instant;

use super::Leases;
use super::grant::Grant;
use super::job::{Done, Job, carry_out};
use crate::backend::lease::{LeaseBackend, Verdicts};
use crate::clock::Time;
use crate::native::NativeKey;

/// However short leases are, a database gets so long to answer.
const ENOUGH: Duration = Duration::from_secs(1);

/// The connection, or the job that has it.
pub(super) enum Line<C> {
    Idle(Option<C>),
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

impl<B: LeaseBackend> Leases<B> {
    /// When there is something to do that no answer brings.
    pub(super) fn alarm(&self) -> Option<Instant> {
        let work = match self.line {
            // There is nothing to do then yet. But a timer that is earlier than all others wakes the
            // thread that sets it: this one is not to be the first again with every answer.
            Line::Busy(_) => self.renew_at.filter(|at| *at > Instant::now()),
            Line::Idle(_)
                if !self.releases.is_empty() || !self.questions.is_empty() || self.is_handing() =>
            {
                Some(self.not_before)
            }
            Line::Idle(_) => {
                let next = [self.renew_at, self.asks.next()].into_iter().flatten().min();
                next.map(|next| next.max(self.not_before))
            }
        };
        [work, self.lapse_at].into_iter().flatten().min()
    }

    /// Sends what is due, unless the line is busy.
    pub(super) fn send(&mut self) {
        let now = Instant::now();
        let Line::Idle(connection) = &mut self.line else {
            return;
        };
        let connection = connection.take();
        let job = if now < self.not_before { None } else { self.next_job(now) };
        self.line = match job {
            Some(job) => {
                let longest = self.patience(&job);
                Line::Busy(Box::pin(carry_out(self.backend.clone(), connection, job, longest)))
            }
            None => Line::Idle(connection),
        };
    }

    /// How long this job may take: an answer that comes when what it grants has run out is worth
    /// nothing, and a renewal without an answer must be asked for again in time.
    fn patience(&self, job: &Job) -> Duration {
        let renewing = self.held.values().filter(|grant| grant.agreed.renew);
        let renewing = renewing.map(|grant| {
            let ttl = grant.agreed.ttl;
            self.options.renew_after(ttl).max(ENOUGH).min(ttl)
        });
        let takes: &[_] = if let Job::Apply { takes, .. } = job { takes } else { &[] };
        let taking = takes.iter().map(|lease| lease.lasts).max();
        renewing.chain(taking).min().unwrap_or(Duration::MAX)
    }

    /// When what is held is renewed next.
    fn next_renewal(&self, now: Instant) -> Option<Instant> {
        let renewing = self.held.values().filter(|grant| grant.agreed.renew);
        let finite = renewing.filter(|grant| grant.agreed.ttl != Duration::MAX);
        let next = finite.map(|grant| self.options.renew_after(grant.agreed.ttl)).min();
        next.and_then(|next| now.checked_add(next))
    }

    /// Sees to it that this one is renewed in time.
    pub(super) fn schedule(&mut self, key: &NativeKey) {
        let Some(grant) = self.held.get(key) else {
            return;
        };
        let now = Instant::now();
        let at = match grant {
            Grant { due: true, .. } => Some(now),
            Grant { agreed, .. } if agreed.renew && agreed.ttl != Duration::MAX => {
                now.checked_add(self.options.renew_after(agreed.ttl))
            }
            _ => None,
        };
        self.renew_at = self.renew_at.into_iter().chain(at).min();
    }

    fn next_job(&mut self, now: Instant) -> Option<Job> {
        if self.renew_at.is_some_and(|at| at <= now) {
            self.renew_at = None;
            // The machine may have been suspended, which the timers do not know.
            self.lapse_at = Some(now);
            let time = Time::now();
            let good = self.held.values().filter(|grant| grant.word.good_at(time));
            let wanted = good.filter(|grant| grant.wants_renewal());
            let mut leases: Vec<_> = wanted.map(Grant::renewal).collect();
            if !leases.is_empty() {
                self.renew_at = self.next_renewal(now);
                self.renewing = true;
                leases.sort_by(|a, b| a.key.cmp(&b.key));
                return Some(Job::Renew { leases, renewed: Vec::new() });
            }
        }
        // After a question the others have their turn.
        if !std::mem::take(&mut self.asked)
            && let Some(question) = self.questions.pop_front()
        {
            self.asked = true;
            return Some(Job::Ask { question: Some(question), lost: None });
        }
        let mut takes = self.asks.send(now);
        self.send_handings(&mut takes);
        if takes.is_empty() && self.releases.is_empty() {
            return None;
        }
        self.releasing.append(&mut self.releases);
        self.releasing.sort_by(|a, b| a.lease.key.cmp(&b.lease.key));
        let releases = self.releasing.iter().map(|release| release.lease.clone()).collect();
        takes.sort_by(|a, b| a.key.cmp(&b.key));
        Some(Job::Apply { releases, takes, verdicts: Verdicts::default() })
    }
}
