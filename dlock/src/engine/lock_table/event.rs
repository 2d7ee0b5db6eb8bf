//! What goes into the table, and what comes out.

use std::hash::Hash;

/// Names one question to the database. Never used twice.
pub type Ticket = u64;
/// Names one caller who wants a key.
pub type RequestId = u64;
/// Names one grant.
pub type GrantId = u64;

/// What callers want: a key, in one mode.
pub trait Shareable: Clone + Eq + Hash {
    /// Whether several may hold it at once.
    fn is_shareable(&self) -> bool;
}

/// What has happened.
#[derive(Debug, Clone)]
pub enum Event<K> {
    /// The database has passed a grant to this caller that another process had: nobody was asked for it.
    Adopted { key: K, ticket: Ticket, request: RequestId },
    /// A caller wants the key. One that is not patient takes it now or not at all. `budget_spent`: the
    /// database must be asked before somebody joins those who share the key.
    Acquire { request: RequestId, key: K, patient: bool, budget_spent: bool },
    /// The caller's time is up. It is answered when it is certain that it does not hold the lock.
    Expire { request: RequestId },
    /// The caller's time was up a while ago and the database does not answer.
    Overdue { request: RequestId },
    /// The caller has gone.
    Abandon { request: RequestId },
    /// The database has granted what was tried or waited for.
    Granted { key: K, ticket: Ticket },
    /// The database has refused what was tried.
    Refused { key: K, ticket: Ticket },
    /// A wait has ended without the lock: cancelled, or over.
    Ended { key: K, ticket: Ticket },
    /// The question failed and nothing is held by it. Asking again makes no sense if `fatal`.
    Failed { key: K, ticket: Ticket, fatal: bool },
    /// The database has let go of the key; not `clean` if it says that it was not held.
    Unlocked { key: K, ticket: Ticket, clean: bool },
    /// A guard has gone. `budget_spent`: other processes should have their turn.
    Release { hold: GrantId, budget_spent: bool },
    /// What was granted by this ticket is held no more.
    Lost { key: K, grant: Ticket },
    /// A guard is to hold what it has in another mode. One that is not patient does not wait for
    /// those who share it here.
    Convert { hold: GrantId, patient: bool },
    /// The guard does not want that any more.
    Stay { hold: GrantId },
    /// The database holds the grant as this from now on.
    Converted { grant: Ticket, key: K },
    /// The database holds the grant as before, and is not asked to change that any more.
    Unconverted { grant: Ticket, why: Stays },
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action<K> {
    /// Ask the database for the key, without waiting.
    Try { key: K, ticket: Ticket },
    /// Have the database wait for the key.
    Wait { key: K, ticket: Ticket },
    /// Cancel that wait.
    Cancel { key: K, ticket: Ticket },
    /// Give back what the database has granted by that ticket. `hold` ends with it.
    Unlock { key: K, grant: Ticket, ticket: Ticket, hold: Option<GrantId> },
    /// This caller has the lock now, by what the database has granted by that ticket.
    Grant { key: K, grant: Ticket, request: RequestId, hold: GrantId },
    /// This caller does not get the lock.
    Refuse { request: RequestId, why: Refusal },
    /// This grant has ended and the lock was surely held until then, if `clean`.
    MarkReleased { hold: GrantId, clean: bool },
    /// This grant is lost.
    Lose { hold: GrantId },
    /// Have the database hold the grant in the mode that this guard wants.
    Convert { key: K, grant: Ticket, hold: GrantId },
    /// Ask for that no more, and say what came of it.
    StopConvert { grant: Ticket },
    /// The guard holds this from now on.
    Changed { hold: GrantId, key: K },
    /// The guard goes on holding what it had.
    Unchanged { hold: GrantId, why: Stays },
    /// The database has answered a question that nobody asks any more: whatever it holds for us by
    /// that answer must go.
    DiscardSession { key: K, ticket: Ticket },
}

/// Why a guard keeps the mode that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stays {
    /// Others in this process share the lock.
    BusyHere,
    /// Somebody else has the lock too.
    BusyElsewhere,
    /// Another holder waits for this one to go, as this one does for that.
    Deadlock,
    /// The database could not be asked, or has answered with an error.
    Failed,
}

/// Why a caller does not get the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It was not patient, and this process has the lock.
    BusyHere,
    /// It was not patient, and somebody else has the lock.
    BusyElsewhere,
    /// Its time is up, and this process has the lock.
    TimedOutHere,
    /// Its time is up, and somebody else has the lock.
    TimedOutElsewhere,
    /// The database could not be asked.
    Unavailable,
}
