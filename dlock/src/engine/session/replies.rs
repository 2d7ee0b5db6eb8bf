//! What sessions have to tell, and what the table makes of it.

use std::time::Duration;

use tokio::time::Instant;

use super::actions::NOBODY;
use super::desk::DESK;
use super::fencing::Token;
use super::handle::{KeyWait, Sent, SessionHandle};
use super::monitor::UNWRITTEN;
use super::polling::PollRefusal;
use super::retry::Failure;
use super::task::{SessionEvent, SessionId};
use super::{SessionGrant, Sessions, no_answer, no_writer};
use crate::backend::{Answer, BatchItem, Op, Waited};
use crate::clock::Time;
use crate::engine::executor::Report;
use crate::engine::lock_table::{Event, Ticket};
use crate::error::Error;
use crate::spec::lock_id::LockId;
use crate::status::lost::LostReason;

/// So many of its connections a server's other clients are left: as many as PostgreSQL keeps for those
/// who look after it.
const LEFT_FOR_OTHERS: i64 = 3;
/// A wait that has been cancelled and still goes on is cancelled again after so long.
const AGAIN: Duration = Duration::from_millis(20);

impl Sessions {
    pub(super) fn on_event(&mut self, id: SessionId, event: SessionEvent) {
        match event {
            SessionEvent::Unasked(question) => return self.query_here(question),
            SessionEvent::Told { sent } if id == DESK => {
                self.answered = self.answered.max(sent);
                return;
            }
            _ => {}
        }
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let job = match &event {
            SessionEvent::Opened { tag, left } => {
                link.opened(*tag);
                if self.trouble.is_retryable() {
                    self.trouble = no_answer(&self.label);
                }
                return self.opened(id, *left);
            }
            SessionEvent::Died(_) => None,
            _ => link.sent.pop_front(),
        };
        match (event, job) {
            (SessionEvent::Answered { answers, sent }, Some(Sent::Batch(ops))) => {
                self.confirmed(id, sent);
                if answers.len() != ops.len() {
                    return self.drop_session(id, LostReason::SessionEnded);
                }
                for (op, answer) in ops.iter().zip(answers) {
                    self.answered(id, op, answer);
                }
            }
            (SessionEvent::Parts { answers, sent }, Some(Sent::Batch(ops))) => {
                self.confirmed(id, sent);
                for (op, answer) in ops.iter().zip(answers) {
                    match answer {
                        Ok(answer) => self.answered(id, op, answer),
                        Err(error) => {
                            self.note(error);
                            self.failed(id, op, None);
                        }
                    }
                }
            }
            (SessionEvent::Unwritten { sent }, Some(Sent::Batch(ops))) => {
                self.confirmed(id, sent);
                self.trouble = no_writer(&self.label);
                self.unshared = Some(Instant::now() + UNWRITTEN);
                ops.iter().for_each(|op| self.failed(id, op, None));
            }
            (SessionEvent::Told { sent }, Some(Sent::Question)) => self.confirmed(id, sent),
            (SessionEvent::Waited { end, sent }, Some(Sent::Wait(wait))) => {
                link.since = Time::now();
                link.cancel_at = None;
                self.confirmed(id, sent);
                // It was asked long ago; the server has ended it now.
                self.answered = self.answered.max(Time::now());
                self.waited(id, wait, end);
            }
            (SessionEvent::Converted { end, sent }, Some(Sent::Conversion(wanted, time))) => {
                self.confirmed(id, sent);
                self.answered = self.answered.max(Time::now());
                self.conversion_answered(id, wanted, (time, sent), end);
            }
            (SessionEvent::Died(error), _) => {
                self.note(error);
                self.session_ended(id);
            }
            // A session that answers what it was not asked.
            _ => self.drop_session(id, LostReason::SessionEnded),
        }
    }

