//! What the table orders, and how it goes to sessions.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::link::{Link, Sent};
use super::routing::a_try;
use super::session::{Own, Question};
use super::{Poll, Sessions, no_answer};
use crate::backend::{Do, Op, Seen};
use crate::claim::Claim;
use crate::clock::Time;
use crate::engine::executor::{Contact, Executor, Held, Reply, Report};
use crate::engine::table::{Event, Ticket};
use crate::error::Error;
use crate::lost::LostReason;
use crate::native::NativeKey;
use crate::status::Finding;
use crate::terms::Terms;

/// A wait that the server itself ends so soon is not cancelled.
const SOON: Duration = Duration::from_millis(10);
/// How long closing may take.
const CLOSE: Duration = Duration::from_secs(3);

impl Executor for Sessions {
    const KEEPS_MIN_HOLD: bool = false;

    fn try_lock(&mut self, claim: Claim, ticket: Ticket, terms: &Terms) {
        self.gathered.push(Op { what: a_try(claim, terms.fenced), ticket });
    }

    fn wait(&mut self, claim: Claim, ticket: Ticket, until: Option<Instant>, terms: &Terms) {
        let waiter = if terms.retry_every.is_none() { self.free_waiter() } else { None };
        if let Some(link) = waiter.and_then(|id| self.links.get_mut(&id)) {
            link.send_wait(claim, ticket, until, terms.fenced);
        } else {
            let now = Instant::now();
            let poll = Poll::new(claim, terms.fenced, until, now).every(terms.retry_every, now);
            self.polls.insert(ticket, poll);
        }
    }

    fn hand_over(&mut self, claim: &Claim, grant: Ticket, terms: &Terms) {
        if let Some(held) = self.held.get_mut(&grant)
            && held.token.hand_over(terms.fenced)
            && let Some(link) = self.links.get_mut(&held.session)
        {
            link.batch.push(Op { what: Do::Fence(claim.clone()), ticket: grant });
        }
    }

    fn most_keys(&self) -> usize {
        usize::try_from(self.limits.keys).unwrap_or(usize::MAX)
    }

    fn can_wait(&self, terms: &Terms) -> bool {
        terms.retry_every.is_none() && self.others().any(|(_, link)| link.is_free())
    }

    fn cancel(&mut self, claim: &Claim, ticket: Ticket) {
        if let Some(poll) = self.polls.get_mut(&ticket) {
            if poll.cancel() {
                self.polls.remove(&ticket);
                self.reports.push(Event::Ended { key: claim.clone(), ticket }.into());
            }
            return;
        }
        let Some(link) = self.links.values_mut().find(|link| link.waits_for(ticket)) else {
            return;
        };
        let now = Instant::now();
        match (link.tag, link.sent.front()) {
            // Still connecting: it has not begun to wait. When it is there, it is free for others;
            // else whoever has less time than connecting takes would never come to wait.
            (None, _) => {
                link.sent.clear();
                self.reports.push(Event::Ended { key: claim.clone(), ticket }.into());
            }
            (Some(_), Some(Sent::Wait { until: Some(until), .. })) if *until <= now + SOON => {
                link.cancel_at = Some(now + SOON);
            }
            (Some(tag), _) => {
                link.cancelling = true;
                self.gathered.push(Op { what: Do::Cancel(tag), ticket });
            }
        }
    }

    fn unlock(&mut self, claim: Claim, grant: Ticket, ticket: Ticket) {
        let grant = self.held.remove(&grant);
        let link = grant.and_then(|grant| self.links.get_mut(&grant.session));
        let Some(link) = link else {
            return self.reports.push(Event::Failed { key: claim, ticket, fatal: false }.into());
        };
        link.disclaim(&claim);
        link.batch.push(Op { what: Do::Unlock(claim), ticket });
    }

    fn distrust(&mut self, _: &Claim, ticket: Ticket) {
        if let Some(id) = self.held.get(&ticket).map(|grant| grant.session) {
            self.drop_session(id, LostReason::SessionEnded);
        }
    }

