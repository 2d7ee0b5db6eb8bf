//! What sessions have to tell, and what the table makes of it.

use std::time::Duration;

use super::action::{Action, Now, SessionEvent, SessionId};
use super::fencing::Token;
use super::grants::SessionGrant;
use super::handle::{KeyWait, Sent, SessionHandle};
use super::polling::PollRefusal;
use super::retry::Failure;
use super::watch::UNWRITTEN;
use super::{NOBODY, SessionCore};
use crate::backend::{Answer, BatchItem, Op, Waited};
use crate::clock::Time;
use crate::engine::executor::Report;
use crate::engine::lock_table::{Event, Ticket};
use crate::spec::lock_id::LockId;
use crate::status::lost::LostReason;

/// So many of its connections a server's other clients are left: as many as PostgreSQL keeps for those
/// who look after it.
const LEFT_FOR_OTHERS: i64 = 3;
/// A wait that has been cancelled and still goes on is cancelled again after so long.
const AGAIN: Duration = Duration::from_millis(20);

impl SessionCore {
    /// The server has answered what was sent then, on a session that is none of these.
    pub(in crate::engine::session) fn answered_elsewhere(&mut self, sent: Time) {
        self.health.answered(sent);
    }

    /// A session tells something.
    pub(in crate::engine::session) fn on_event(
        &mut self,
        id: SessionId,
        event: SessionEvent,
        now: Now,
    ) {
        let Some(handle) = self.handles.get_mut(id) else {
            return;
        };
        let job = match &event {
            SessionEvent::Opened { tag, left } => {
                handle.opened(*tag, now.time);
                self.health.opened();
                return self.opened(id, *left, now);
            }
            SessionEvent::Died(_) => None,
            _ => handle.take_sent(),
        };
        match (event, job) {
            (SessionEvent::Answered { answers, sent }, Some(Sent::Batch(ops))) => {
                self.confirmed(id, sent, now);
                if answers.len() != ops.len() {
                    return self.surprised(id, Some(Sent::Batch(ops)), now);
                }
                for (op, answer) in ops.iter().zip(answers) {
                    self.answered(id, op, answer, now);
                }
            }
            (SessionEvent::Parts { answers, sent }, Some(Sent::Batch(ops))) => {
                self.confirmed(id, sent, now);
                for (op, answer) in ops.iter().zip(answers) {
                    match answer {
                        Ok(answer) => self.answered(id, op, answer, now),
                        Err(error) => {
                            self.health.note(error);
                            self.failed(id, op, None, now);
                        }
                    }
                }
            }
            (SessionEvent::Unwritten { sent }, Some(Sent::Batch(ops))) => {
                self.confirmed(id, sent, now);
                self.health.note_no_writer();
                self.writes.share_not_before(now.clock + UNWRITTEN);
                ops.iter().for_each(|op| self.failed(id, op, None, now));
            }
            (SessionEvent::Told { sent }, Some(Sent::Question)) => self.confirmed(id, sent, now),
            (SessionEvent::Waited { end, sent }, Some(Sent::Wait(wait))) => {
                handle.wait_ended(now.time);
                self.confirmed(id, sent, now);
                // It was asked long ago; the server has ended it now.
                self.health.answered(now.time);
                self.waited(id, wait, end, now);
            }
            (SessionEvent::Converted { end, sent }, Some(Sent::Conversion(wanted, time))) => {
                self.confirmed(id, sent, now);
                self.health.answered(now.time);
                self.converted(id, wanted, (time, sent), end, now);
            }
            (SessionEvent::Died(error), _) => {
                self.health.note(error);
                self.session_ended(id, now);
            }
            // A session that answers what it was not asked.
            (_, job) => self.surprised(id, job, now),
        }
    }

