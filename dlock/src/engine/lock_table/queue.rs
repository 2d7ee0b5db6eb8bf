//! Those who wait for a key: how they come, how their time runs out, how they are told no.

use super::Table;
use super::entry::{Entry, Phase, Waiter};
use super::event::{Action, GrantId, Refusal, RequestId, Shareable};
use super::grants::HANDOFFS_MAX;
use crate::engine::short_list::ShortList;

impl<K: Shareable> Table<K> {
    pub(super) fn acquire(
        &mut self,
        waiter: Waiter,
        key: K,
        budget_spent: bool,
        contended: bool,
        out: &mut Vec<Action<K>>,
    ) {
        let Waiter { request, patient, .. } = waiter;
        let Table { keys, index, .. } = self;
        let Some(entry) = keys.get_mut(&key) else {
            let entry = keys.entry(key.clone()).or_insert(Entry::new(ShortList::from(waiter)));
            index.wants(request, key.clone());
            return index.ask(entry, key, contended && patient, out);
        };
        let shared = key.is_shareable();
        // A try never jumps a queue, and there is no point in it while the key is known to be held.
        let refusal = match entry.phase {
            Phase::Idle if !shared => Some(Refusal::BusyHere),
            Phase::Waiting => Some(Refusal::BusyElsewhere),
            Phase::Unlocking(_) if !entry.queue.is_empty() && !shared => Some(Refusal::BusyHere),
            Phase::Idle | Phase::Trying | Phase::Cancelling | Phase::Unlocking(_) => None,
        };
        match refusal {
            Some(why) if !patient => return out.push(Action::Refuse { request, why }),
            _ => {
                entry.queue.push(waiter);
                index.wants(request, key.clone());
            }
        }
        if shared && entry.phase == Phase::Idle {
            if budget_spent {
                index.ask(entry, key, contended && patient, out);
            } else {
                index.pass_on(entry, &key, out);
            }
        }
    }

    /// Who has the lock next if this holder, the only one, releases it now and its turn is not over.
    pub fn next_after(&self, hold: GrantId, key: &K) -> Option<RequestId> {
        let Entry { grant: Some(grant), queue, .. } = self.keys.get(key)? else { return None };
        let is_alone = self.apart.is_empty() && grant.holders.is_just(&hold);
        let stays = is_alone && !key.is_shareable() && grant.handoffs < HANDOFFS_MAX;
        queue.first().filter(|_| stays).map(|waiter| waiter.request)
    }

    pub(super) fn expire(&mut self, request: RequestId, out: &mut Vec<Action<K>>) {
        let Some(key) = self.index.wanted(request).cloned() else {
            return;
        };
        let Some(entry) = self.keys.get_mut(&key) else {
            return;
        };
        let why = match entry.phase {
            Phase::Idle | Phase::Unlocking(_) => Refusal::TimedOutHere,
            // Others go on waiting, so this one is free to go.
            Phase::Waiting | Phase::Cancelling
                if entry.queue.iter().any(|w| w.request != request && !w.expired) =>
            {
                Refusal::TimedOutElsewhere
            }
            // The answer that is on its way may be a grant, and then it is this caller's.
            Phase::Trying | Phase::Waiting | Phase::Cancelling => {
                let mine = entry.queue.iter_mut().find(|waiter| waiter.request == request);
                mine.into_iter().for_each(|waiter| waiter.expired = true);
                return self.stop_waiting(&key, out);
            }
        };
        self.withdraw(request);
        out.push(Action::Refuse { request, why });
    }

    pub(super) fn overdue(&mut self, request: RequestId, out: &mut Vec<Action<K>>) {
        let Some(key) = self.withdraw(request) else {
            return;
        };
        let why = match self.keys.get(&key).map(|entry| entry.phase) {
            Some(Phase::Idle | Phase::Unlocking(_)) => Refusal::TimedOutHere,
            // The lock may be ours at this moment: that it was not to be had would be a lie.
            _ => Refusal::Unavailable,
        };
        out.push(Action::Refuse { request, why });
        self.stop_waiting(&key, out);
    }

    pub(super) fn withdraw(&mut self, request: RequestId) -> Option<K> {
        let key = self.index.take_wanted(request)?;
        let entry = self.keys.get_mut(&key)?;
        entry.queue.retain(|waiter| waiter.request != request);
        Some(key)
    }

    pub(super) fn refuse(
        &mut self,
        key: &K,
        busy: Refusal,
        late: Refusal,
        out: &mut Vec<Action<K>>,
    ) {
        if let Some(entry) = self.keys.get_mut(key) {
            self.index.refuse(entry, busy, late, out);
        }
    }
}
