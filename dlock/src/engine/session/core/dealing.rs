//! Which session is asked what, where one key can be held in several modes.
//!
//! To a server, a session that holds a key may have it again at once: in any mode, and past whoever
//! is in line. So a session is not asked for a key that it holds.

use super::SessionCore;
use super::action::{Now, SessionId};
use super::gathered::is_fenced;
use super::handle::{KeyState, SessionHandle};
use super::roles::{Roles, Room};
use crate::backend::BatchItem;
use crate::spec::lock_id::LockId;

impl SessionCore {
    /// Gives the carrier and the writer what has come together, if they can be asked now; other
    /// sessions get what those must not be asked.
    pub(super) fn deal_out(&mut self, roles: &Roles, now: Now) {
        if let Some(handle) = roles.carrier.and_then(|id| self.handles.get_mut(id))
            && handle.is_idle()
        {
            self.gathered.take_questions().into_iter().for_each(|question| handle.ask(question));
        }
        let mut items = self.gathered.take_items();
        for op in items.drain(..) {
            let fenced = is_fenced(&op);
            let id = if fenced { roles.writer } else { roles.carrier };
            let handle = id.and_then(|id| self.handles.get_mut(id));
            let Some(handle) = handle.filter(|handle| handle.is_idle()) else {
                self.gathered.push(op);
                continue;
            };
            let Some(lock_id) = op.what.tried() else {
                handle.push(op);
                continue;
            };
            match handle.key_state(lock_id) {
                KeyState::Free => handle.push_try(op),
                // In this very batch, in another mode: the answer to that comes first.
                KeyState::Confirming => self.gathered.push(op),
                KeyState::Excludes => self.refused(lock_id.clone(), op.ticket, now),
                KeyState::Has => self.ask_another(id, op, roles, now),
                KeyState::Shares => self.ask_another(None, op, roles, now),
            }
        }
        self.gathered.give_back(items);
    }

    /// Asks a session that holds nothing, so that others who are in line are not passed. If there
    /// is none and nobody here is in line, the session that has the key already: that is better
    /// than to let those who share it wait for each other.
    fn ask_another(&mut self, same: Option<SessionId>, op: BatchItem, roles: &Roles, now: Now) {
        let Some(lock_id) = op.what.tried() else {
            return;
        };
        let free = self.handles.free_waiter(roles, now).or_else(|| self.connect_one(now));
        let id = free.or(same.filter(|_| !self.is_in_the_way_of_ours(lock_id)));
        match id.and_then(|id| self.handles.get_mut(id)) {
            Some(handle) => handle.push_try(op),
            None => self.refused(lock_id.clone(), op.ticket, now),
        }
    }

    /// A session that is on its way, and that nobody counts on, or a new one.
    fn connect_one(&mut self, now: Now) -> Option<SessionId> {
        self.handles.coming(now).or_else(|| {
            let has_room = matches!(self.room(now), Room::For(room) if room > 0);
            has_room.then(|| self.connect(now))
        })
    }

    /// Somebody here waits for the key in a mode that does not go with this one.
    fn is_in_the_way_of_ours(&self, lock_id: &LockId) -> bool {
        let waits = self.handles.values().filter_map(SessionHandle::waiting);
        let waits = waits.map(|wait| &wait.lock_id);
        let mut others =
            waits.chain(self.polls.lock_ids()).filter(|other| other.key == lock_id.key);
        others.any(|other| !other.mode.is_compatible_with(lock_id.mode))
    }
}
