//! Those who wait for a key: how they come, how their time runs out, how they are told no.

use std::collections::VecDeque;

use super::Table;
use super::entry::{Entry, Phase, Waiter};
use super::event::{Action, GrantId, Refusal, RequestId, Shareable};
use super::grants::HANDOFFS_MAX;

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
        let Some(entry) = self.keys.get_mut(&key) else {
            let queue = VecDeque::from([waiter]);
            let entry = Entry { grant: None, phase: Phase::Idle, ticket: 0, queue };
            self.keys.insert(key.clone(), entry);
            self.requests.insert(request, key.clone());
            return self.ask(key, contended && patient, out);
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
                entry.queue.push_back(waiter);
                self.requests.insert(request, key.clone());
            }
        }
        if shared && self.is_idle(&key) {
            if budget_spent {
                self.ask(key, contended && patient, out);
            } else {
                self.pass_on(&key, out);
            }
        }
    }

    /// Who has the lock next if this holder, the only one, releases it now and its turn is not over.
    pub fn next_after(&self, hold: GrantId, key: &K) -> Option<RequestId> {
        let Entry { grant: Some(grant), queue, .. } = self.keys.get(key)? else { return None };
        let is_alone = self.apart.is_empty() && grant.holders == [hold];
        let stays = is_alone && !key.is_shareable() && grant.handoffs < HANDOFFS_MAX;
        queue.front().filter(|_| stays).map(|waiter| waiter.request)
    }

    pub(super) fn expire(&mut self, request: RequestId, out: &mut Vec<Action<K>>) {
        let Some(key) = self.requests.get(&request).cloned() else {
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
        let key = self.requests.remove(&request)?;
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
        self.refuse_if(key, out, |waiter| match waiter {
            Waiter { patient: false, .. } => Some(busy),
            Waiter { expired: true, .. } => Some(late),
            _ => None,
        });
    }

    pub(super) fn refuse_if(
        &mut self,
        key: &K,
        out: &mut Vec<Action<K>>,
        why: impl Fn(&Waiter) -> Option<Refusal>,
    ) {
        let Some(entry) = self.keys.get_mut(key) else {
            return;
        };
        entry.queue.retain(|waiter| {
            let Some(why) = why(waiter) else { return true };
            self.requests.remove(&waiter.request);
            out.push(Action::Refuse { request: waiter.request, why });
            false
        });
    }
}
