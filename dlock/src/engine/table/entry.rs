//! One key of the table.

use std::collections::VecDeque;

use super::event::{HoldId, RequestId, Ticket};

/// A caller who is in line.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) request: RequestId,
    pub(super) patient: bool,
    /// Its time is up, but it may still get the lock: the database has been asked to stop.
    pub(super) expired: bool,
}

/// What is under way for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The database has been asked for the key.
    Trying,
    /// The database waits for the key on our behalf.
    Waiting,
    /// It has been asked to stop, and has not said yet what came of it.
    Cancelling,
    /// The database holds it for us, and one caller here has it.
    Held(HoldId),
    /// The database has been asked to let go; of a grant, if one ends with it.
    Unlocking(Option<HoldId>),
}

/// A key that is held, asked for or wanted.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) phase: Phase,
    /// Of what is under way.
    pub(super) ticket: Ticket,
    /// How often it has passed from task to task since the database granted it.
    pub(super) handoffs: u8,
    pub(super) queue: VecDeque<Waiter>,
}
