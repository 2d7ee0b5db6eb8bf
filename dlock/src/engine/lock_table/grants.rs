//! What the database has granted: who has it here, who is next, how it goes back.

use std::collections::VecDeque;

use super::Table;
use super::entry::{Entry, KeyGrant, Phase, Waiter};
use super::event::{Action, GrantId, Refusal, RequestId, Shareable, Ticket};

/// A lock may pass from task to task of this process so many times before other processes have
/// their turn.
pub(super) const HANDOFFS_MAX: u8 = 8;

impl<K: Shareable> Table<K> {
    pub(super) fn granted(&mut self, key: K, ticket: Ticket, out: &mut Vec<Action<K>>) {
        match self.phase(&key, ticket) {
            Some(Phase::Trying | Phase::Waiting | Phase::Cancelling) => {}
            _ => return out.push(Action::DiscardSession { key, ticket }),
        }
        let Some(entry) = self.keys.get_mut(&key) else {
            return;
        };
        if entry.grant.is_some() {
            // There is nobody else in line: that was to be known, and one grant is enough.
            entry.phase = Phase::Idle;
            self.unlock_aside(key.clone(), ticket, None, out);
        } else if entry.queue.is_empty() {
            return self.unlock(key, ticket, None, out);
        } else {
            entry.phase = Phase::Idle;
            entry.grant = Some(KeyGrant { ticket, holders: Vec::new(), handoffs: 0 });
        }
        while self.pass_on(&key, out) && key.is_shareable() {}
        self.refuse(&key, Refusal::BusyHere, Refusal::TimedOutHere, out);
    }

    /// Whoever waits for the key here goes on to. It does not pass to them without the database: they may
    /// have asked already.
    pub(super) fn adopted(
        &mut self,
        key: K,
        ticket: Ticket,
        request: RequestId,
        out: &mut Vec<Action<K>>,
    ) {
        self.last_hold += 1;
        let hold = self.last_hold;
        let entry = self.keys.entry(key.clone()).or_insert_with(|| Entry {
            grant: None,
            phase: Phase::Idle,
            ticket: 0,
            queue: VecDeque::new(),
        });
        entry.grant = Some(KeyGrant { ticket, holders: vec![hold], handoffs: HANDOFFS_MAX });
        self.holds.insert(hold, key.clone());
        out.push(Action::Grant { key, grant: ticket, request, hold });
    }

    pub(super) fn release(&mut self, hold: GrantId, budget_spent: bool, out: &mut Vec<Action<K>>) {
        if !self.apart.is_empty() && self.release_apart(hold, out) {
            return;
        }
        // A grant that was lost has been taken off the table.
        let Some(key) = self.holds.remove(&hold) else {
            return;
        };
        let Some(entry) = self.keys.get_mut(&key) else {
            return;
        };
        let Some(grant) = &mut entry.grant else {
            return;
        };
        grant.holders.retain(|holder| *holder != hold);
        if !grant.holders.is_empty() {
            return out.push(Action::MarkReleased { hold, clean: true });
        }
        let stays = !key.is_shareable() && !budget_spent && grant.handoffs < HANDOFFS_MAX;
        if stays && !entry.queue.is_empty() {
            grant.handoffs += 1;
            out.push(Action::MarkReleased { hold, clean: true });
            self.pass_on(&key, out);
            return;
        }
        let grant = grant.ticket;
        entry.grant = None;
        if entry.phase == Phase::Idle {
            self.unlock(key, grant, Some(hold), out);
        } else {
            self.unlock_aside(key, grant, Some(hold), out);
        }
    }

    pub(super) fn lost(&mut self, key: K, grant: Ticket, out: &mut Vec<Action<K>>) {
        if self.lost_apart(grant, out) {
            return;
        }
        let Some(entry) = self.keys.get_mut(&key) else {
            return;
        };
        let Some(grant) = entry.grant.take_if(|held| held.ticket == grant) else {
            return;
        };
        for hold in grant.holders {
            self.holds.remove(&hold);
            out.push(Action::Lose { hold });
        }
        if self.is_idle(&key) {
            self.vacate(key, false, out);
        }
    }

    /// Gives the lock that this process holds to the first in line, if there is one.
    pub(super) fn pass_on(&mut self, key: &K, out: &mut Vec<Action<K>>) -> bool {
        let Some(Entry { grant: Some(grant), queue, .. }) = self.keys.get_mut(key) else {
            return false;
        };
        let Some(Waiter { request, .. }) = queue.pop_front() else {
            return false;
        };
        self.requests.remove(&request);
        self.last_hold += 1;
        let hold = self.last_hold;
        grant.holders.push(hold);
        self.holds.insert(hold, key.clone());
        out.push(Action::Grant { key: key.clone(), grant: grant.ticket, request, hold });
        true
    }

    pub(super) fn unlock(
        &mut self,
        key: K,
        grant: Ticket,
        hold: Option<GrantId>,
        out: &mut Vec<Action<K>>,
    ) {
        if let Some(ticket) = self.turn(&key, Phase::Unlocking(hold)) {
            out.push(Action::Unlock { key, grant, ticket, hold });
        }
    }

    pub(super) fn unlock_aside(
        &mut self,
        key: K,
        grant: Ticket,
        hold: Option<GrantId>,
        out: &mut Vec<Action<K>>,
    ) {
        self.last_ticket += 1;
        let ticket = self.last_ticket;
        self.asides.insert(ticket, (key.clone(), hold));
        out.push(Action::Unlock { key, grant, ticket, hold });
    }

    /// Which grant ends with this unlock, if any, and whether it is one aside.
    pub(super) fn unlocking(&mut self, key: &K, ticket: Ticket) -> Option<(Option<GrantId>, bool)> {
        if self.asides.get(&ticket).is_some_and(|(about, _)| about == key) {
            return self.asides.remove(&ticket).map(|(_, hold)| (hold, true));
        }
        match self.phase(key, ticket) {
            Some(Phase::Unlocking(hold)) => Some((hold, false)),
            _ => None,
        }
    }
}
