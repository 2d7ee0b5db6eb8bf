//! How a session ends, and what becomes of what it held and was asked.

use super::action::{Action, Now, SessionId};
use super::grants::SessionGrant;
use super::handle::{KeyWait, Remains, Sent};
use super::retry::Failure;
use super::{NOBODY, SessionCore};
use crate::backend::{BatchItem, Op};
use crate::engine::executor::Report;
use crate::engine::lock_table::Event;
use crate::status::lost::LostReason;

impl SessionCore {
    /// Gives a session up: what it holds is lost, what it was asked has failed. Its connection is
    /// dropped, and since that may take the server a while to see, it is told from another one.
    pub(super) fn drop_session(&mut self, id: SessionId, reason: LostReason, now: Now) {
        if reason == LostReason::Unconfirmed {
            self.health.note_silence();
        }
        let Some(handle) = self.handles.get(id) else { return };
        match handle.tag() {
            Some(tag) => self.gathered.push(BatchItem { what: Op::End(tag), ticket: NOBODY }),
            None => self.retry.failed(Failure::Late, now.clock),
        }
        self.bury(id, reason, now);
    }

    /// A session has ended by itself.
    pub(super) fn session_ended(&mut self, id: SessionId, now: Now) {
        let Some(handle) = self.handles.get(id) else { return };
        match handle.tag() {
            // A process id is not used for others before it is free, and it is only free when the
            // server itself has ended the session.
            Some(_) if !self.health.is_fatal() => {
                if !handle.has_answered() {
                    self.retry.failed(Failure::Refused, now.clock);
                }
            }
            Some(tag) => self.gathered.push(BatchItem { what: Op::End(tag), ticket: NOBODY }),
            None => {
                let full = self.health.trouble().is_full() && self.handles.is_connected();
                let failure = if full { Failure::Full } else { Failure::Refused };
                self.retry.failed(failure, now.clock);
            }
        }
        self.bury(id, LostReason::SessionEnded, now);
    }

    /// Takes a session out, and tells what became of what it was asked and held.
    pub(super) fn bury(&mut self, id: SessionId, reason: LostReason, now: Now) {
        let Some(handle) = self.handles.remove(id) else { return };
        // Before the connection goes and others can have what it holds: all its guards at once.
        handle.validity().end(reason);
        self.out.push(Action::Drop { session: id });
        let Remains { sent, batch, questions, was_empty, was_open } = handle.into_remains();
        for sent in sent {
            match sent {
                // An empty session that had died unnoticed: the same goes out on a new one, once.
                Sent::Batch(ops) if was_empty && was_open && reason == LostReason::SessionEnded => {
                    self.gathered.extend(ops.iter().cloned());
                }
                Sent::Batch(ops) => {
                    ops.iter().for_each(|op| self.failed(id, op, Some(reason), now));
                }
                Sent::Wait(KeyWait { lock_id: key, ticket, .. }) => {
                    let fatal = self.health.is_fatal();
                    self.report(Event::Failed { key, ticket, fatal });
                }
                // Its grant is lost below.
                Sent::Question | Sent::Conversion(..) => {}
            }
        }
        batch.iter().for_each(|op| self.failed(id, op, Some(reason), now));
        self.out.extend(questions.into_iter().map(|question| Action::Fail { question }));
        for (grant, SessionGrant { lock_id: key, .. }) in self.grants.remove_all_of(id) {
            // It has had no answer for what was to be asked of it.
            self.conversions.forget(grant);
            self.out.push(Action::Report(Report { event: Event::Lost { key, grant }, reason }));
        }
        if !was_open {
            self.give_up_on_gathered(now);
        }
    }

    /// Gives up a session for its place: what it waits for stays wanted.
    pub(super) fn reclaim(&mut self, id: SessionId, now: Now) {
        self.end_wait(id, now);
        self.drop_session(id, LostReason::SessionEnded, now);
    }

    /// Takes the wait from a session that is about to go: the key is waited for elsewhere, if it is
    /// still wanted.
    pub(super) fn end_wait(&mut self, id: SessionId, now: Now) {
        let wait = self.handles.get_mut(id).and_then(|handle| handle.take_wait());
        let Some(wait) = wait else { return };
        if wait.stopped.is_some() && !wait.leaves {
            self.report(Event::Ended { key: wait.lock_id, ticket: wait.ticket });
        } else {
            self.polls.come_back(wait, now.clock);
        }
    }

    /// There is no server: those who wanted only a try are told, the others will be asked for again.
    fn give_up_on_gathered(&mut self, now: Now) {
        if !self.handles.is_empty() {
            return;
        }
        for op in self.gathered.take_items() {
            self.failed(0, &op, Some(LostReason::SessionEnded), now);
        }
        let questions = self.gathered.take_questions();
        self.out.extend(questions.into_iter().map(|question| Action::Fail { question }));
    }
}
