//! What must be true of one key in one process.

use std::collections::VecDeque;

use dlock::engine::table::{Event, HoldId, Refusal, RequestId, Ticket};

use super::server::Key;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Try,
    Wait { cancelled: bool },
    Unlock(Option<HoldId>),
}

pub(crate) struct Caller {
    pub(crate) request: RequestId,
    pub(crate) patient: bool,
    pub(crate) expired: bool,
}

/// What is known of one key.
#[derive(Default)]
pub(crate) struct Page {
    /// Those who have not been answered, first come first.
    pub(crate) line: VecDeque<Caller>,
    /// Whose guard is out.
    pub(crate) hold: Option<HoldId>,
    /// The one question on its way to the database.
    pub(crate) asked: Option<(Asked, Ticket)>,
    /// What was asked when this event came.
    pub(crate) was: Option<Asked>,
    /// By the database's last word on it, the key is ours.
    pub(crate) ours: bool,
    pub(crate) handoffs: u32,
}

/// A lock may go from hand to hand in a process so many times before the database has it back.
pub(crate) const HANDOFFS: u32 = 8;

impl Page {
    pub(crate) fn is_blank(&self) -> bool {
        self.line.is_empty() && self.asked.is_none() && !self.ours
    }

    /// Whether the event may be acted on: an answer must be one to the question that is open.
    pub(crate) fn fits(&self, event: &Event<Key>) -> bool {
        let asked = self.asked.map(|(asked, _)| asked);
        let (ticket, right) = match event {
            Event::Granted { ticket, .. } => {
                (ticket, matches!(asked, Some(Asked::Try | Asked::Wait { .. })))
            }
            Event::Refused { ticket, .. } => (ticket, matches!(asked, Some(Asked::Try))),
            Event::Ended { ticket, .. } => (ticket, matches!(asked, Some(Asked::Wait { .. }))),
            Event::Unlocked { ticket, .. } => (ticket, matches!(asked, Some(Asked::Unlock(_)))),
            Event::Failed { ticket, .. } => (ticket, true),
            Event::Lost { .. } => return self.hold.is_some(),
            _ => return true,
        };
        right && self.asked.is_some_and(|(_, open)| open == *ticket)
    }

    /// Writes an event down.
    pub(crate) fn take_in(&mut self, event: &Event<Key>) {
        self.was = self.asked.map(|(asked, _)| asked);
        match *event {
            Event::Acquire { request, patient, .. } => {
                self.line.push_back(Caller { request, patient, expired: false });
            }
            Event::Expire { request } => {
                let mine = self.line.iter_mut().find(|caller| caller.request == request);
                mine.into_iter().for_each(|caller| caller.expired = true);
            }
            Event::Abandon { request } => self.line.retain(|caller| caller.request != request),
            Event::Overdue { .. } => {}
            Event::Granted { .. } => (self.ours, self.handoffs, self.asked) = (true, 0, None),
            Event::Refused { .. } | Event::Ended { .. } => self.asked = None,
            Event::Unlocked { .. } => (self.ours, self.asked) = (false, None),
            Event::Failed { .. } => {
                self.ours &= !self.was_unlocking();
                self.asked = None;
            }
            Event::Release { .. } => self.hold = None,
            Event::Lost { .. } => self.ours = false,
        }
    }

    pub(crate) fn was_unlocking(&self) -> bool {
        matches!(self.was, Some(Asked::Unlock(_)))
    }

    /// Why this caller may be refused now, if it may. By now it is out of the line.
    pub(crate) fn reason(&self, event: &Event<Key>, caller: &Caller) -> Option<Refusal> {
        let others = self.line.iter().any(|other| !other.expired);
        let asked = self.asked.map(|(asked, _)| asked);
        match *event {
            Event::Acquire { request, .. } if request == caller.request && !caller.patient => {
                match asked {
                    // It could still have been queued, had there been no line.
                    Some(Asked::Unlock(_)) if self.line.is_empty() => None,
                    None | Some(Asked::Unlock(_)) => Some(Refusal::BusyHere),
                    Some(Asked::Wait { cancelled: false }) => Some(Refusal::BusyElsewhere),
                    Some(_) => None,
                }
            }
            Event::Expire { request } if request == caller.request => match asked {
                None | Some(Asked::Unlock(_)) => Some(Refusal::TimedOutHere),
                // Else what is on its way may be a grant, and then it is this caller's.
                Some(Asked::Wait { .. }) if others => Some(Refusal::TimedOutElsewhere),
                Some(_) => None,
            },
            Event::Overdue { request } if request == caller.request => match asked {
                None | Some(Asked::Unlock(_)) => Some(Refusal::TimedOutHere),
                Some(_) => Some(Refusal::Unavailable),
            },
            Event::Granted { .. } if !caller.patient => Some(Refusal::BusyHere),
            Event::Granted { .. } if caller.expired => Some(Refusal::TimedOutHere),
            Event::Refused { .. } if !caller.patient => Some(Refusal::BusyElsewhere),
            Event::Refused { .. } | Event::Ended { .. } if caller.expired => {
                Some(Refusal::TimedOutElsewhere)
            }
            Event::Failed { fatal, .. } if !self.was_unlocking() => {
                (fatal || caller.expired || !caller.patient).then_some(Refusal::Unavailable)
            }
            _ => None,
        }
    }

    /// What must have been done by the end of this event.
    pub(crate) fn complete(&self, event: &Event<Key>) {
        match event {
            Event::Overdue { request } => {
                let gone = self.line.iter().all(|caller| caller.request != *request);
                assert!(gone, "long overdue, and not answered");
            }
            Event::Refused { .. } => {
                assert!(self.line.iter().all(|c| c.patient), "a refused try is not told so");
            }
            Event::Failed { fatal, .. } if !self.was_unlocking() => {
                let told = self.line.iter().all(|caller| caller.patient && !fatal);
                assert!(told, "whose question failed is not told so");
            }
            Event::Lost { .. } => assert_eq!(self.hold, None, "the loss is not told"),
            Event::Release { spent, .. } => {
                let may_stay = !spent && self.handoffs < HANDOFFS && !self.line.is_empty();
                assert!(!may_stay || self.hold.is_some(), "given back before its turn is over");
            }
            _ => {}
        }
    }

    /// What is true between events.
    pub(crate) fn consistent(&self) {
        let asked = self.asked.map(|(asked, _)| asked);
        if self.hold.is_some() {
            assert_eq!(asked, None, "asked while it is held");
            assert!(self.ours, "held without the database");
        }
        let expired = self.line.iter().any(|caller| caller.expired);
        let hasty = self.line.iter().any(|caller| !caller.patient);
        match asked {
            None if self.hold.is_some() => {
                assert!(!expired && !hasty, "who should be told that it is held here is not");
            }
            None => {
                assert!(self.line.is_empty(), "callers wait, and nothing is asked");
                assert!(!self.ours, "held for nobody, and not given back");
            }
            Some(Asked::Unlock(_)) => assert!(!expired, "whose time is up is not told so"),
            Some(Asked::Wait { cancelled: false }) => {
                assert!(!hasty, "a try stays queued while the key is held elsewhere");
                assert!(!expired && !self.line.is_empty(), "waits on for nobody");
            }
            Some(Asked::Try | Asked::Wait { cancelled: true }) => {}
        }
    }
}
