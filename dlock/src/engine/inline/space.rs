//! The keys of a locker for tests. Events go in with the time, and what is to be told to others comes
//! out, to be told when nothing is locked any more.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::effects::Effects;
use super::entry::{Entry, Holding, end};
use crate::clock::{Time, Validity};
use crate::engine::call_clock::{TestTime, Watch};
use crate::engine::callers::lose_all;
use crate::engine::conversion::Conversion;
use crate::engine::delivery::Delivery;
use crate::engine::grant::Grant;
use crate::engine::grant::GrantInfo;
use crate::engine::lock_table::{GrantId, RequestId};
use crate::engine::message::{Message, Request};
use crate::error::Error;
use crate::spec::key::Key;
use crate::spec::mode::Mode;
use crate::spec::native::NativeKey;
use crate::status::lost::LostReason;
use crate::testing::{Event, What};

/// How long a lease lasts where nobody says another thing.
pub(super) const TTL: Duration = Duration::from_secs(10);

/// What the test wants.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) failures: VecDeque<Error>,
    pub(super) delay: Duration,
    pub(super) skips_waits: bool,
    /// The time that was not waited.
    pub(super) skipped: Duration,
}

/// See the [module](self).
pub(super) struct Space {
    began: Instant,
    /// What guards read the time from.
    watch: Watch,
    pub(super) keys: BTreeMap<NativeKey, Entry>,
    /// The greatest token of the keys that were forgotten.
    fence_of_pruned: u64,
    pub(super) holds: HashMap<GrantId, NativeKey>,
    pub(super) sleepers: Vec<(Instant, oneshot::Sender<()>)>,
    /// What has not arrived yet.
    pub(super) under_way: Vec<(Instant, Message)>,
    pub(super) plan: Plan,
    pub(super) history: Vec<Event>,
    is_closed: bool,
    /// Whose guards these are.
    pub(super) engine: u64,
    last_hold: GrantId,
}