    /// A session has come to be. One that is only to wait is not kept if it is one of the last that the
    /// server has for its clients.
    fn opened(&mut self, id: SessionId, left: Option<i64>) {
        let roles = self.roles(self.demand(), Time::now());
        let is_spare = self.links.get(&id).is_some_and(SessionHandle::is_free)
            && roles.carrier.is_some_and(|carrier| carrier != id)
            && roles.writer != Some(id);
        if !is_spare || left.is_none_or(|left| left >= LEFT_FOR_OTHERS) {
            return self.retry.connected();
        }
        self.retry.failed(Failure::Full, Instant::now());
        if let Some(link) = self.links.remove(&id) {
            link.close();
        }
    }

    /// The server has shown at a time after `sent` that the session lives.
    fn confirmed(&mut self, id: SessionId, sent: Time) {
        self.answered = self.answered.max(sent);
        if self.links.get(&id).is_some_and(|link| !link.has_answered) {
            self.retry.succeeded();
        }
        if self.links.get_mut(&id).is_some_and(|link| !link.confirm(sent)) {
            // Too late: its guards may have noticed already.
            self.drop_session(id, LostReason::Unconfirmed);
        }
    }

    /// A wait has ended.
    fn waited(&mut self, id: SessionId, wait: KeyWait, end: Waited) {
        let KeyWait { ticket, fenced, .. } = wait;
        let now = Instant::now();
        if end == Waited::Granted {
            let key = wait.lock_id.clone();
            if let Some(link) = self.links.get_mut(&id) {
                link.add_key(&wait.lock_id, fenced);
            }
            self.grant(id, wait.lock_id, fenced, ticket, None);
            self.reports.push(Event::Granted { key, ticket }.into());
        } else if end == Waited::Deadlock && (wait.leaves || wait.stopped.is_none()) {
            // Another statement that waits would end in the same way. Tries wait for nobody.
            tracing::debug!(target: "dlock", key = %wait.lock_id,
                "the server has ended the wait as a deadlock; going on by tries");
            self.polls.try_only(wait, now);
        } else if wait.leaves && wait.until.is_none_or(|until| until > now) {
            self.polls.come_back(wait, now);
        } else {
            self.reports.push(Event::Ended { key: wait.lock_id, ticket }.into());
        }
    }

    fn grant(
        &mut self,
        id: SessionId,
        lock_id: LockId,
        fenced: bool,
        ticket: Ticket,
        fence: Option<u64>,
    ) {
        if let Some(link) = self.links.get_mut(&id) {
            link.holds += 1;
            link.confirm_key(&lock_id);
            let (since, token) = (Time::now(), Token::new(fence));
            self.held.insert(ticket, SessionGrant { lock_id, session: id, since, token, fenced });
        }
    }

    /// The server, or one of our own sessions, has said no to a try.
    pub(super) fn refused(&mut self, key: LockId, ticket: Ticket) {
        match self.polls.refused(ticket, Instant::now()) {
            PollRefusal::Unknown => self.reports.push(Event::Refused { key, ticket }.into()),
            PollRefusal::Ended => self.reports.push(Event::Ended { key, ticket }.into()),
            PollRefusal::Again => {}
        }
    }

