//! Which session is asked what, where one key can be held in several modes.
//!
//! To a server, a session that holds a key may have it again at once: in any mode, and past whoever
//! is in line. So a session is not asked for a key that it holds.

use super::Sessions;
use super::handle::{KeyState, SessionHandle};
use super::roles::{self, Roles, Room};
use super::task::SessionId;
use crate::backend::{BatchItem, Op};
use crate::clock::Time;
use crate::spec::lock_id::LockId;

/// A first question for a key.
pub(super) fn a_try(lock_id: LockId, fenced: bool) -> Op {
    if fenced { Op::TryFenced(lock_id) } else { Op::Try(lock_id) }
}

/// Whether it is a first question for a key that is wanted with a token.
pub(super) fn is_fenced(op: &BatchItem) -> bool {
    matches!(op.what, Op::TryFenced(_))
}

impl Sessions {
    /// Gives the carrier and the writer what has come together, if they can be asked now; other
    /// sessions get what those must not be asked.
    pub(super) fn deal_out(&mut self, roles: &Roles, now: Time) {
        if let Some(link) = roles.carrier.and_then(|id| self.links.get_mut(&id))
            && link.is_idle()
        {
            link.questions.append(&mut self.questions);
        }
        for op in std::mem::take(&mut self.gathered) {
            let fenced = is_fenced(&op);
            let id = if fenced { roles.writer } else { roles.carrier };
            let link = id.and_then(|id| self.links.get_mut(&id));
            let Some(link) = link.filter(|link| link.is_idle()) else {
                self.gathered.push(op);
                continue;
            };
            let Some(lock_id) = op.what.tried() else {
                link.batch.push(op);
                continue;
            };
            match link.stand(lock_id) {
                KeyState::Free => {
                    link.try_key(lock_id, fenced);
                    link.batch.push(op);
                }
                // In this very batch, in another mode: the answer to that comes first.
                KeyState::Confirming => self.gathered.push(op),
                KeyState::Excludes => self.refused(lock_id.clone(), op.ticket),
                KeyState::Has => self.ask_another(id, op, roles, now),
                KeyState::Shares => self.ask_another(None, op, roles, now),
            }
        }
    }

    /// Asks a session that holds nothing, so that others who are in line are not passed. If there
    /// is none and nobody here is in line, the session that has the key already: that is better
    /// than to let those who share it wait for each other.
    fn ask_another(&mut self, same: Option<SessionId>, op: BatchItem, roles: &Roles, now: Time) {
        let Some(lock_id) = op.what.tried() else {
            return;
        };
        let free = self.free_waiter(roles, now).or_else(|| self.connect_one(now));
        let id = free.or(same.filter(|_| !self.is_in_the_way_of_ours(lock_id)));
        match id.and_then(|id| self.links.get_mut(&id)) {
            Some(link) => {
                link.try_key(lock_id, is_fenced(&op));
                link.batch.push(op);
            }
            None => self.refused(lock_id.clone(), op.ticket),
        }
    }

    /// A session that is on its way, and that nobody counts on, or a new one.
    fn connect_one(&mut self, now: Time) -> Option<SessionId> {
        let views = self.links.iter().map(|(id, link)| link.view(*id, now));
        let coming = views.filter(roles::is_coming).map(|view| view.id).next();
        coming.or_else(|| {
            let has_room = matches!(self.room(), Room::For(room) if room > 0);
            has_room.then(|| self.connect())
        })
    }

    /// Somebody here waits for the key in a mode that does not go with this one.
    fn is_in_the_way_of_ours(&self, lock_id: &LockId) -> bool {
        let waits =
            self.links.values().filter_map(SessionHandle::waiting).map(|wait| &wait.lock_id);
        let mut others =
            waits.chain(self.polls.lock_ids()).filter(|other| other.key == lock_id.key);
        others.any(|other| !other.mode.is_compatible_with(lock_id.mode))
    }
}
