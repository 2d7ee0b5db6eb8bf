//! Watches over the sessions: heartbeats, loss, and connections that nobody needs.

use std::time::Duration;

use tokio::time::Instant;

use super::link::{Due, Sent};
use super::routing::a_try;
use super::session::SessionId;
use super::{Grant, Sessions, no_answer};
use crate::backend::{Do, Op};
use crate::clock::Time;
use crate::engine::executor::Report;
use crate::engine::table::{Event, Ticket};
use crate::lost::LostReason;

/// How long to leave a server alone that could not be reached; doubled up to the second.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

impl Sessions {
    /// Does what the clock asks of each session.
    pub(super) fn watch_over(&mut self) {
        let now = Time::now();
        let ids: Vec<SessionId> = self.links.keys().copied().collect();
        for id in ids {
            let carrier = self.carrier == Some(id);
            let warm = self.is_warm(id);
            let Some(link) = self.links.get_mut(&id) else {
                continue;
            };
            match link.due(warm, now) {
                Due::Ping => link.ping(),
                Due::Close => {
                    link.close();
                    self.links.remove(&id);
                    self.writer.take_if(|writer| *writer == id);
                }
                Due::Dead => self.drop_session(id, LostReason::Unconfirmed),
                // What it holds stays with it; what is new goes to another one. Not so for writes: a
                // standby that is away would stop one session after the other.
                Due::Stuck(_) if carrier => self.carrier = None,
                Due::Stuck(_) | Due::Later(_) => {}
            }
        }
    }

    /// One carrier is there even if it has nothing to do.
    fn is_warm(&self, id: SessionId) -> bool {
        self.carrier.or(self.writer) == Some(id)
    }

    /// When the clock next asks something of a session.
    pub(super) fn next_look(&self) -> Option<Instant> {
        let now = Time::now();
        let due = self.links.iter().map(|(id, link)| match link.due(self.is_warm(*id), now) {
            Due::Stuck(left) | Due::Later(left) => left,
            Due::Ping | Due::Close | Due::Dead => Duration::ZERO,
        });
        due.min().filter(|left| *left < Duration::MAX).map(|left| Instant::now() + left)
    }

    /// Tries the keys again that no session waits for, and does what the clock says.
    pub(super) fn tick(&mut self) {
        let now = Instant::now();
        let due: Vec<Ticket> =
            self.polls.iter().filter(|(_, poll)| poll.is_due(now)).map(|(t, _)| *t).collect();
        for ticket in due {
            if let Some(poll) = self.polls.get_mut(&ticket) {
                poll.asked();
                self.gathered.push(Op { what: a_try(poll.claim.clone(), poll.fenced), ticket });
            }
        }
        self.late_cancels();
        self.watch_over();
    }

    /// Waits whose time is up on the server anyway are not cancelled at once, but if the server
    /// does not say so soon.
    fn late_cancels(&mut self) {
        let now = Instant::now();
        let mut cancels = Vec::new();
        for link in self.links.values_mut() {
            if let (Some(at), Some(tag)) = (link.cancel_at, link.tag)
                && at <= now
            {
                link.cancel_at = None;
                if let Some(Sent::Wait { ticket, .. }) = link.sent.front() {
                    link.cancelling = true;
                    cancels.push((tag, *ticket));
                }
            }
        }
        let cancels = cancels.into_iter().map(|(tag, ticket)| Op { what: Do::Cancel(tag), ticket });
        self.gathered.extend(cancels);
    }

    /// Gives a session up: what it holds is lost, what it was asked has failed. Its connection is
    /// dropped, and since that may take the server a while to see, it is told from another one.
    pub(super) fn drop_session(&mut self, id: SessionId, reason: LostReason) {
        let Some(link) = self.links.remove(&id) else {
            return;
        };
        // Before the connection goes and others can have what it holds: all its guards at once.
        link.word.end(reason);
        link.task.abort();
        if reason == LostReason::Unconfirmed {
            self.trouble = no_answer(&self.label);
        }
        self.carrier.take_if(|carrier| *carrier == id);
        self.writer.take_if(|writer| *writer == id);
        let was_empty = link.holds == 0;
        for sent in link.sent {
            match sent {
                // An empty session that had died unnoticed: the same goes out on a new one, once.
                Sent::Batch(ops)
                    if was_empty && link.confirmed && reason == LostReason::SessionEnded =>
                {
                    self.gathered.extend(ops.iter().cloned());
                }
                Sent::Batch(ops) => ops.iter().for_each(|op| self.failed(id, op, false)),
                Sent::Wait { claim, ticket, .. } => {
                    let fatal = !self.trouble.is_retryable();
                    self.reports.push(Event::Failed { key: claim, ticket, fatal }.into());
                }
                Sent::Question => {}
            }
        }
        link.batch.iter().for_each(|op| self.failed(id, op, false));
        let lost: Vec<_> = self.held.iter().filter(|(_, grant)| grant.session == id).collect();
        let lost: Vec<Ticket> = lost.into_iter().map(|(ticket, _)| *ticket).collect();
        for grant in lost {
            if let Some(Grant { claim: key, .. }) = self.held.remove(&grant) {
                self.reports.push(Report { event: Event::Lost { key, grant }, reason });
            }
        }
        if let Some(tag) = link.tag {
            // A process id is not used for others before it is free, and it is only free when the
            // server itself has ended the session.
            if reason == LostReason::SessionEnded && self.trouble.is_retryable() {
                return;
            }
            self.gathered.push(Op { what: Do::End(tag), ticket: 0 });
        } else {
            // It never came to be: leave the server alone for a while.
            let (first, most) = RETRY;
            let pause = self.retry.map_or(first, |(_, last)| most.min(last * 2));
            self.retry = Some((Instant::now() + pause, pause));
            self.give_up_on_gathered();
        }
    }

    /// There is no server: those who wanted only a try are told, the others will be asked for again.
    fn give_up_on_gathered(&mut self) {
        if self.carrier.is_none() && self.writer.is_none() {
            for op in std::mem::take(&mut self.gathered) {
                self.failed(0, &op, false);
            }
            for question in std::mem::take(&mut self.questions) {
                question.fail(&self.trouble);
            }
        }
    }
}