impl Space {
    pub(super) fn new(began: Instant, watch: Watch) -> Self {
        Space {
            began,
            watch,
            keys: BTreeMap::new(),
            fence_of_pruned: 0,
            holds: HashMap::new(),
            sleepers: Vec::new(),
            under_way: Vec::new(),
            plan: Plan::default(),
            history: Vec::new(),
            is_closed: false,
            engine: 0,
            last_hold: 0,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    pub(super) fn planned_failure(&mut self) -> Option<Error> {
        self.plan.failures.pop_front()
    }

    pub(super) fn note(&mut self, what: What, key: &Key, mode: Mode, now: Instant) {
        let at = now.saturating_duration_since(self.began);
        self.history.push(Event { what, key: key.clone(), mode, at });
    }

    /// Takes a message in; one that a database would answer may be under way for a while.
    pub(super) fn receive(&mut self, message: Message, now: Instant, effects: &mut Effects) {
        let at_once = matches!(
            message,
            Message::Abandon(_)
                | Message::GiveUpConversion { .. }
                | Message::Wake { .. }
                | Message::Close { .. }
        );
        if at_once || self.plan.delay.is_zero() {
            return self.arrive(message, now, effects);
        }
        self.under_way.push((now + self.plan.delay, message));
    }

    pub(super) fn arrive(&mut self, message: Message, now: Instant, effects: &mut Effects) {
        match message {
            Message::Acquire(request) => self.acquire(request, now, effects),
            Message::Abandon(id) => self.abandon(id, now, effects),
            Message::Release { hold, .. } => self.release(hold, now, effects),
            Message::Wake { at, reply, .. } => self.sleepers.push((at, reply)),
            Message::Close { .. } => self.close(effects),
            other => self.ask(other, now, effects),
        }
    }

    pub(super) fn entry(&mut self, native: &NativeKey, key: &Key) -> &mut Entry {
        let fence = self.fence_of_pruned;
        self.keys.entry(native.clone()).or_insert_with(|| Entry::new(key.clone(), fence))
    }

    /// Forgets the keys that have been free for this long; returns how many those are.
    pub(super) fn prune(&mut self, older_than: Duration, now: Instant) -> u64 {
        let is_old = |entry: &Entry| {
            let free_for = entry.last_held.map(|last| now.saturating_duration_since(last));
            entry.is_unused(now) && free_for.is_some_and(|free_for| free_for >= older_than)
        };
        let pruned = self.keys.extract_if(.., |_, entry| is_old(entry));
        let fences: Vec<u64> = pruned.map(|(_, entry)| entry.fence).collect();
        // The next holder of one of them has a greater token than all before.
        self.fence_of_pruned = fences.iter().copied().fold(self.fence_of_pruned, u64::max);
        fences.len() as u64
    }

    /// Lets all who wait go on without a lock, for locking is switched off.
    pub(super) fn let_all_pass(&mut self, effects: &mut Effects) {
        let queues = self.keys.values_mut().map(|entry| std::mem::take(&mut entry.queue));
        let waiting: Vec<Box<Request>> = queues.flatten().collect();
        let sleepers = std::mem::take(&mut self.sleepers);
        effects.push(Box::new(move |_| {
            waiting.into_iter().for_each(|request| request.let_pass());
            for (_, sleeper) in sleepers {
                sleeper.send(()).unwrap_or(());
            }
        }));
    }

    fn acquire(&mut self, request: Box<Request>, now: Instant, effects: &mut Effects) {
        let (native, key) = (request.lock_id.key.clone(), request.key.clone());
        let (patient, mode) = (request.patient, request.lock_id.mode);
        let entry = self.entry(&native, &key);
        if entry.queue.is_empty() && entry.is_free_for(&request, now) {
            return self.grant(&native, request, now, effects);
        }
        if !patient {
            return self.refuse(&native, request, Duration::ZERO, now, effects);
        }
        self.note(What::Waited, &key, mode, now);
        if let Some(end) = request.end.filter(|_| self.plan.skips_waits) {
            let (end, asked) = (end.into_std(), request.asked.into_std());
            self.plan.skipped = end.saturating_duration_since(now);
            let waited = end.saturating_duration_since(asked);
            return self.refuse(&native, request, waited, now, effects);
        }
        self.entry(&native, &key).queue.push_back(request);
    }

    fn grant(
        &mut self,
        native: &NativeKey,
        request: Box<Request>,
        now: Instant,
        effects: &mut Effects,
    ) {
        let fence = (request.lock_id.mode == Mode::Exclusive).then(|| {
            let entry = self.entry(native, &request.key);
            entry.fence += 1;
            entry.fence
        });
        self.grant_with(native, request, fence, now, effects);
    }

    pub(super) fn grant_with(
        &mut self,
        native: &NativeKey,
        request: Box<Request>,
        fence: Option<u64>,
        now: Instant,
        effects: &mut Effects,
    ) {
        self.last_hold += 1;
        let id = self.last_hold;
        let ttl = request.options.ttl.unwrap_or(TTL);
        let ends = if request.options.auto_renew { None } else { end(now, ttl) };
        // It ends when this says so.
        let validity = Arc::new(Validity::endless());
        let lapse = LostReason::Expired;
        let held = GrantInfo { validity, fresh: true, fence, since: Time::now(), lapse };
        let (terms, reply) = request.into_terms();
        let hold = Grant::new(id, self.engine, terms, held);
        let time = TestTime { watch: self.watch, granted: now, ends, ttl };
        let hold = Arc::new(hold.timed_by(time));
        self.holds.insert(id, native.clone());
        let holding = Holding { hold: Arc::clone(&hold), since: now, ends };
        let entry = self.entry(native, &hold.key);
        entry.last_held = Some(now);
        entry.holdings.push(holding);
        effects.push(Box::new(move |engine| {
            // One that does not arrive comes back as a release.
            let _ = reply.send(Ok(Delivery::new(hold, engine.clone())));
        }));
    }

    pub(super) fn refuse(
        &mut self,
        native: &NativeKey,
        request: Box<Request>,
        waited: Duration,
        now: Instant,
        effects: &mut Effects,
    ) {
        let (stage, holder) = self.entry(native, &request.key).in_the_way(now);
        effects.push(Box::new(move |_| request.refuse(waited, stage, holder)));
    }

    fn abandon(&mut self, id: RequestId, now: Instant, effects: &mut Effects) {
        let is_it =
            |message: &Message| matches!(message, Message::Acquire(request) if request.id == id);
        self.under_way.retain(|(_, message)| !is_it(message));
        let mut left = Vec::new();
        for (native, entry) in &mut self.keys {
            let before = entry.queue.len();
            entry.queue.retain(|request| request.id != id);
            if entry.queue.len() < before {
                left.push(native.clone());
            }
        }
        left.iter().for_each(|native| self.serve(native, now, effects));
    }

    pub(super) fn release(&mut self, id: GrantId, now: Instant, effects: &mut Effects) {
        let Some(native) = self.holds.remove(&id) else { return };
        let Some(entry) = self.keys.get_mut(&native) else { return };
        let Some(Holding { hold, since, .. }) = entry.take_out(id) else { return };
        entry.last_held = Some(now);
        // A grant that arrived nowhere was nobody's.
        if hold.is_taken() {
            let kept = end(since, hold.min_hold()).filter(|until| *until > now);
            entry.kept_until = entry.kept_until.max(kept);
            let key = hold.key.clone();
            self.note(What::Released, &key, hold.mode(), now);
        }
        effects.push(Box::new(move |_| hold.mark_released()));
        self.serve(&native, now, effects);
    }

    /// Gives the key to those who can have it now.
    pub(super) fn serve(&mut self, native: &NativeKey, now: Instant, effects: &mut Effects) {
        let Some(entry) = self.keys.get_mut(native) else { return };
        let changes = std::mem::take(&mut entry.converting);
        for (hold, Conversion { to, deadline, reply }) in changes {
            if entry.is_free_for_change(hold, to) {
                let holding = entry.holdings.iter().find(|holding| holding.hold.id == hold);
                holding.inspect(|holding| holding.hold.set_mode(to));
                effects.push(Box::new(move |_| drop(reply.send(Ok(())))));
            } else {
                entry.converting.push((hold, Conversion { to, deadline, reply }));
            }
        }
        while let Some(entry) = self.keys.get_mut(native)
            && let Some(first) = entry.queue.front()
            && entry.is_free_for(first, now)
            && let Some(first) = entry.queue.pop_front()
        {
            self.grant(native, first, now, effects);
        }
    }

    /// Somebody else has the key from now on, or has it no more.
    pub(super) fn set_busy(
        &mut self,
        native: &NativeKey,
        key: &Key,
        busy: bool,
        now: Instant,
        effects: &mut Effects,
    ) {
        let entry = self.entry(native, key);
        entry.busy = busy.then(|| entry.busy.unwrap_or(now));
        entry.last_held = Some(now);
        self.serve(native, now, effects);
    }

    pub(super) fn lose(
        &mut self,
        native: &NativeKey,
        now: Instant,
        effects: &mut Effects,
    ) -> usize {
        let all = self.keys.get(native).map_or(&[][..], |entry| &entry.holdings);
        let all: Vec<_> = all.iter().map(|holding| holding.hold.id).collect();
        for id in &all {
            self.lose_one(*id, LostReason::SessionEnded, now, effects);
        }
        self.serve(native, now, effects);
        all.len()
    }

    pub(super) fn lose_one(
        &mut self,
        id: GrantId,
        why: LostReason,
        now: Instant,
        effects: &mut Effects,
    ) {
        let Some(native) = self.holds.remove(&id) else { return };
        let Some(entry) = self.keys.get_mut(&native) else { return };
        let Some(Holding { hold, .. }) = entry.take_out(id) else { return };
        entry.last_held = Some(now);
        let key = hold.key.clone();
        self.note(What::Lost, &key, hold.mode(), now);
        effects.push(Box::new(move |_| hold.lose(why)));
    }

    fn close(&mut self, effects: &mut Effects) {
        self.is_closed = true;
        let keys = std::mem::take(&mut self.keys);
        let mut holds = Vec::new();
        for entry in keys.into_values() {
            holds.extend(entry.holdings.into_iter().map(|holding| holding.hold));
            effects.push(Box::new(move |_| {
                entry.queue.into_iter().for_each(|request| request.fail(Error::Closed));
            }));
        }
        let under_way = std::mem::take(&mut self.under_way);
        effects.push(Box::new(move |_| {
            under_way.into_iter().for_each(|(_, message)| message.fail(&Error::Closed));
            lose_all(holds.iter());
            holds.iter().for_each(|hold| hold.mark_released());
        }));
        self.holds.clear();
        self.sleepers.clear();
    }
}
