//! What must be true of one lock_id in one process.

use std::collections::{BTreeMap, VecDeque};

use crate::engine::lock_table::{Event, GrantId, Refusal, RequestId, Ticket};

use super::model_id::ModelId;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Try,
    Wait { cancelled: bool },
    Unlock(Option<GrantId>),
}

pub(crate) struct Caller {
    pub(crate) request: RequestId,
    pub(crate) patient: bool,
    pub(crate) expired: bool,
}

/// What is known of one lock_id.
#[derive(Default)]
pub(crate) struct Page {
    pub(crate) shared: bool,
    /// Those who have not been answered, first come first.
    pub(crate) line: VecDeque<Caller>,
    /// Whose guards are out: more than one only where it is shared.
    pub(crate) holders: Vec<GrantId>,
    /// The one question on its way to the database.
    pub(crate) asked: Option<(Asked, Ticket)>,
    /// What was asked when this event came.
    pub(crate) was: Option<Asked>,
    /// Unlocks beside that question, and the holds that end with them.
    pub(crate) asides: BTreeMap<Ticket, Option<GrantId>>,
    /// What this event says of an unlock: with which hold it ends.
    pub(crate) unlocked: Option<Option<GrantId>>,
    /// What the database has granted, is not known to be lost, and has not been given back.
    pub(crate) grants: Vec<Ticket>,
    /// What is asked was asked while those who share it had it.
    pub(crate) beside: bool,
    pub(crate) handoffs: u32,
}

/// A lock may go from hand to hand in a process so many times before the database has it back.
pub(crate) const HANDOFFS: u32 = 8;

impl Page {
    pub(crate) fn is_blank(&self) -> bool {
        let silent = self.asked.is_none() && self.asides.is_empty();
        silent && self.line.is_empty() && self.holders.is_empty() && self.grants.is_empty()
    }

    /// Whether the event may be acted on: an answer must be one to a question that is open.
    pub(crate) fn fits(&self, event: &Event<ModelId>) -> bool {
        let asked = self.asked.map(|(asked, _)| asked);
        let (ticket, right) = match event {
            Event::Granted { ticket, .. } => {
                (ticket, matches!(asked, Some(Asked::Try | Asked::Wait { .. })))
            }
            Event::Refused { ticket, .. } => (ticket, matches!(asked, Some(Asked::Try))),
            Event::Ended { ticket, .. } => (ticket, matches!(asked, Some(Asked::Wait { .. }))),
            Event::Unlocked { ticket, .. } | Event::Failed { ticket, .. }
                if self.asides.contains_key(ticket) =>
            {
                return true;
            }
            Event::Unlocked { ticket, .. } => (ticket, matches!(asked, Some(Asked::Unlock(_)))),
            Event::Failed { ticket, .. } => (ticket, true),
            Event::Lost { grant, .. } => return self.grants.contains(grant),
            _ => return true,
        };
        right && self.asked.is_some_and(|(_, open)| open == *ticket)
    }

