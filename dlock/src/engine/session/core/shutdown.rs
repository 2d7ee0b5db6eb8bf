//! The end of all sessions.

use super::action::{Action, Now, SessionId};
use super::handle::SessionHandle;
use super::{NOBODY, SessionCore};
use crate::backend::{BatchItem, Op};
use crate::sorted_map::SortedMap;

/// Sessions that are out of sight for a while.
pub(in crate::engine::session) struct SetAside(SortedMap<SessionId, SessionHandle>);

impl SessionCore {
    /// Orders the end of the sessions that would not hear of it: a server may let one that waits stay in
    /// line until its wait is over, whatever becomes of the connection. Nothing is waited for any more, if
    /// there are any.
    pub(in crate::engine::session) fn end_of_deaf(&mut self, now: Now) -> Vec<BatchItem> {
        let closes = !self.pace.stops_waits();
        let deaf = self.handles.values().filter(|handle| !handle.is_idle());
        // Where a wait ends with its connection, that is all there is to do.
        let deaf = deaf.filter(|handle| !(closes && handle.waiting().is_some()));
        let tags = deaf.filter_map(|handle| handle.tag().filter(|_| handle.is_deaf(now)));
        let ends: Vec<_> =
            tags.map(|tag| BatchItem { what: Op::End(tag), ticket: NOBODY }).collect();
        if !ends.is_empty() {
            self.polls.clear();
        }
        ends
    }

    /// Has these orders sent, and nothing else.
    pub(in crate::engine::session) fn order(&mut self, ends: Vec<BatchItem>) {
        self.gathered.take_items();
        self.gathered.extend(ends);
    }

    /// Returns `true` if the server has answered the orders to end sessions.
    pub(in crate::engine::session) fn has_ended(&self) -> bool {
        let is_end = |op: &BatchItem| matches!(op.what, Op::End(_));
        let sent = self.handles.values().any(|handle| handle.is_asked(is_end));
        !sent && !self.gathered.has(is_end)
    }

    /// Sets all sessions aside, for they do not answer, and opens one that may.
    pub(in crate::engine::session) fn set_aside(&mut self, now: Now) -> SetAside {
        let others = SetAside(self.handles.take());
        self.connect(now);
        others
    }

    pub(in crate::engine::session) fn bring_back(&mut self, SetAside(others): SetAside) {
        self.handles.bring_back(others);
    }

    /// Closes all sessions.
    pub(in crate::engine::session) fn close_all(&mut self, now: Now) {
        for (session, mut handle) in self.handles.take() {
            handle.send_batch(now, &mut self.out);
            // One that is still connecting, or waits for what nobody wants, would not hear of it.
            let hears = handle.is_open() && handle.waiting().is_none();
            let end = if hears { Action::Close { session } } else { Action::Drop { session } };
            self.out.push(end);
        }
    }
}