    /// Nobody knows what an answer means, nor what the session holds: it is given up, and what it was asked has
    /// failed.
    fn surprised(&mut self, id: SessionId, job: Option<Sent>, now: Now) {
        self.drop_session(id, LostReason::SessionEnded, now);
        match job {
            Some(Sent::Batch(ops)) => {
                let reason = Some(LostReason::SessionEnded);
                ops.iter().for_each(|op| self.failed(id, op, reason, now));
            }
            Some(Sent::Wait(KeyWait { lock_id: key, ticket, .. })) => {
                let fatal = self.health.is_fatal();
                self.report(Event::Failed { key, ticket, fatal });
            }
            Some(Sent::Question | Sent::Conversion(..)) | None => {}
        }
    }

    /// A session has come to be. One that is only to wait is not kept if it is one of the last that the
    /// server has for its clients.
    fn opened(&mut self, id: SessionId, left: Option<i64>, now: Now) {
        let roles = self.roles(self.demand(now), now);
        let is_spare = self.handles.get(id).is_some_and(SessionHandle::is_free)
            && roles.carrier.is_some_and(|carrier| carrier != id)
            && roles.writer != Some(id);
        if !is_spare || left.is_none_or(|left| left >= LEFT_FOR_OTHERS) {
            return self.retry.connected();
        }
        self.retry.failed(Failure::Full, now.clock);
        if self.handles.remove(id).is_some() {
            self.out.push(Action::Close { session: id });
        }
    }

    /// The server has shown at a time after `sent` that the session lives.
    fn confirmed(&mut self, id: SessionId, sent: Time, now: Now) {
        self.health.answered(sent);
        let Some(handle) = self.handles.get_mut(id) else { return };
        if !handle.has_answered() {
            self.retry.succeeded();
        }
        if !handle.confirm(sent, now.time) {
            // Too late: its guards may have noticed already.
            self.drop_session(id, LostReason::Unconfirmed, now);
        }
    }

    /// A wait has ended.
    fn waited(&mut self, id: SessionId, wait: KeyWait, end: Waited, now: Now) {
        let KeyWait { ticket, fenced, .. } = wait;
        if end == Waited::Granted {
            let key = wait.lock_id.clone();
            if let Some(handle) = self.handles.get_mut(id) {
                handle.add_key(&wait.lock_id, fenced);
            }
            self.grant(id, (wait.lock_id, fenced), ticket, None, now);
            self.report(Event::Granted { key, ticket });
        } else if end == Waited::Deadlock && (wait.leaves || wait.stopped.is_none()) {
            // Another statement that waits would end in the same way. Tries wait for nobody.
            self.out.push(Action::LogDeadlock { lock_id: wait.lock_id.clone() });
            self.polls.try_only(wait, now.clock);
        } else if wait.leaves && wait.until.is_none_or(|until| until > now.clock) {
            self.polls.come_back(wait, now.clock);
        } else {
            self.report(Event::Ended { key: wait.lock_id, ticket });
        }
    }

    fn grant(
        &mut self,
        session: SessionId,
        (lock_id, fenced): (LockId, bool),
        ticket: Ticket,
        fence: Option<u64>,
        now: Now,
    ) {
        if let Some(handle) = self.handles.get_mut(session) {
            handle.granted(&lock_id);
            let (since, token) = (now.time, Token::new(fence));
            self.grants.add(ticket, SessionGrant { lock_id, session, since, token, fenced });
        }
    }

    /// The server, or one of our own sessions, has said no to a try.
    pub(super) fn refused(&mut self, key: LockId, ticket: Ticket, now: Now) {
        match self.polls.refused(ticket, now.clock) {
            PollRefusal::Unknown => self.report(Event::Refused { key, ticket }),
            PollRefusal::Ended => self.report(Event::Ended { key, ticket }),
            PollRefusal::Again => {}
        }
    }

