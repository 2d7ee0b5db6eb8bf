//! What stands between the table and the core in the engine's loop: callers, their deadlines, and
//! grants that are handed out when they are fresh.

use std::time::Duration;

use dlock::engine::lease::core::LeaseCore;
use dlock::engine::lock_table::{Action, Event, GrantId, Refusal, RequestId};
use dlock::engine::simulated::{Contact, LockId, Report, Time};

use super::{Asked, CONTENTION_MEMORY, GRACE, HANDOFF_TIME_MAX, Process, id_of};
use crate::lease::callers::{Alarm, Guard, Request};
use crate::lease::server::number;
use std::sync::Arc;

impl Process {
    /// What the engine's loop does each time it wakes.
    pub(crate) fn turn(&mut self, now: Duration) {
        self.call("call: lapse", now, LeaseCore::lapse);
        self.hear(now);
        self.ring(now);
        self.confirm(now);
        self.hear(now);
        self.settle_doubts(now);
        self.call("call: send", now, LeaseCore::send);
    }

    fn hear(&mut self, now: Duration) {
        while let Some(Report { event, .. }) = self.reports.pop_front() {
            self.step(event, now);
        }
    }

    pub(crate) fn want(&mut self, request: Request, now: Duration) {
        let (id, key, patient) = (request.id, request.key, request.patient);
        self.callers.requests.insert(id, request);
        let event = Event::Acquire { request: id, key: id_of(key), patient, budget_spent: true };
        self.step(event, now);
    }

    /// A caller comes, and its time begins.
    pub(crate) fn acquire(&mut self, request: Request, now: Duration) {
        let (id, end) = (request.id, request.end);
        let alarm = if request.patient { Alarm::Expire(id) } else { Alarm::Overdue(id) };
        self.callers.alarms.insert((end, alarm));
        self.want(request, now);
    }

    /// A holder gives its lock to another process.
    pub(crate) fn give(&mut self, key: u8, to: usize, taken: bool, now: Duration) {
        let guard = self.callers.guards.iter().find(|(_, guard)| guard.key == key);
        let Some(hold) = guard.map(|(hold, _)| *hold) else { return };
        self.callers.guards.remove(&hold);
        let owner: Arc<str> = format!("gift of {} {}", self.index, self.last_question).into();
        let asked = Asked::Give { key, to, taken, owner: Arc::clone(&owner) };
        let id = self.question(asked);
        self.call("call: make token", now, |core, now, out| {
            core.make_token(id, &id_of(key).key, (hold, owner), now, out);
        });
    }

    fn is_contended(&self, key: u8, now: Duration) -> bool {
        self.contended.get(&key).is_some_and(|at| now - *at <= CONTENTION_MEMORY)
    }

    pub(crate) fn step(&mut self, event: Event<LockId>, now: Duration) {
        self.steps += 1;
        let contended = match &event {
            Event::Acquire { key, .. } | Event::Unlocked { key, .. } => {
                self.is_contended(number(&key.key), now)
            }
            Event::Refused { key, .. } | Event::Ended { key, .. } => {
                self.contended.insert(number(&key.key), now);
                true
            }
            _ => false,
        };
        let mut decided = std::mem::take(&mut self.decided);
        self.table.step(event.clone(), contended, &mut decided);
        self.note(now, || format!("{event:?} -> {decided:?}"));
        for action in decided.drain(..) {
            self.obey(action, now);
        }
        if self.decided.capacity() == 0 {
            self.decided = decided;
        }
    }