    fn held(&self, _: &Claim, grant: Ticket) -> Option<Held> {
        let grant = self.held.get(&grant)?;
        let link = self.links.get(&grant.session)?;
        let (word, fence) = (Arc::clone(&link.word), grant.token.given());
        let fresh = link.is_fresh() && grant.token.is_settled();
        Some(Held { word, fresh, fence, since: grant.since, lapse: LostReason::Unconfirmed })
    }

    fn refresh(&mut self, _: &Claim, grant: Ticket) {
        let grant = self.held.get(&grant);
        if let Some(link) = grant.and_then(|grant| self.links.get_mut(&grant.session)) {
            link.ping();
        }
    }

    fn verify(&mut self, claim: &Claim, grant: Ticket, reply: oneshot::Sender<bool>) {
        let grant = self.held.get(&grant);
        if let Some(link) = grant.and_then(|grant| self.links.get_mut(&grant.session)) {
            link.questions.push(Question::Held(claim.clone(), reply));
        }
    }

    fn status(&mut self, of: Option<NativeKey>, reply: Reply<Vec<Seen>>) {
        let of_all = of.is_none();
        let grants = self.held.values().filter(|g| of_all || of.as_ref() == Some(&g.claim.key));
        let own = grants.filter_map(|grant| {
            let tag = self.links.get(&grant.session)?.tag?;
            Some(Own { tag, held: Some((grant.claim.key.clone(), grant.since)) })
        });
        let waiting = self.links.values().filter(|link| link.holds == 0);
        let waiting = waiting.filter_map(|link| Some(Own { tag: link.tag?, held: None }));
        let own = own.chain(waiting).collect();
        self.questions.push(Question::Status { of, own, reply });
    }

    fn check(&mut self, reply: Reply<Vec<Finding>>) {
        self.questions.push(Question::Check(reply));
    }

    fn contact(&mut self, _: &Claim, since: Time) -> Contact {
        if self.answered >= since || self.pace.is_lasting() {
            return Contact::Heard;
        }
        if self.retry.is_some() {
            return Contact::Failed;
        }
        self.in_doubt = true;
        Contact::Unknown
    }

    fn flush(&mut self) {
        self.appoint();
        self.deal_out();
        self.links.values_mut().for_each(Link::send_batch);
        if std::mem::take(&mut self.in_doubt)
            && let Some(link) = self.links.values_mut().find(|link| link.is_idle())
        {
            // What is on its way on others is as good when it is answered.
            link.ping();
        }
        self.look = self.next_look();
    }

    fn trouble(&self) -> Error {
        self.trouble.clone()
    }

    async fn recv(&mut self, reports: &mut Vec<Report>) {
        if self.reports.is_empty() {
            // Whom that concerned has been told; it is not what others wait for.
            if !self.trouble.is_retryable() {
                self.trouble = no_answer(&self.label);
            }
            let wake = self.next_wake();
            tokio::select! {
                biased;
                _ = self.tales.recv_many(&mut self.heard, 64) => {}
                () = self.timer.until(wake) => {}
            }
            let mut heard = std::mem::take(&mut self.heard);
            for (id, tale) in heard.drain(..) {
                self.hear(id, tale);
            }
            self.heard = heard;
            if wake.is_some_and(|at| at <= Instant::now()) {
                self.tick();
            }
        }
        reports.append(&mut self.reports);
    }

    async fn shutdown(mut self) {
        let busy = |link: &&Link| !link.is_idle() && !link.sent.is_empty();
        let ends = self.links.values().filter(busy).filter_map(|link| link.tag);
        let ends: Vec<Op> = ends.map(|tag| Op { what: Do::End(tag), ticket: 0 }).collect();
        let carrier = self.carrier.or(self.writer);
        for (id, mut link) in std::mem::take(&mut self.links) {
            if Some(id) == carrier {
                link.batch.extend(ends.iter().cloned());
                link.send_batch();
            }
            // One that is still connecting, or waits for what nobody wants, would not hear of it.
            if link.tag.is_none() || matches!(link.sent.front(), Some(Sent::Wait { .. })) {
                link.task.abort();
            }
            link.close();
        }
        let all = async { while self.tasks.join_next().await.is_some() {} };
        let _ = timeout(CLOSE, all).await;
    }
}
