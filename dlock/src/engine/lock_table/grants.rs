//! What the database has granted: who has it here, who is next, how it goes back.

use super::Table;
use super::entry::{Entry, KeyGrant, Phase};
use super::event::{Action, GrantId, Refusal, RequestId, Shareable, Ticket};
use crate::engine::short_list::ShortList;

/// A lock may pass from task to task of this process so many times before other processes have
/// their turn.
pub(super) const HANDOFFS_MAX: u8 = 8;

impl<K: Shareable> Table<K> {
    pub(super) fn granted(&mut self, key: K, ticket: Ticket, out: &mut Vec<Action<K>>) {
        let Table { keys, index, .. } = self;
        let entry = keys.get_mut(&key).filter(|entry| entry.ticket == ticket);
        let is_asked = |phase| matches!(phase, Phase::Trying | Phase::Waiting | Phase::Cancelling);
        let Some(entry) = entry.filter(|entry| is_asked(entry.phase)) else {
            return out.push(Action::DiscardSession { key, ticket });
        };
        if entry.grant.is_some() {
            // There is nobody else in line: that was to be known, and one grant is enough.
            index.unlock_aside(key.clone(), ticket, None, out);
        } else if entry.queue.is_empty() {
            return index.unlock(entry, key, ticket, None, out);
        } else {
            let holders = ShortList::default();
            entry.grant = Some(KeyGrant { ticket, holders, handoffs: 0 });
        }
        entry.phase = Phase::Idle;
        while index.pass_on(entry, &key, out) && key.is_shareable() {}
        index.refuse(entry, Refusal::BusyHere, Refusal::TimedOutHere, out);
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
        let hold = self.index.grant(&key);
        let entry =
            self.keys.entry(key.clone()).or_insert_with(|| Entry::new(ShortList::default()));
        entry.grant =
            Some(KeyGrant { ticket, holders: ShortList::from(hold), handoffs: HANDOFFS_MAX });
        out.push(Action::Grant { key, grant: ticket, request, hold });
    }

    pub(super) fn release(&mut self, hold: GrantId, budget_spent: bool, out: &mut Vec<Action<K>>) {
        if !self.apart.is_empty() && self.release_apart(hold, out) {
            return;
        }
        let Table { keys, index, .. } = self;
        // A grant that was lost has been taken off the table.
        let Some(key) = index.take_held(hold) else {
            return;
        };
        let Some(entry) = keys.get_mut(&key) else {
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
            index.pass_on(entry, &key, out);
            return;
        }
        let grant = grant.ticket;
        entry.grant = None;
        if entry.phase == Phase::Idle {
            index.unlock(entry, key, grant, Some(hold), out);
        } else {
            index.unlock_aside(key, grant, Some(hold), out);
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
            self.index.take_held(hold);
            out.push(Action::Lose { hold });
        }
        if self.is_idle(&key) {
            self.vacate(key, false, out);
        }
    }

    /// Which grant ends with this unlock, if any, and whether it is one aside.
    pub(super) fn unlocking(&mut self, key: &K, ticket: Ticket) -> Option<(Option<GrantId>, bool)> {
        if let Some(hold) = self.index.take_aside(key, ticket) {
            return Some((hold, true));
        }
        match self.phase(key, ticket) {
            Some(Phase::Unlocking(hold)) => Some((hold, false)),
            _ => None,
        }
    }
}