    fn obey(&mut self, action: Action<LockId>, now: Duration) {
        match action {
            Action::Try { key, ticket } => {
                self.coverage.count("table: try");
                let options = self.options(&key);
                self.call("call: try", now, |core, now, _| {
                    core.try_lock(key.key, ticket, &options, now);
                });
            }
            Action::Wait { key, ticket } => {
                self.coverage.count("table: wait");
                self.contended.insert(number(&key.key), now);
                let (options, until) = (self.options(&key), self.latest(&key, now));
                let until = Some(self.base + until);
                self.call("call: wait", now, |core, now, _| {
                    core.wait(key.key, ticket, until, &options, now);
                });
            }
            Action::Cancel { key, ticket } => {
                self.coverage.count("table: cancel");
                self.call("call: cancel", now, |core, _, out| core.cancel(&key.key, ticket, out));
            }
            Action::Unlock { key, ticket, .. } => {
                self.coverage.count("table: unlock");
                self.call("call: unlock", now, |core, now, out| {
                    core.unlock(&key.key, ticket, now, out);
                });
            }
            Action::DiscardSession { key, ticket } => {
                self.coverage.count("table: discard");
                self.call("call: discard", now, |core, now, _| core.discard(&key.key, ticket, now));
            }
            Action::Grant { key, grant, request, hold } => {
                self.coverage.count("table: grant");
                let Some(request) = self.callers.requests.remove(&request) else {
                    return self.step(Event::Release { hold, budget_spent: false }, now);
                };
                let options = request.like.options(self.index);
                self.call("call: hand over", now, |core, now, _| {
                    core.hand_over(&key.key, grant, &options, now);
                });
                self.callers.confirming.insert(hold, (grant, request));
            }
            Action::Refuse { request, why } => {
                self.coverage.count("table: refuse");
                if let Some(request) = self.callers.requests.remove(&request) {
                    self.refuse(request, why, now);
                }
            }
            Action::MarkReleased { hold, .. } => {
                self.coverage.count("table: mark released");
                self.callers.guards.remove(&hold);
            }
            Action::Lose { hold } => {
                self.coverage.count("table: lose");
                if let Some(guard) = self.callers.guards.remove(&hold) {
                    self.coverage.count("caller: a loss");
                    let moment = self.now(now);
                    let is_valid = guard.validity.is_valid_on(moment.time, moment.wall);
                    assert!(!is_valid, "{guard:?} is lost, and valid yet");
                    assert!(
                        self.loses || !guard.renewed,
                        "{guard:?} is lost, and nothing is broken"
                    );
                } else if self.callers.kept.remove(&hold).is_none()
                    && let Some((_, request)) = self.callers.confirming.remove(&hold)
                    && !request.adopts
                {
                    self.want(request, now);
                }
            }
            other => panic!("nobody has asked for this: {other:?}"),
        }
    }

    fn refuse(&mut self, request: Request, why: Refusal, now: Duration) {
        match why {
            Refusal::BusyHere | Refusal::TimedOutHere => self.coverage.count("caller: busy"),
            Refusal::Unavailable => self.coverage.count("caller: no answer"),
            Refusal::BusyElsewhere | Refusal::TimedOutElsewhere => {
                let since = self.now(now).time;
                let since =
                    Time::BOOT.after(since.since(Time::BOOT).saturating_sub(CONTENTION_MEMORY));
                self.doubt(request, since, now);
            }
        }
    }

    fn doubt(&mut self, request: Request, since: Time, now: Duration) {
        let key = id_of(request.key);
        let contact = self
            .call("call: contact", now, |core, now, out| core.contact(&key.key, since, now, out));
        match contact {
            Contact::Heard => self.coverage.count("caller: busy"),
            Contact::Failed => self.coverage.count("caller: no answer"),
            Contact::Unknown => {
                let at = now.max(request.end) + GRACE;
                self.callers.alarms.insert((at, Alarm::Overdue(request.id)));
                self.callers.doubts.push((request, since));
            }
        }
    }

    fn settle_doubts(&mut self, now: Duration) {
        for (request, since) in std::mem::take(&mut self.callers.doubts) {
            self.doubt(request, since, now);
        }
    }

    /// Hands out what was granted, as far as the database's answer on it is fresh.
    fn confirm(&mut self, now: Duration) {
        let confirming: Vec<_> = self.callers.confirming.keys().copied().collect();
        for hold in confirming {
            let Some((ticket, request)) = self.callers.confirming.get(&hold).cloned() else {
                continue;
            };
            let key = id_of(request.key);
            match self.core.held(&key.key, self.now(now)) {
                Some(held) if !held.fresh => {
                    self.call("call: refresh", now, |core, now, _| core.refresh(&key.key, now));
                }
                Some(held) => {
                    let ttl = request.like.ttl.filter(|ttl| *ttl != Duration::MAX);
                    // What the wall clock shows may have been set meanwhile.
                    if let (Some(ttl), None) = (ttl, self.wall) {
                        let left = held.validity.remaining(self.now(now).time);
                        assert!(left >= ttl / 2, "{key:?} is handed out with {left:?} of {ttl:?}");
                    }
                    self.callers.confirming.remove(&hold);
                    self.coverage.count("caller: a lock");
                    self.granted += 1;
                    let until = now + request.hold;
                    let (validity, fence) = (held.validity, held.fence);
                    let (key, min_hold) = (request.key, request.like.min_hold);
                    let (adopted, renewed) = (request.adopts, !request.like.once);
                    let since = now;
                    let guard =
                        Guard { key, ticket, fence, validity, since, min_hold, adopted, renewed };
                    self.callers.guards.insert(hold, guard);
                    self.callers.alarms.insert((until, Alarm::Release(hold)));
                    self.fresh.push(hold);
                }
                None => self.step(Event::Lost { key, grant: ticket }, now),
            }
        }
    }

