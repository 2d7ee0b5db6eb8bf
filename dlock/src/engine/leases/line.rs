//! The one connection: what goes out on it, and when.

use std::future::pending;
use std::pin::Pin;

use tokio::time::Instant;

use super::Leases;
use super::job::{Done, Job, carry_out};
use crate::backend::lease::{LeaseBackend, Verdicts};
use crate::clock::Time;

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
            Line::Busy(_) => None,
            Line::Idle(_) if !self.releases.is_empty() || !self.questions.is_empty() => {
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
                Line::Busy(Box::pin(carry_out(self.backend.clone(), connection, job, self.ttl)))
            }
            None => Line::Idle(connection),
        };
    }

    fn next_job(&mut self, now: Instant) -> Option<Job> {
        if self.renew_at.is_some_and(|at| at <= now) {
            self.renew_at = None;
            // The machine may have been suspended, which the timers do not know.
            self.lapse_at = Some(now);
            let time = Time::now();
            let good = self.held.iter().filter(|(_, grant)| grant.word.good_at(time));
            let mut leases: Vec<_> = good.map(|(key, grant)| grant.lease(key)).collect();
            if !leases.is_empty() {
                self.renew_at = Some(now + self.ttl / 3);
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
