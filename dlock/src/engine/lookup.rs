//! What is known, and what is to be found out, of who is in the way of callers.
//!
//! There is one search at a time, for all keys that are wanted by then, and a pause between two.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use super::lock_table::RequestId;
use super::map::Map;
use super::message::Request;
use crate::observe::{Telemetry, Waiting};
use crate::spec::key::Key;
use crate::spec::lock_id::LockId;
use crate::spec::native::NativeKey;
use crate::status::holder::Holder;

/// So long what was found is worth telling.
const FOUND_AGE_MAX: Duration = Duration::from_millis(100);
/// Between the beginnings of two searches.
const PAUSE: Duration = Duration::from_millis(20);

type Keys = HashSet<NativeKey, foldhash::fast::RandomState>;

/// What is searched for, and what was found.
#[derive(Default)]
pub(super) struct Lookups {
    wanted: Keys,
    /// What the search that is under way is about.
    under_way: Option<Keys>,
    begun: Option<Instant>,
    /// Callers whose time is up, and how long they have waited.
    callers: Map<RequestId, (Box<Request>, Duration)>,
    found: Map<NativeKey, (Instant, Option<Holder>)>,
    /// Callers who go on waiting, of whom it is to be told for whom.
    slow: Vec<Slow>,
}

/// A caller who waits for longer than usual.
pub(super) struct Slow {
    waiting: Box<Waiting>,
    key: Key,
    pub(super) lock_id: LockId,
    asked: Instant,
}

impl Slow {
    /// `None`: nobody is to be told, or was told already.
    pub(super) fn of(request: &mut Request) -> Option<Self> {
        let waiting = request.waiting.take()?;
        let (key, lock_id) = (request.key.clone(), request.lock_id.clone());
        Some(Slow { waiting, key, lock_id, asked: request.asked })
    }

    /// Tells for whom it waits, as far as that is known.
    pub(super) fn tell(&self, telemetry: &Telemetry, holder: Option<&Holder>) {
        let Slow { waiting, key, lock_id, asked } = self;
        waiting.tell(telemetry, (key, lock_id.mode), asked.elapsed(), holder);
    }
}

/// Callers of whom it is known now who is in their way: those whose time is up, and those who go on
/// waiting.
pub(super) struct Found {
    pub(super) callers: Vec<(Box<Request>, Duration, Option<Holder>)>,
    pub(super) slow: Vec<(Slow, Option<Holder>)>,
}

impl Lookups {
    pub(super) fn is_known(&self, key: &NativeKey) -> bool {
        self.found.get(key).is_some_and(|(at, _)| at.elapsed() < FOUND_AGE_MAX)
    }

    /// Who was found to hold this.
    pub(super) fn holder(&self, key: &NativeKey) -> Option<Holder> {
        self.found.get(key).and_then(|(_, holder)| holder.clone())
    }

    /// It is to be found out who holds this.
    pub(super) fn want(&mut self, key: &NativeKey) {
        let comes = self.under_way.as_ref().is_some_and(|keys| keys.contains(key));
        if !comes && !self.is_known(key) {
            self.wanted.insert(key.clone());
        }
    }

    /// All callers who have had no answer yet.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (Box<Request>, Duration)> {
        self.callers.drain().map(|(_, caller)| caller)
    }

    /// What to search for now.
    pub(super) fn begin(&mut self) -> Option<Vec<NativeKey>> {
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

    /// This caller's time is up: it is told who holds the key when that is found.
    pub(super) fn add_caller(&mut self, request: Box<Request>, waited: Duration) {
        self.want(&request.lock_id.key);
        self.callers.insert(request.id, (request, waited));
    }

    /// This caller no longer waits for the search.
    pub(super) fn take_caller(&mut self, id: RequestId) -> Option<(Box<Request>, Duration)> {
        self.callers.remove(&id)
    }

    /// This caller goes on waiting: it is told for whom when that is found.
    pub(super) fn add_slow(&mut self, slow: Slow) {
        self.want(&slow.lock_id.key);
        self.slow.push(slow);
    }

    /// The search has ended; `None`: without an answer. Returns those whom it was for.
    pub(super) fn end(&mut self, holders: Option<Vec<(NativeKey, Option<Holder>)>>) -> Found {
        let keys = self.under_way.take().unwrap_or_default();
        let now = Instant::now();
        if let Some(holders) = holders {
            let mut holders: Map<NativeKey, Option<Holder>> = holders.into_iter().collect();
            for key in &keys {
                let holder = holders.remove(key).flatten();
                self.found.insert(key.clone(), (now, holder));
            }
        }
        let mut found = Found { callers: Vec::new(), slow: Vec::new() };
        for (id, (request, waited)) in std::mem::take(&mut self.callers) {
            if keys.contains(&request.lock_id.key) {
                let holder = self.holder(&request.lock_id.key);
                found.callers.push((request, waited, holder));
            } else {
                self.callers.insert(id, (request, waited));
            }
        }
        let is_known = |slow: &mut Slow| keys.contains(&slow.lock_id.key);
        let known: Vec<_> = self.slow.extract_if(.., is_known).collect();
        for slow in known {
            let holder = self.holder(&slow.lock_id.key);
            found.slow.push((slow, holder));
        }
        found
    }
}
