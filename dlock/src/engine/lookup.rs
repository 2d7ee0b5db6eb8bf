//! Who is in the way of callers whose time runs out.
//!
//! A search never decides what a caller is told, nor when: it ends without a word when the server
//! does not answer. There is one at a time, for all keys that are wanted by then, and not more than
//! so many a second.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::actor::Actor;
use super::callers::{EngineDeadline, expiry};
use super::executor::Executor;
use super::lock_table::RequestId;
use super::map::Map;
use super::message::{Message, Request};
use crate::backend::LockView;
use crate::observe::Waiting;
use crate::spec::key::Key;
use crate::spec::lock_id::LockId;
use crate::spec::native::NativeKey;
use crate::status::holder::{Holder, Stage};

/// So long a caller whose time is up waits at most to learn who was in the way.
const WAIT_MAX: Duration = Duration::from_millis(50);
/// So long what was found is worth telling.
const FOUND_AGE_MAX: Duration = Duration::from_millis(100);
/// A search that takes longer is given up.
const SEARCH_TIME_MAX: Duration = Duration::from_secs(1);
/// Between the beginnings of two searches.
const PAUSE: Duration = Duration::from_millis(20);

/// What is searched for, and what was found.
#[derive(Default)]
pub(super) struct Lookups {
    wanted: BTreeSet<NativeKey>,
    /// What the search that is under way is about.
    under_way: Option<BTreeSet<NativeKey>>,
    begun: Option<Instant>,
    /// Callers whose time is up, and how long they have waited.
    callers: Map<RequestId, (Request, Duration)>,
    found: Map<NativeKey, (Instant, Option<Holder>)>,
    /// Callers who go on waiting, of whom it is to be told for whom.
    slow: Vec<Slow>,
}

/// A caller who waits for longer than usual.
struct Slow {
    waiting: Box<Waiting>,
    key: Key,
    lock_id: LockId,
    asked: Instant,
}

impl Lookups {
    fn is_known(&self, key: &NativeKey) -> bool {
        self.found.get(key).is_some_and(|(at, _)| at.elapsed() < FOUND_AGE_MAX)
    }

    /// Who was found to hold this.
    fn holder(&self, key: &NativeKey) -> Option<Holder> {
        self.found.get(key).and_then(|(_, holder)| holder.clone())
    }

    fn want(&mut self, key: &NativeKey) {
        let comes = self.under_way.as_ref().is_some_and(|keys| keys.contains(key));
        if !comes && !self.is_known(key) {
            self.wanted.insert(key.clone());
        }
    }

    /// All callers who have had no answer yet.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (Request, Duration)> {
        self.callers.drain().map(|(_, caller)| caller)
    }

    /// What to search for now.
    fn begin(&mut self) -> Option<Vec<NativeKey>> {
        let now = Instant::now();
        let early = self.begun.is_some_and(|begun| now < begun + PAUSE);
        if self.wanted.is_empty() || self.under_way.is_some() || early {
            return None;
        }
        self.found.retain(|_, (at, _)| at.elapsed() < FOUND_AGE_MAX);
        self.begun = Some(now);
        let keys = std::mem::take(&mut self.wanted);
        let search = keys.iter().cloned().collect();
        self.under_way = Some(keys);
        Some(search)
    }

    /// When a search that is wanted can begin.
    pub(super) fn next(&self) -> Option<Instant> {
        let waits = !self.wanted.is_empty() && self.under_way.is_none();
        self.begun.filter(|_| waits).map(|begun| begun + PAUSE)
    }
}

impl<E: Executor> Actor<E> {
    /// Answers a caller whose time is up, soon, if possible with who holds the key.
    pub(super) fn look_for_holder(&mut self, request: Request, waited: Duration) {
        let key = &request.lock_id.key;
        if self.lookups.is_known(key) {
            let holder = self.lookups.holder(key);
            return request.refuse(waited, Stage::Database, holder);
        }
        self.lookups.want(key);
        self.deadlines.insert((Instant::now() + WAIT_MAX, request.id, EngineDeadline::Overdue));
        self.lookups.callers.insert(request.id, (request, waited));
        self.search();
    }

