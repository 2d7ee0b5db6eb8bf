//! A session's task, as in `engine/session/task.rs`: one job after the other on a connection.

use std::collections::VecDeque;
use std::sync::Arc;

use super::plan::Micros;
use super::server::{Ask, Say, TTL};
use super::world::{clock, micros_of};
use crate::backend::{Op, SessionTag, Waited};
use crate::clock::{Time, Validity};
use crate::engine::session::core::{Job, SessionEvent};
use crate::error::Error;

/// See the [module](self).
pub(super) struct Task {
    jobs: VecDeque<Job>,
    /// What it is doing, and when it has asked that.
    now: Option<(Job, Time)>,
    /// A wait was granted long after it was asked for: the session is asked once more.
    confirms: bool,
    open: bool,
    pub(super) closes: bool,
    /// Its connection is gone.
    pub(super) dead: bool,
    pub(super) validity: Arc<Validity>,
    /// Its next answer is wrong, and how.
    pub(super) lie: Option<u64>,
}

impl Task {
    pub(super) fn new(validity: Arc<Validity>) -> Self {
        let (jobs, now, lie) = (VecDeque::new(), None, None);
        let (confirms, open, closes, dead) = (false, false, false, false);
        Task { jobs, now, confirms, open, closes, dead, validity, lie }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    pub(super) fn is_idle(&self) -> bool {
        self.open && self.now.is_none() && self.jobs.is_empty()
    }

    pub(super) fn push(&mut self, job: Job) {
        self.jobs.push_back(job);
    }

    /// What it is doing, if that is a batch.
    pub(super) fn ops(&self) -> Vec<Op> {
        match &self.now {
            Some((Job::Batch { ops, .. }, _)) => ops.iter().map(|op| op.what.clone()).collect(),
            _ => Vec::new(),
        }
    }

    /// It is to stop what that session does, and has not heard what came of it.
    pub(super) fn cancels(&self, tag: SessionTag) -> bool {
        let jobs = self.now.iter().map(|(job, _)| job).chain(&self.jobs);
        jobs.into_iter().any(|job| match job {
            Job::Batch { ops, .. } => {
                ops.iter().any(|op| matches!(op.what, Op::Cancel(other) if other == tag))
            }
            _ => false,
        })
    }

    /// The next statement, if it can be sent now. With a `standby`, of a careful batch only the question whether
    /// it would have to wait: it would.
    pub(super) fn next(&mut self, now: Micros, standby: bool) -> Option<Ask> {
        if !self.open || self.dead || self.now.is_some() {
            return None;
        }
        let job = self.jobs.pop_front()?;
        let ask = match &job {
            Job::Batch { careful: true, .. } if standby => Ask::Question,
            Job::Batch { ops, .. } => Ask::Batch(ops.to_vec()),
            Job::Ask(_) => Ask::Question,
            Job::Wait { lock_id, time } => Ask::Wait(lock_id.clone(), micros_of(*time)),
            Job::Convert { lock_id, to, time } => {
                Ask::Convert(lock_id.clone(), *to, micros_of(*time))
            }
        };
        self.now = Some((job, clock(now).time));
        Some(ask)
    }

    /// What the server has said, for the engine; or what is asked of the server once more.
    pub(super) fn hear(&mut self, say: Say, now: Micros) -> Result<Option<SessionEvent>, Ask> {
        let at = clock(now).time;
        let event = match (say, self.now.take()) {
            (Say::Opened(tag, left), job) => {
                (self.open, self.now) = (true, job);
                SessionEvent::Opened { tag, left: Some(left) }
            }
            (Say::Refused { full }, _) => SessionEvent::Died(if full {
                Error::full("model", "wait", Arc::from(Box::from("too many connections")))
            } else {
                gone()
            }),
            (Say::Died, _) => SessionEvent::Died(gone()),
            (Say::Answers(_), Some((Job::Wait { .. }, sent))) if self.confirms => {
                self.confirms = false;
                SessionEvent::Waited { end: Waited::Granted, sent }
            }
            (Say::Answers(answers), Some((Job::Batch { .. }, sent))) => {
                SessionEvent::Answered { answers: answers.into_iter().collect(), sent }
            }
            (Say::Waited(end), Some((job @ Job::Wait { .. }, sent))) => {
                // The server counts the session's silence from now, but we know only when we asked.
                if end == Waited::Granted && at.since(sent) > super::world::micros(TTL / 4) {
                    self.confirms = true;
                    self.now = Some((job, at));
                    return Err(Ask::Batch(Vec::new()));
                }
                SessionEvent::Waited { end, sent }
            }
            (Say::Converted(end), Some((Job::Convert { .. }, sent))) => {
                SessionEvent::Converted { end: Ok(end), sent }
            }
            (Say::Told, Some((Job::Ask(_), sent))) => SessionEvent::Told { sent },
            // Nothing of a careful batch is done: it might have to wait for a standby.
            (Say::Told, Some((Job::Batch { .. }, sent))) => SessionEvent::Unwritten { sent },
            // Of a statement that is not waited for any more.
            (_, job) => {
                self.now = job;
                return Ok(None);
            }
        };
        if matches!(event, SessionEvent::Died(_)) {
            self.dead = true;
            self.validity.end(crate::status::lost::LostReason::SessionEnded);
        }
        Ok(Some(event))
    }
}

fn gone() -> Error {
    Error::away("model", Arc::from(Box::from("the connection is gone")))
}

/// A wrong answer in the place of the right one, and what it is called. What was taken is given back by what is to be
/// done to the server.
pub(super) enum Lie {
    /// One part has failed, and is not held.
    Parts,
    /// It comes twice.
    Twice,
    /// It is too short.
    Short,
    /// It is to something else.
    Other,
    /// What has been given back was not held, if one believes it.
    NotHeld,
    /// The server found a circle of waits.
    Deadlock,
}

pub(super) fn is_unlock(op: &Op) -> bool {
    matches!(op, Op::Unlock(_))
}

impl Lie {
    /// What kind of lie an event can become.
    pub(super) fn of(event: &SessionEvent, ops: &[Op], salt: u64) -> Option<Lie> {
        match event {
            SessionEvent::Answered { .. } if salt % 4 == 1 && ops.iter().any(is_unlock) => {
                Some(Lie::NotHeld)
            }
            SessionEvent::Answered { answers, .. } if !answers.is_empty() => match salt % 4 {
                0 | 1 if ops.len() == answers.len() => Some(Lie::Parts),
                2 => Some(Lie::Short),
                _ => Some(Lie::Twice),
            },
            SessionEvent::Waited { end: Waited::Busy, .. } => match salt % 2 {
                0 => Some(Lie::Other),
                _ => Some(Lie::Deadlock),
            },
            SessionEvent::Told { .. } => Some(Lie::Twice),
            _ => None,
        }
    }
}
