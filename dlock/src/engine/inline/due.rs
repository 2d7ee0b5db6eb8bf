//! What is due by the clock.

use std::time::{Duration, Instant};

use super::effects::Effects;
use super::entry::Entry;
use super::space::Space;
use crate::engine::message::Message;
use crate::error::Error;
use crate::spec::native::NativeKey;
use crate::status::lost::LostReason;

impl Space {
    /// When the next thing is due.
    pub(super) fn next(&self) -> Option<Instant> {
        let keys = self.keys.values().filter_map(Entry::next);
        let sleepers = self.sleepers.iter().map(|(at, _)| *at);
        let under_way = self.under_way.iter().map(|(at, message)| (*at).min(end_of(message, *at)));
        keys.chain(sleepers).chain(under_way).min()
    }

    /// Does what is due, in the order of its time.
    pub(super) fn tick(&mut self, now: Instant, effects: &mut Effects) {
        while let Some(due) = self.next().filter(|due| *due <= now) {
            self.do_due(due, effects);
        }
    }

    fn do_due(&mut self, now: Instant, effects: &mut Effects) {
        for (_, sleeper) in self.sleepers.extract_if(.., |(at, _)| *at <= now) {
            effects.push(Box::new(move |_| sleeper.send(()).unwrap_or(())));
        }
        let is_due =
            |(at, message): &mut (Instant, Message)| *at <= now || end_of(message, *at) <= now;
        let arrived: Vec<_> = self.under_way.extract_if(.., is_due).collect();
        for (at, message) in arrived {
            if at <= now {
                self.arrive(message, now, effects);
            } else {
                let late = Error::unavailable("testing", Late(self.plan.delay));
                effects.push(Box::new(move |_| message.fail(&late)));
            }
        }
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let natives: Vec<_> = self.keys.keys().cloned().collect();
        for native in &natives {
            let Some(entry) = self.keys.get_mut(native) else { continue };
            entry.handed_over.retain(|handed| !is_due(handed.ends));
            if is_due(entry.kept_until) {
                entry.kept_until = None;
            }
            let ended = entry.holdings.iter().filter(|holding| is_due(holding.ends));
            let ended: Vec<_> = ended.map(|holding| holding.hold.id).collect();
            for id in ended {
                self.lose_one(id, LostReason::Expired, now, effects);
            }
            self.serve(native, now, effects);
            self.refuse_late(native, now, effects);
        }
    }

    /// Refuses those whose time is up.
    fn refuse_late(&mut self, native: &NativeKey, now: Instant, effects: &mut Effects) {
        let Some(entry) = self.keys.get_mut(native) else { return };
        let is_late = |end: Option<Instant>| end.is_some_and(|end| end <= now);
        let (late, queue) = std::mem::take(&mut entry.queue)
            .into_iter()
            .partition::<Vec<_>, _>(|request| is_late(request.end.map(|end| end.into_std())));
        entry.queue = queue.into();
        let mut in_time = Vec::new();
        for (hold, wanted) in std::mem::take(&mut entry.converting) {
            if !is_late(wanted.deadline.end()) {
                in_time.push((hold, wanted));
                continue;
            }
            let waited = now.saturating_duration_since(wanted.deadline.asked());
            entry.refuse_change(wanted, waited, now, effects);
        }
        entry.converting = in_time;
        for request in late {
            let waited = now.saturating_duration_since(request.asked.into_std());
            self.refuse(native, request, waited, now, effects);
        }
        // Those behind them may be compatible with who has it.
        self.serve(native, now, effects);
    }
}

/// When whoever asks has no time left; at the latest when it arrives.
fn end_of(message: &Message, arrives: Instant) -> Instant {
    match message {
        Message::Acquire(request) => request.end.map_or(arrives, |end| end.into_std()),
        _ => arrives,
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[error("each answer takes {0:?} (dlock::testing::Locker::delay)")]
struct Late(Duration);
