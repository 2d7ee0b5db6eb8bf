//! Who is in the table by which key, and the numbers of questions and grants.

use super::entry::{Entry, KeyGrant, Phase, Waiter};
use super::event::{Action, GrantId, Refusal, RequestId, Shareable, Ticket};
use crate::engine::map::Map;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Index<K> {
    requests: Map<RequestId, K>,
    holds: Map<GrantId, K>,
    /// Unlocks beside what is asked for their key, and the grants that end with them.
    asides: Map<Ticket, (K, Option<GrantId>)>,
    last_ticket: Ticket,
    last_hold: GrantId,
}

impl<K> Default for Index<K> {
    fn default() -> Self {
        Index {
            requests: Map::default(),
            holds: Map::default(),
            asides: Map::default(),
            last_ticket: 0,
            last_hold: 0,
        }
    }
}

/// By number.
impl<K: Shareable> Index<K> {
    /// Whether there is nobody and nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.holds.is_empty() && self.asides.is_empty()
    }

    /// A number for a question.
    pub(super) fn ticket(&mut self) -> Ticket {
        self.last_ticket += 1;
        self.last_ticket
    }

    /// A number for one more grant of this key.
    pub(super) fn grant(&mut self, key: &K) -> GrantId {
        self.last_hold += 1;
        self.holds.insert(self.last_hold, key.clone());
        self.last_hold
    }

    /// What is held by this grant.
    pub(super) fn held(&self, hold: GrantId) -> Option<&K> {
        self.holds.get(&hold)
    }

    /// It is this from now on.
    pub(super) fn change_held(&mut self, hold: GrantId, key: K) {
        self.holds.insert(hold, key);
    }

    /// The grant has ended. Returns what was held by it.
    pub(super) fn take_held(&mut self, hold: GrantId) -> Option<K> {
        self.holds.remove(&hold)
    }

    /// This caller is in line for the key.
    pub(super) fn wants(&mut self, request: RequestId, key: K) {
        self.requests.insert(request, key);
    }

    /// What this caller is in line for.
    pub(super) fn wanted(&self, request: RequestId) -> Option<&K> {
        self.requests.get(&request)
    }

    /// This caller is in line no more. Returns for what it was.
    pub(super) fn take_wanted(&mut self, request: RequestId) -> Option<K> {
        self.requests.remove(&request)
    }

    /// Gives back a grant of this key, beside what is asked for that. `hold` ends with it.
    pub(super) fn unlock_aside(
        &mut self,
        key: K,
        grant: Ticket,
        hold: Option<GrantId>,
        out: &mut Vec<Action<K>>,
    ) {
        let ticket = self.ticket();
        self.asides.insert(ticket, (key.clone(), hold));
        out.push(Action::Unlock { key, grant, ticket, hold });
    }

    /// Removes the unlock aside with this ticket. Returns the grant that ends with it, if any.
    pub(super) fn take_aside(&mut self, key: &K, ticket: Ticket) -> Option<Option<GrantId>> {
        self.asides.get(&ticket).filter(|(about, _)| about == key)?;
        self.asides.remove(&ticket).map(|(_, hold)| hold)
    }
}

/// What is done about an entry that has been looked up.
impl<K: Shareable> Index<K> {
    /// The entry enters the next phase, with a ticket of its own.
    pub(super) fn begin(&mut self, entry: &mut Entry, phase: Phase) -> Ticket {
        entry.ticket = self.ticket();
        entry.phase = phase;
        entry.ticket
    }

    /// Has the database asked for the key.
    pub(super) fn ask(&mut self, entry: &mut Entry, key: K, wait: bool, out: &mut Vec<Action<K>>) {
        let ticket = self.begin(entry, if wait { Phase::Waiting } else { Phase::Trying });
        out.push(if wait { Action::Wait { key, ticket } } else { Action::Try { key, ticket } });
    }

    /// Gives back a grant of the key. `hold` ends with it.
    pub(super) fn unlock(
        &mut self,
        entry: &mut Entry,
        key: K,
        grant: Ticket,
        hold: Option<GrantId>,
        out: &mut Vec<Action<K>>,
    ) {
        let ticket = self.begin(entry, Phase::Unlocking(hold));
        out.push(Action::Unlock { key, grant, ticket, hold });
    }

    /// Gives the lock that this process holds to the first in line, if there is one.
    pub(super) fn pass_on(&mut self, entry: &mut Entry, key: &K, out: &mut Vec<Action<K>>) -> bool {
        let Some(KeyGrant { ticket, holders, .. }) = &mut entry.grant else { return false };
        let Some(Waiter { request, .. }) = entry.queue.pop() else { return false };
        self.requests.remove(&request);
        let hold = self.grant(key);
        holders.push(hold);
        out.push(Action::Grant { key: key.clone(), grant: *ticket, request, hold });
        true
    }

    /// Answers those in line who want only a try, and those whose time is up.
    pub(super) fn refuse(
        &mut self,
        entry: &mut Entry,
        busy: Refusal,
        late: Refusal,
        out: &mut Vec<Action<K>>,
    ) {
        self.refuse_if(entry, out, |waiter| match waiter {
            Waiter { patient: false, .. } => Some(busy),
            Waiter { expired: true, .. } => Some(late),
            _ => None,
        });
    }

    /// Answers those in line for whom there is a reason.
    pub(super) fn refuse_if(
        &mut self,
        entry: &mut Entry,
        out: &mut Vec<Action<K>>,
        why: impl Fn(&Waiter) -> Option<Refusal>,
    ) {
        entry.queue.retain(|waiter| {
            let Some(why) = why(waiter) else { return true };
            self.requests.remove(&waiter.request);
            out.push(Action::Refuse { request: waiter.request, why });
            false
        });
    }
}
