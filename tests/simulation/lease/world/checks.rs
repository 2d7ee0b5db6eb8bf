//! What must hold at every step, and after each storm.

use std::time::Duration;

use super::{Due, GRANT_MAX, LATE_MAX, World};
use crate::lease::plan::{KEYS, Like};

impl World {
    pub(super) fn is_calm(&mut self) -> bool {
        let now = self.now;
        let quiet = self.processes.iter().all(|process| {
            process.callers.are_gone()
                && process.table.is_empty()
                && process.flight.is_none()
                && !process.core.has_unanswered()
        });
        if quiet {
            for key in 0..KEYS {
                let Some(row) = self.server.row(key).filter(|row| row.until.is_none()) else {
                    continue;
                };
                // No process forgets its row, which would be there for ever.
                let is_known = !self.doubled.contains(&*row.owner);
                if is_known && self.processes.iter().any(|process| process.has_made(&row.owner)) {
                    return false;
                }
                // Whoever has died with a lease that never ends left work for a person.
                self.server.break_lock(key, now);
            }
        }
        // What was sent long ago may arrive yet, and take a lock for nobody; and what was asked of
        // a process while it stood still is heard by it yet.
        let is_late = |due: &Due| matches!(due, Due::Arrive { .. } | Due::Command(_));
        let late = self.events.values().any(is_late);
        quiet && !late && (0..KEYS).all(|key| self.server.is_free(key, now))
    }

    pub(super) fn unsettled(&self) -> String {
        let mut text = "not all is answered, or given back".to_owned();
        for process in &self.processes {
            let callers = &process.callers;
            text += &format!(
                "\n  process {}: requests {:?}, confirming {:?}, guards {:?}, kept {:?}, settling {}, doubts {}, unanswered {}, next {:?}",
                process.index,
                callers.requests,
                callers.confirming,
                callers.guards,
                callers.kept,
                callers.settling.len(),
                callers.doubts.len(),
                process.core.has_unanswered(),
                process.next(self.now),
            );
        }
        for key in 0..KEYS {
            text += &format!("\n  row {key}: {:?}", self.server.row(key));
        }
        text
    }

    /// Everybody gets every lock, soon, and leaves nothing behind.
    pub(super) fn probe(&mut self) {
        let begun = self.now;
        let mut wanted = Vec::new();
        for p in 0..self.processes.len() {
            for key in 0..KEYS {
                wanted.push((
                    p,
                    self.acquire(
                        p,
                        key,
                        true,
                        GRANT_MAX,
                        Duration::from_millis(1),
                        Like::default(),
                    ),
                ));
            }
        }
        let before: u64 = self.grants();
        self.run_until(begun + GRANT_MAX + LATE_MAX);
        let granted = self.grants() - before;
        assert_eq!(
            granted,
            wanted.len() as u64,
            "not everybody gets a free lock of a healthy server"
        );
        for key in 0..KEYS {
            assert!(
                self.server.is_free(key, self.now),
                "key {key} is still held: {:?}",
                self.server.row(key)
            );
        }
        let empty = self.processes.iter().all(|process| process.table.is_empty());
        assert!(empty, "a table is not empty");
    }

    pub(super) fn grants(&self) -> u64 {
        self.processes.iter().map(|process| process.granted).sum()
    }

    /// Fences of what is handed out only grow.
    pub(super) fn check_fresh(&mut self, p: usize) {
        for hold in std::mem::take(&mut self.processes[p].fresh) {
            let Some(guard) = self.processes[p].callers.guards.get(&hold) else { continue };
            let (key, fence) = (guard.key, guard.fence.unwrap_or(0));
            let newest = &mut self.newest[usize::from(key)];
            let grows = fence > *newest || guard.adopted && fence == *newest;
            assert!(
                grows || self.server.has_tampered(key, fence),
                "key {key}: fence {fence} after {newest}"
            );
            *newest = fence.max(*newest);
        }
    }

    /// One holder at most, who really has it; and nobody is forgotten.
    pub(super) fn check(&mut self, p: usize) {
        let now = self.now;
        let mut holders = [None; KEYS as usize];
        for process in &self.processes {
            let moment = process.now(now);
            for guard in process.callers.guards.values() {
                let fence = guard.fence.unwrap_or(0);
                if !guard.validity.is_valid_on(moment.time, moment.wall)
                    || self.server.has_tampered(guard.key, fence)
                {
                    continue;
                }
                let other = holders[usize::from(guard.key)].replace(process.index);
                assert!(
                    other.is_none(),
                    "key {}: held by {other:?} and {}",
                    guard.key,
                    process.index
                );
                let row = self.server.row(guard.key);
                let is_ours = row.is_some_and(|row| {
                    process.owns(&row.owner)
                        && row.until.is_none_or(|until| until > self.server.clock(now))
                });
                assert!(
                    is_ours,
                    "key {}: valid for {}, and the row is {row:?}",
                    guard.key, process.index
                );
            }
        }
        let process = &self.processes[p];
        let since = process.thawed.map_or(Duration::ZERO, |at| at);
        let forgotten = process.callers.forgotten(now, since, LATE_MAX);
        assert!(forgotten.is_none(), "nobody answers {forgotten:?}");
    }
}