    /// A caller's time will soon be up.
    pub(super) fn look_ahead(&mut self, id: RequestId) {
        let Some(request) = self.callers.requests.get(&id) else { return };
        self.deadlines.extend(expiry(request));
        if self.holder_here(&request.lock_id).is_none() {
            self.lookups.want(&request.lock_id.key);
            self.search();
        }
    }

    /// A caller has waited for longer than usual: tells for whom, as soon as that is known.
    pub(super) fn waits_long(&mut self, id: RequestId) {
        let Some(request) = self.callers.requests.get_mut(&id) else { return };
        let Some(waiting) = request.waiting.take() else { return };
        let (key, lock_id) = (request.key.clone(), request.lock_id.clone());
        let slow = Slow { waiting, key, lock_id, asked: request.asked };
        if let Some(holder) = self.holder_here(&slow.lock_id) {
            return self.tell_slow(&slow, Some(&holder));
        }
        if self.lookups.is_known(&slow.lock_id.key) {
            return self.tell_slow(&slow, self.lookups.holder(&slow.lock_id.key).as_ref());
        }
        self.lookups.want(&slow.lock_id.key);
        self.lookups.slow.push(slow);
        self.search();
    }

    fn tell_slow(&self, slow: &Slow, holder: Option<&Holder>) {
        let Slow { waiting, key, lock_id, asked } = slow;
        waiting.tell(&self.telemetry, (key, lock_id.mode), asked.elapsed(), holder);
    }

    /// Begins a search that had to wait for its turn.
    pub(super) fn search_later(&mut self) {
        if self.lookups.next().is_some_and(|at| at <= Instant::now()) {
            self.search();
        }
    }

    fn search(&mut self) {
        let Some(keys) = self.lookups.begin() else { return };
        let (reply, answer) = oneshot::channel();
        self.executor.look_up(keys, reply);
        let engine = self.engine.clone();
        tokio::spawn(async move {
            let seen = match timeout(SEARCH_TIME_MAX, answer).await {
                Ok(Ok(Ok(seen))) => Some(seen),
                _ => None,
            };
            let holders = seen.map(|seen| {
                let holders = |seen: LockView| {
                    let holders = seen.holders.into_iter().map(|party| party.holder).collect();
                    (seen.lock_id.key, first(holders))
                };
                seen.into_iter().map(holders).collect()
            });
            engine.send(Message::Found(holders));
        });
    }

    /// Answers those who waited for this. `None`: there is no answer.
    pub(super) fn found(&mut self, holders: Option<Vec<(NativeKey, Option<Holder>)>>) {
        let keys = self.lookups.under_way.take().unwrap_or_default();
        let now = Instant::now();
        if let Some(holders) = holders {
            let mut holders: Map<NativeKey, Option<Holder>> = holders.into_iter().collect();
            for key in &keys {
                let holder = holders.remove(key).flatten();
                self.lookups.found.insert(key.clone(), (now, holder));
            }
        }
        let callers = std::mem::take(&mut self.lookups.callers);
        for (id, (request, waited)) in callers {
            if keys.contains(&request.lock_id.key) {
                let holder = self.lookups.holder(&request.lock_id.key);
                request.refuse(waited, Stage::Database, holder);
            } else {
                self.lookups.callers.insert(id, (request, waited));
            }
        }
        let is_known = |slow: &mut Slow| keys.contains(&slow.lock_id.key);
        let known: Vec<_> = self.lookups.slow.extract_if(.., is_known).collect();
        for slow in known {
            self.tell_slow(&slow, self.lookups.holder(&slow.lock_id.key).as_ref());
        }
    }

    /// It takes too long to find out.
    pub(super) fn give_up_search_for(&mut self, id: RequestId) {
        if let Some((request, waited)) = self.lookups.callers.remove(&id) {
            request.refuse(waited, Stage::Database, None);
        }
    }
}

/// The first one, who stands for all.
fn first(holders: Vec<Holder>) -> Option<Holder> {
    let others = holders.len().saturating_sub(1);
    let mut first = holders.into_iter().next()?;
    if others > 0 {
        first.who = format!("{} and {others} more", first.who);
    }
    Some(first)
}
