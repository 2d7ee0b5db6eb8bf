//! One key: who has it, and who waits for it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::effects::Effects;
use crate::engine::conversion::Conversion;
use crate::engine::grant::Grant;
use crate::engine::lock_table::GrantId;
use crate::engine::message::Request;
use crate::error::Error;
use crate::spec::key::Key;
use crate::spec::mode::Mode;
use crate::status::holder::{Holder, KEPT, Stage};

/// What the holder is called that is none of the callers.
const SOMEBODY: &str = "somebody else (dlock::testing::Locker::busy)";

/// One key.
pub(super) struct Entry {
    pub(super) key: Key,
    /// When somebody had it last.
    pub(super) last_held: Option<Instant>,
    /// Since when somebody else has it.
    pub(super) busy: Option<Instant>,
    pub(super) holdings: Vec<Holding>,
    /// Those who wait, first come, first served.
    pub(super) queue: VecDeque<Box<Request>>,
    /// Holders who wait to have it in another mode: before those in the queue.
    pub(super) converting: Vec<(GrantId, Conversion)>,
    /// Nobody gets it before.
    pub(super) kept_until: Option<Instant>,
    /// Grants that nobody has taken over yet.
    pub(super) handed_over: Vec<HandedOver>,
    /// The newest fencing token.
    pub(super) fence: u64,
}

/// A grant.
pub(super) struct Holding {
    pub(super) hold: Arc<Grant>,
    pub(super) since: Instant,
    /// It is a lease that is not renewed.
    pub(super) ends: Option<Instant>,
}

/// A grant on its way from one guard to another.
pub(super) struct HandedOver {
    pub(super) owner: Arc<str>,
    pub(super) fence: Option<u64>,
    pub(super) ends: Option<Instant>,
}

impl Entry {
    /// One that nobody has had yet, or for a long time: its next token is greater than this one.
    pub(super) fn new(key: Key, fence: u64) -> Self {
        Entry {
            key,
            last_held: None,
            busy: None,
            holdings: Vec::new(),
            queue: VecDeque::new(),
            converting: Vec::new(),
            kept_until: None,
            handed_over: Vec::new(),
            fence,
        }
    }

    /// Nobody has it, waits for it, or is to have it.
    pub(super) fn is_unused(&self, now: Instant) -> bool {
        self.busy.is_none()
            && self.holdings.is_empty()
            && self.queue.is_empty()
            && self.handed_over.is_empty()
            && self.kept_until.is_none_or(|until| until <= now)
    }

    /// Whether this request can be granted now, those before it aside.
    pub(super) fn is_free_for(&self, request: &Request, now: Instant) -> bool {
        let kept = self.kept_until.is_some_and(|until| now < until);
        if self.busy.is_some() || kept || !self.handed_over.is_empty() {
            return false;
        }
        if request.permits > 1 {
            let others = self.holdings.len();
            return u32::try_from(others).is_ok_and(|others| others < request.permits);
        }
        let mode = request.lock_id.mode;
        self.holdings.iter().all(|holding| holding.hold.mode().is_compatible_with(mode))
    }

    /// Whether this grant can be held in this mode.
    pub(super) fn is_free_for_change(&self, hold: GrantId, to: Mode) -> bool {
        let mut others = self.holdings.iter().filter(|holding| holding.hold.id != hold);
        others.all(|holding| holding.hold.mode().is_compatible_with(to))
    }

    /// Answers that the mode stays what it is, for others share the lock.
    pub(super) fn refuse_change(
        &self,
        wanted: Conversion,
        waited: Duration,
        now: Instant,
        effects: &mut Effects,
    ) {
        let (stage, holder) = self.in_the_way(now);
        let (key, holder) = (self.key.clone(), holder.map(Box::new));
        let refused = Error::Timeout { key, waited, stage, holder };
        effects.push(Box::new(move |_| drop(wanted.reply.send(Err(refused)))));
    }

    pub(super) fn take_out(&mut self, hold: GrantId) -> Option<Holding> {
        self.converting.retain(|(converting, _)| *converting != hold);
        let place = self.holdings.iter().position(|holding| holding.hold.id == hold)?;
        Some(self.holdings.remove(place))
    }

    /// Why somebody does not get it.
    pub(super) fn in_the_way(&self, now: Instant) -> (Stage, Option<Holder>) {
        let first = self.holders(now).into_iter().next();
        let ours = self.busy.is_none() && !self.holdings.is_empty();
        (if ours { Stage::Process } else { Stage::Database }, first)
    }

    /// Who has it.
    pub(super) fn holders(&self, now: Instant) -> Vec<Holder> {
        let for_so_long = |since: Instant| Some(now.saturating_duration_since(since));
        let busy = self.busy.map(|since| Holder::new(SOMEBODY, for_so_long(since)));
        let ours = self.holdings.iter().map(|holding| {
            let who = who(&holding.hold);
            let data = holding.hold.options().data.as_deref().map(str::to_owned);
            Holder { data, ..Holder::new(who, for_so_long(holding.since)) }
        });
        let handed_over = self.handed_over.iter().map(|handed| Holder::new(&*handed.owner, None));
        let kept = self.kept_until.filter(|until| now < *until && self.holdings.is_empty());
        let kept = kept.map(|_| Holder::new(KEPT, None));
        busy.into_iter().chain(ours).chain(handed_over).chain(kept).collect()
    }

    pub(super) fn waiters(&self, now: Instant) -> Vec<Holder> {
        let who = format!("this process, pid {}", std::process::id());
        let waited = |request: &Request| now.saturating_duration_since(request.asked.into_std());
        self.queue.iter().map(|request| Holder::new(&*who, Some(waited(request)))).collect()
    }

    /// When the first thing is due here.
    pub(super) fn next(&self) -> Option<Instant> {
        let waits = self.queue.iter().filter_map(|request| request.end);
        let kept = self.kept_until.filter(|_| !self.queue.is_empty());
        waits
            .map(tokio::time::Instant::into_std)
            .chain(self.converting.iter().filter_map(|(_, wanted)| wanted.deadline.end()))
            .chain(self.holdings.iter().filter_map(|holding| holding.ends))
            .chain(self.handed_over.iter().filter_map(|handed| handed.ends))
            .chain(kept)
            .min()
    }
}

/// What a holder is called; no two are called the same.
fn who(hold: &Grant) -> String {
    format!("process {}, grant {}", std::process::id(), hold.id)
}

/// When something that lasts this long is over; `None`: never.
pub(super) fn end(now: Instant, lasts: Duration) -> Option<Instant> {
    if lasts == Duration::MAX { None } else { now.checked_add(lasts) }
}