    /// Writes an event down.
    pub(crate) fn take_in(&mut self, event: &Event<ModelId>) {
        self.was = self.asked.map(|(asked, _)| asked);
        self.unlocked = None;
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
            Event::Granted { ticket, .. } => {
                self.grants.push(ticket);
                (self.handoffs, self.asked) = (0, None);
            }
            Event::Refused { .. } | Event::Ended { .. } => self.asked = None,
            Event::Unlocked { ticket, .. } | Event::Failed { ticket, .. } => {
                self.unlocked = self.asides.remove(&ticket);
                if self.unlocked.is_none() {
                    self.asked = None;
                    if let Some(Asked::Unlock(hold)) = self.was {
                        self.unlocked = Some(hold);
                    }
                }
            }
            Event::Release { hold, .. } => self.holders.retain(|holder| *holder != hold),
            Event::Lost { grant, .. } => self.grants.retain(|held| *held != grant),
            Event::Convert { .. }
            | Event::Stay { .. }
            | Event::Converted { .. }
            | Event::Unconverted { .. }
            | Event::Adopted { .. } => {}
        }
    }

    /// Why this caller may be refused now, if it may. By now it is out of the line.
    pub(crate) fn reason(&self, event: &Event<ModelId>, caller: &Caller) -> Option<Refusal> {
        let others = self.line.iter().any(|other| !other.expired);
        let asked = self.asked.map(|(asked, _)| asked);
        match *event {
            Event::Acquire { request, .. } if request == caller.request && !caller.patient => {
                match asked {
                    Some(Asked::Wait { cancelled: false }) => Some(Refusal::BusyElsewhere),
                    // It could join those who have it, or be asked for.
                    None | Some(Asked::Unlock(_)) if self.shared => None,
                    // It could still have been queued, had there been no line.
                    Some(Asked::Unlock(_)) if self.line.is_empty() => None,
                    None | Some(Asked::Unlock(_)) => Some(Refusal::BusyHere),
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
            // All who are in line share it.
            Event::Granted { .. } if self.shared => None,
            Event::Granted { .. } if !caller.patient => Some(Refusal::BusyHere),
            Event::Granted { .. } if caller.expired => Some(Refusal::TimedOutHere),
            Event::Refused { .. } if !caller.patient => Some(Refusal::BusyElsewhere),
            Event::Refused { .. } | Event::Ended { .. } if caller.expired => {
                Some(Refusal::TimedOutElsewhere)
            }
            Event::Failed { fatal, .. } if self.unlocked.is_none() => {
                (fatal || caller.expired || !caller.patient).then_some(Refusal::Unavailable)
            }
            _ => None,
        }
    }

    /// What must have been done by the end of this event.
    pub(crate) fn complete(&self, event: &Event<ModelId>) {
        match event {
            Event::Acquire { budget_spent: false, .. } if self.shared && self.was.is_none() => {
                let joins = self.grants.is_empty() || self.asked.is_none() && self.line.is_empty();
                assert!(joins, "asked for, though it may be shared at once");
            }
            Event::Overdue { request } => {
                let gone = self.line.iter().all(|caller| caller.request != *request);
                assert!(gone, "long overdue, and not answered");
            }
            Event::Granted { .. } if self.shared => {
                assert!(self.line.is_empty(), "not all who share it are admitted together");
            }
            Event::Refused { .. } => {
                assert!(self.line.iter().all(|c| c.patient), "a refused try is not told so");
            }
            Event::Failed { fatal, .. } if self.unlocked.is_none() => {
                let told = self.line.iter().all(|caller| caller.patient && !fatal);
                assert!(told, "whose question failed is not told so");
            }
            Event::Lost { .. } => assert!(self.holders.is_empty(), "the loss is not told"),
            Event::Release { budget_spent, .. } if !self.shared => {
                let may_stay = !budget_spent && self.handoffs < HANDOFFS && !self.line.is_empty();
                assert!(
                    !may_stay || !self.holders.is_empty(),
                    "given back before its turn is over"
                );
            }
            _ => {}
        }
    }

    /// What is true between events.
    pub(crate) fn consistent(&self) {
        let asked = self.asked.map(|(asked, _)| asked);
        let held = !self.holders.is_empty();
        assert!(self.grants.len() <= 1, "two grants are kept");
        assert_eq!(held, !self.grants.is_empty(), "held for nobody, or without the database");
        if held && !self.shared {
            assert_eq!(asked, None, "asked while it is held");
            assert_eq!(self.holders.len(), 1, "held twice");
        }
        assert!(self.shared || self.asides.is_empty(), "given back aside, and it is not shared");
        let expired = self.line.iter().any(|caller| caller.expired);
        let hasty = self.line.iter().any(|caller| !caller.patient);
        match asked {
            None if held => {
                assert!(!self.shared || self.line.is_empty(), "callers wait who could share it");
                assert!(!expired && !hasty, "who should be told that it is held here is not");
            }
            None => assert!(self.line.is_empty(), "callers wait, and nothing is asked"),
            Some(Asked::Unlock(_)) => {
                assert!(!held, "given back and held");
                assert!(!expired, "whose time is up is not told so");
            }
            Some(Asked::Wait { cancelled: false }) => {
                assert!(!hasty, "a try stays queued while the key is held elsewhere");
                assert!(!expired && !self.line.is_empty(), "waits on for nobody");
            }
            Some(Asked::Try | Asked::Wait { cancelled: true }) => {}
        }
    }
}
