//! What sessions hold, by the ticket of its grant.

use super::action::SessionId;
use super::fencing::Token;
use crate::clock::Time;
use crate::engine::lock_table::Ticket;
use crate::engine::map::Map;
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;

/// A lock that a session holds.
pub(super) struct SessionGrant {
    pub(super) lock_id: LockId,
    pub(super) session: SessionId,
    /// When the server granted it.
    pub(super) since: Time,
    pub(super) token: Token,
    /// Its holder wants a token.
    pub(super) fenced: bool,
}

/// See the [module](self).
#[derive(Default)]
pub(super) struct SessionGrants(Map<Ticket, SessionGrant>);

impl SessionGrants {
    pub(super) fn add(&mut self, ticket: Ticket, grant: SessionGrant) {
        self.0.insert(ticket, grant);
    }

    pub(super) fn get(&self, ticket: Ticket) -> Option<&SessionGrant> {
        self.0.get(&ticket)
    }

    pub(super) fn get_mut(&mut self, ticket: Ticket) -> Option<&mut SessionGrant> {
        self.0.get_mut(&ticket)
    }

    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<SessionGrant> {
        self.0.remove(&ticket)
    }

    pub(super) fn session_of(&self, ticket: Ticket) -> Option<SessionId> {
        self.get(ticket).map(|grant| grant.session)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &SessionGrant> {
        self.0.values()
    }

    /// It is held in another mode from now on.
    pub(super) fn change_mode(&mut self, ticket: Ticket, to: Mode) -> Option<LockId> {
        let grant = self.get_mut(ticket)?;
        grant.lock_id.mode = to;
        Some(grant.lock_id.clone())
    }

    /// Takes out all that a session holds, the oldest first.
    pub(super) fn remove_all_of(&mut self, session: SessionId) -> Vec<(Ticket, SessionGrant)> {
        let mut lost: Vec<_> = self.0.extract_if(|_, grant| grant.session == session).collect();
        lost.sort_unstable_by_key(|(ticket, _)| *ticket);
        lost
    }
}
