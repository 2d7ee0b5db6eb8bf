//! One key of the table.

use super::event::{GrantId, RequestId, Ticket};
use crate::engine::short_list::ShortList;

/// A caller who is in line.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) request: RequestId,
    pub(super) patient: bool,
    /// Its time is up, but it may still get the lock: the database has been asked to stop.
    pub(super) expired: bool,
}

/// What the database has been asked and has not answered yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing.
    Idle,
    /// For the key.
    Trying,
    /// To wait for the key on our behalf.
    Waiting,
    /// To stop waiting; it has not said yet what came of it.
    Cancelling,
    /// To let go; of a grant, if one ends with it.
    Unlocking(Option<GrantId>),
}

/// What the database holds for us.
#[derive(Debug)]
pub(super) struct KeyGrant {
    /// Of the question that it was the answer to.
    pub(super) ticket: Ticket,
    /// Who has it here: one, or any number of those who share it.
    pub(super) holders: ShortList<GrantId>,
    /// How often it has passed from task to task.
    pub(super) handoffs: u8,
}

/// A key that is held, asked for or wanted.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) grant: Option<KeyGrant>,
    pub(super) phase: Phase,
    /// Of what is under way.
    pub(super) ticket: Ticket,
    pub(super) queue: ShortList<Waiter>,
}

impl Entry {
    /// One of a key that nobody has, with these in line.
    pub(super) fn new(queue: ShortList<Waiter>) -> Self {
        Entry { grant: None, phase: Phase::Idle, ticket: 0, queue }
    }
}