    /// Does what is due by the clock.
    fn ring(&mut self, now: Duration) {
        while let Some(&(at, alarm)) = self.callers.alarms.first()
            && at <= now
        {
            self.callers.alarms.pop_first();
            match alarm {
                Alarm::Expire(request) => {
                    if self.callers.requests.contains_key(&request) {
                        self.step(Event::Expire { request }, now);
                    }
                    if self.callers.has_unanswered(request) {
                        self.callers.alarms.insert((now + GRACE, Alarm::Overdue(request)));
                    }
                }
                Alarm::Overdue(request) if self.callers.requests.contains_key(&request) => {
                    self.step(Event::Overdue { request }, now);
                    assert!(
                        !self.callers.requests.contains_key(&request),
                        "overdue, and not answered"
                    );
                }
                Alarm::Overdue(request) => {
                    let before = self.callers.doubts.len();
                    self.callers.doubts.retain(|(doubt, _)| doubt.id != request);
                    if self.callers.doubts.len() < before {
                        self.coverage.count("caller: late");
                    }
                    self.give_up(request, now);
                }
                Alarm::Release(hold) => self.release(hold, now),
                Alarm::MinHold(hold) => {
                    if let Some((key, ticket)) = self.callers.kept.remove(&hold) {
                        self.let_go(hold, key, ticket, now);
                    }
                }
            }
        }
    }

    /// The caller has gone, or its time is up, before it was confirmed that it has the lock.
    pub(crate) fn give_up(&mut self, request: RequestId, now: Duration) {
        let mut confirming = self.callers.confirming.iter();
        let hold = confirming.find(|(_, (_, other))| other.id == request).map(|(hold, _)| *hold);
        if let Some(hold) = hold {
            self.callers.confirming.remove(&hold);
            self.step(Event::Release { hold, budget_spent: false }, now);
        }
    }

    /// A guard has gone.
    fn release(&mut self, hold: GrantId, now: Duration) {
        let Some(guard) = self.callers.guards.get(&hold).cloned() else { return };
        let rest = (guard.since + guard.min_hold).saturating_sub(now);
        if rest.is_zero() {
            return self.let_go(hold, guard.key, guard.ticket, now);
        }
        self.callers.guards.remove(&hold);
        let key = id_of(guard.key);
        let validity = self.call("call: linger", now, |core, _, _| {
            core.linger(&key.key, rest, (hold, guard.min_hold))
        });
        self.callers.settling.extend(validity.map(|validity| (hold, validity)));
        self.callers.kept.insert(hold, (guard.key, guard.ticket));
        self.callers.alarms.insert((now + rest, Alarm::MinHold(hold)));
    }

    fn let_go(&mut self, hold: GrantId, key: u8, _: u64, now: Duration) {
        // Its code runs under the lock no more.
        self.callers.guards.remove(&hold);
        let held = self.core.held(&id_of(key).key, self.now(now));
        let since = held.map(|held| self.now(now).time.since(held.since));
        let budget_spent = since.is_none_or(|since| since > HANDOFF_TIME_MAX);
        self.step(Event::Release { hold, budget_spent }, now);
    }

    /// On what options the first of those who wait for this key wants it.
    fn options(&self, key: &LockId) -> dlock::engine::simulated::LockOptions {
        let mut waiting = self.table.waiting(key);
        let first = waiting.find_map(|id| self.callers.requests.get(&id));
        first.map(|request| request.like.options(self.index)).unwrap_or_default()
    }

    /// Until when the most patient of those who wait for this key does so.
    fn latest(&self, key: &LockId, now: Duration) -> Duration {
        let waiting = self.table.waiting(key).filter_map(|id| self.callers.requests.get(&id));
        waiting.filter(|request| request.patient).map(|request| request.end).max().unwrap_or(now)
    }
}