    fn answered(&mut self, id: SessionId, op: &BatchItem, answer: Answer, now: Now) {
        let (ticket, yes) = (op.ticket, answer != Answer::No);
        let fence = if let Answer::Fence(token) = answer { Some(token) } else { None };
        // The session may have been dropped half-way through its answers.
        let lives = self.handles.get(id).is_some();
        match &op.what {
            Op::Try(lock_id) | Op::TryFenced(lock_id) if yes && lives => {
                self.polls.forget(ticket);
                self.grant(id, (lock_id.clone(), op.what.is_written()), ticket, fence, now);
                self.report(Event::Granted { key: lock_id.clone(), ticket });
            }
            Op::Try(_) | Op::TryFenced(_) if !lives => {
                self.failed(id, op, Some(LostReason::SessionEnded), now);
            }
            Op::Try(lock_id) | Op::TryFenced(lock_id) => {
                self.remove_key(id, lock_id, op.what.is_written());
                self.refused(lock_id.clone(), ticket, now);
            }
            Op::Fence(lock_id) => match fence {
                Some(token) => {
                    // It may have been given back meanwhile.
                    if let Some(grant) = self.grants.get_mut(ticket) {
                        grant.token.drawn(token);
                    }
                }
                None => self.not_drawn(id, lock_id, ticket),
            },
            Op::Unlock(lock_id) => {
                if let Some(handle) = self.handles.get_mut(id) {
                    handle.released();
                    handle.worked(now.time);
                }
                if ticket != NOBODY {
                    let event = Event::Unlocked { key: lock_id.clone(), ticket, clean: yes };
                    let report = Report { event, reason: LostReason::NotHeld };
                    self.out.push(Action::Report(report));
                }
            }
            // Not there, or not to be had: what it does, nobody knows.
            Op::Cancel(_) if !yes => self.failed(id, op, None, now),
            Op::Cancel(tag) => {
                let cancelled = self.handles.of_tag(*tag);
                if let Some(handle) = cancelled.and_then(|id| self.handles.get_mut(id)) {
                    handle.cancelled(now.clock + AGAIN);
                }
            }
            Op::End(_) => {}
        }
    }

    /// There is no token for what was granted by that ticket, and the session holds it no more: it
    /// is not to be had without.
    fn not_drawn(&mut self, id: SessionId, lock_id: &LockId, ticket: Ticket) {
        let Some(grant) = self.grants.remove(ticket) else { return };
        if let Some(handle) = self.handles.get_mut(id) {
            handle.released();
            handle.remove_key(lock_id, grant.fenced);
        }
        let event = Event::Lost { key: lock_id.clone(), grant: ticket };
        self.out.push(Action::Report(Report { event, reason: LostReason::NotHeld }));
    }

    /// Nothing is held by this part of a batch, for its session was given up; `None`: the server
    /// itself has said no to it, and what it may mean by that is in its words.
    pub(super) fn failed(
        &mut self,
        id: SessionId,
        op: &BatchItem,
        given_up: Option<LostReason>,
        now: Now,
    ) {
        let (ticket, tried) = (op.ticket, given_up.is_none());
        match &op.what {
            Op::Try(lock_id) | Op::TryFenced(lock_id) => {
                self.remove_key(id, lock_id, op.what.is_written());
                if !tried {
                    match self.polls.refused(ticket, now.clock) {
                        PollRefusal::Again => return,
                        PollRefusal::Ended => {
                            return self.report(Event::Ended { key: lock_id.clone(), ticket });
                        }
                        PollRefusal::Unknown => {}
                    }
                }
                self.polls.forget(ticket);
                let fatal = self.health.is_fatal();
                self.report(Event::Failed { key: lock_id.clone(), ticket, fatal });
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
                if let Some(handle) = self.handles.get_mut(id) {
                    handle.released();
                }
                if ticket != NOBODY {
                    let reason = given_up.unwrap_or(LostReason::SessionEnded);
                    self.out.push(Action::Report(Report { event, reason }));
                }
            }
            Op::Cancel(tag) => {
                // Whether that session is or will be cancelled, nobody knows.
                if let Some(id) = self.handles.of_tag(*tag) {
                    self.drop_session(id, LostReason::SessionEnded, now);
                }
            }
            // Else it would stay in the server's line for as long as its wait lasts.
            Op::End(_) if !tried && !self.handles.is_empty() => self.gathered.push(op.clone()),
            Op::End(_) => {}
        }
    }

    fn remove_key(&mut self, id: SessionId, lock_id: &LockId, fenced: bool) {
        if let Some(handle) = self.handles.get_mut(id) {
            handle.remove_key(lock_id, fenced);
        }
    }
}
