//! All sessions that there are, or that are on their way.

use super::action::{Now, SessionId};
use super::handle::SessionHandle;
use super::roles::{self, Demand, Roles, Room, SessionView};
use crate::backend::SessionTag;
use crate::engine::lock_table::Ticket;
use crate::sorted_map::SortedMap;

/// See the [module](self).
#[derive(Default)]
pub(super) struct Handles {
    all: SortedMap<SessionId, SessionHandle>,
    last: SessionId,
}

impl Handles {
    /// Adds one under a new number.
    pub(super) fn add(&mut self, handle: impl FnOnce(SessionId) -> SessionHandle) -> SessionId {
        self.last += 1;
        self.all.insert(self.last, handle(self.last));
        self.last
    }

    pub(super) fn get(&self, id: SessionId) -> Option<&SessionHandle> {
        self.all.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: SessionId) -> Option<&mut SessionHandle> {
        self.all.get_mut(&id)
    }

    pub(super) fn remove(&mut self, id: SessionId) -> Option<SessionHandle> {
        self.all.remove(&id)
    }

    /// Takes all of them out.
    pub(super) fn take(&mut self) -> SortedMap<SessionId, SessionHandle> {
        std::mem::take(&mut self.all)
    }

    /// Puts back what was taken out.
    pub(super) fn bring_back(&mut self, others: SortedMap<SessionId, SessionHandle>) {
        for (id, handle) in others {
            self.all.insert(id, handle);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn ids(&self) -> Vec<SessionId> {
        self.all.iter().map(|(id, _)| *id).collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (SessionId, &SessionHandle)> + Clone {
        self.all.iter().map(|(id, handle)| (*id, handle))
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &SessionHandle> {
        self.all.iter().map(|(_, handle)| handle)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut SessionHandle> {
        self.all.iter_mut().map(|(_, handle)| handle)
    }

    /// The one that the server calls so.
    pub(super) fn of_tag(&self, tag: SessionTag) -> Option<SessionId> {
        self.iter().find(|(_, handle)| handle.tag() == Some(tag)).map(|(id, _)| id)
    }

    /// The one that waits for this ticket.
    pub(super) fn waiting_for(&mut self, ticket: Ticket) -> Option<&mut SessionHandle> {
        self.values_mut().find(|handle| handle.waits_for(ticket))
    }

    /// Returns `true` if a session is open.
    pub(super) fn is_connected(&self) -> bool {
        self.values().any(SessionHandle::is_open)
    }

    pub(super) fn views(&self, now: Now) -> impl Iterator<Item = SessionView> + Clone {
        self.iter().map(move |(id, handle)| handle.view(id, now))
    }

    /// Who does what, by what the sessions are doing now.
    pub(super) fn roles(&self, demand: Demand, room: Room, now: Now) -> Roles {
        Roles::of(self.views(now), demand, room)
    }

    /// The carrier when nothing is to be sent.
    pub(super) fn carrier(&self, now: Now) -> Option<SessionId> {
        roles::best_carrier(self.views(now)).map(|(_, id)| id)
    }

    /// A session that may wait, and has no role.
    pub(super) fn free_waiter(&self, roles: &Roles, now: Now) -> Option<SessionId> {
        let taken = [roles.carrier, roles.writer];
        let mut free = self.views(now).filter(roles::may_wait).map(|view| view.id);
        free.find(|id| !taken.contains(&Some(*id)))
    }

    /// A session that is on its way, and that nobody counts on.
    pub(super) fn coming(&self, now: Now) -> Option<SessionId> {
        self.views(now).filter(roles::is_coming).map(|view| view.id).next()
    }
}