    fn answered(&mut self, id: SessionId, op: &BatchItem, answer: Answer) {
        let (ticket, yes) = (op.ticket, answer != Answer::No);
        let fence = if let Answer::Fence(token) = answer { Some(token) } else { None };
        // The session may have been dropped half-way through its answers.
        let lives = self.links.contains_key(&id);
        match &op.what {
            Op::Try(lock_id) | Op::TryFenced(lock_id) if yes && lives => {
                self.polls.forget(ticket);
                self.grant(id, lock_id.clone(), op.what.is_written(), ticket, fence);
                self.reports.push(Event::Granted { key: lock_id.clone(), ticket }.into());
            }
            Op::Try(_) | Op::TryFenced(_) if !lives => {
                self.failed(id, op, Some(LostReason::SessionEnded))
            }
            Op::Try(lock_id) | Op::TryFenced(lock_id) => {
                self.remove_key(id, lock_id, op.what.is_written());
                self.refused(lock_id.clone(), ticket);
            }
            Op::Fence(lock_id) => match fence {
                Some(token) => self.drawn(ticket, token),
                None => self.not_drawn(id, lock_id, ticket),
            },
            Op::Unlock(lock_id) => {
                if let Some(link) = self.links.get_mut(&id) {
                    link.holds = link.holds.saturating_sub(1);
                    link.since = Time::now();
                }
                if ticket != NOBODY {
                    let event = Event::Unlocked { key: lock_id.clone(), ticket, clean: yes };
                    self.reports.push(Report { event, reason: LostReason::NotHeld });
                }
            }
            // Not there, or not to be had: what it does, nobody knows.
            Op::Cancel(_) if !yes => self.failed(id, op, None),
            Op::Cancel(tag) => {
                let link = self.links.values_mut().find(|link| link.tag == Some(*tag));
                if let Some(link) = link {
                    link.cancelling = false;
                    // The cancel may have come to the server before the wait: if that goes on,
                    // another one follows.
                    link.cancel_at = link.waiting().map(|_| Instant::now() + AGAIN);
                }
            }
            Op::End(_) => {}
        }
    }

    /// Nothing is held by this part of a batch, for its session was given up; `None`: the server
    /// itself has said no to it, and what it may mean by that is in its words.
    pub(super) fn failed(&mut self, id: SessionId, op: &BatchItem, given_up: Option<LostReason>) {
        let (ticket, tried) = (op.ticket, given_up.is_none());
        match &op.what {
            Op::Try(lock_id) | Op::TryFenced(lock_id) => {
                self.remove_key(id, lock_id, op.what.is_written());
                if !tried {
                    match self.polls.refused(ticket, Instant::now()) {
                        PollRefusal::Again => return,
                        PollRefusal::Ended => {
                            let key = lock_id.clone();
                            return self.reports.push(Event::Ended { key, ticket }.into());
                        }
                        PollRefusal::Unknown => {}
                    }
                }
                self.polls.forget(ticket);
                let fatal = !self.trouble.is_retryable();
                self.reports.push(Event::Failed { key: lock_id.clone(), ticket, fatal }.into());
            }
            Op::Fence(lock_id) if tried => self.not_drawn(id, lock_id, ticket),
            // Lost with its session.
            Op::Fence(_) => {}
            Op::Unlock(lock_id) => {
                let key = lock_id.clone();
                let event = if tried {
                    // Read back and unlocked on the way.
                    Event::Unlocked { key, ticket, clean: true }
                } else {
                    Event::Failed { key, ticket, fatal: false }
                };
                if let Some(link) = self.links.get_mut(&id) {
                    link.holds = link.holds.saturating_sub(1);
                }
                if ticket != NOBODY {
                    let reason = given_up.unwrap_or(LostReason::SessionEnded);
                    self.reports.push(Report { event, reason });
                }
            }
            Op::Cancel(tag) => {
                // Whether that session is or will be cancelled, nobody knows.
                let id = self.links.iter().find(|(_, link)| link.tag == Some(*tag));
                if let Some(id) = id.map(|(id, _)| *id) {
                    self.drop_session(id, LostReason::SessionEnded);
                }
            }
            // Else it would stay in the server's line for as long as its wait lasts.
            Op::End(_) if !tried && !self.links.is_empty() => self.gathered.push(op.clone()),
            Op::End(_) => {}
        }
    }

    fn remove_key(&mut self, id: SessionId, lock_id: &LockId, fenced: bool) {
        if let Some(link) = self.links.get_mut(&id) {
            link.remove_key(lock_id, fenced);
        }
    }

    fn note(&mut self, error: Error) {
        tracing::debug!(target: "dlock", %error, "session ended");
        self.trouble = error;
    }
}
