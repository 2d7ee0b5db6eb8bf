//! What the table has granted: who has it, and what is to become of it.

use std::sync::Arc;

use super::conversion::Converting;
use super::grant::Grant;
use super::lock_table::{GrantId, RequestId, Ticket};
use super::map::Map;
use super::message::Request;
use crate::spec::lock_id::LockId;

/// What the table has granted.
#[derive(Default)]
pub(super) struct Granted {
    grants: Map<GrantId, Entry>,
    /// Those that are to be confirmed, and perhaps some that have ended meanwhile.
    unconfirmed: Vec<GrantId>,
}

/// Where a grant is: the lock id, and the ticket it was granted by.
pub(super) type GrantTicket = (LockId, Ticket);

/// One of them.
struct Entry {
    place: GrantTicket,
    state: State,
    /// It is to be held in another mode.
    converting: Option<Box<Converting>>,
}

/// Who has what was granted.
enum State {
    /// Nobody yet: the database has to confirm first that it is still there.
    Confirming(Box<Request>),
    Held(Arc<Grant>),
    /// Nobody any more: its holder has released it, but nobody else may have it yet.
    Lingering,
}

impl Entry {
    fn held(&self) -> Option<&Arc<Grant>> {
        match &self.state {
            State::Held(hold) => Some(hold),
            State::Confirming(_) | State::Lingering => None,
        }
    }

    fn confirming(&self) -> Option<&Request> {
        match &self.state {
            State::Confirming(request) => Some(request),
            State::Held(_) | State::Lingering => None,
        }
    }
}

/// What became of a grant that has ended.
pub(super) enum Ended {
    /// It had not been confirmed: its caller goes on waiting.
    Unconfirmed(Box<Request>),
    Held(Arc<Grant>),
    /// Its holder had gone.
    Lingered,
}

impl Granted {
    /// The table has granted this to a caller, and it is to be confirmed.
    pub(super) fn add(&mut self, id: GrantId, place: GrantTicket, request: Box<Request>) {
        let state = State::Confirming(request);
        self.grants.insert(id, Entry { place, state, converting: None });
        self.unconfirmed.push(id);
    }

    /// Whether anything is to be confirmed.
    pub(super) fn has_unconfirmed(&self) -> bool {
        !self.unconfirmed.is_empty()
    }

    /// What is to be confirmed, once; what is not confirmed yet goes [back](Self::confirm_later).
    pub(super) fn take_unconfirmed(&mut self) -> Vec<GrantId> {
        std::mem::take(&mut self.unconfirmed)
    }

    /// These are still to be confirmed. The list is the one that was taken.
    pub(super) fn confirm_later(&mut self, ids: Vec<GrantId>) {
        self.unconfirmed = ids;
    }

    /// Where this is, if it is still to be confirmed.
    pub(super) fn unconfirmed(&self, id: GrantId) -> Option<&GrantTicket> {
        let granted = self.grants.get(&id)?;
        granted.confirming().map(|_| &granted.place)
    }

    /// It is confirmed: whoever has asked for it gets what is made of the request.
    pub(super) fn confirm<T>(
        &mut self,
        id: GrantId,
        make: impl FnOnce(Box<Request>) -> (Arc<Grant>, T),
    ) -> Option<T> {
        let granted = self.grants.get_mut(&id)?;
        match std::mem::replace(&mut granted.state, State::Lingering) {
            State::Confirming(request) => {
                let (hold, made) = make(request);
                granted.state = State::Held(hold);
                Some(made)
            }
            state => {
                granted.state = state;
                None
            }
        }
    }

    /// The request of this id that was granted and is still to be confirmed.
    pub(super) fn confirming(&self, request: RequestId) -> Option<(GrantId, &Request)> {
        // What has been confirmed or has gone meanwhile is left out.
        let unconfirmed = self.unconfirmed.iter();
        let mut all = unconfirmed.filter_map(|id| Some((*id, self.grants.get(id)?.confirming()?)));
        all.find(|(_, confirming)| confirming.id == request)
    }

    /// Takes all that are still to be confirmed.
    pub(super) fn drain_confirming(&mut self) -> Vec<(GrantId, Box<Request>)> {
        let ids = std::mem::take(&mut self.unconfirmed);
        ids.into_iter().filter_map(|id| Some((id, self.take_confirming(id)?))).collect()
    }

    /// Takes this, if it is still to be confirmed.
    pub(super) fn take_confirming(&mut self, id: GrantId) -> Option<Box<Request>> {
        self.unconfirmed(id)?;
        match self.grants.remove(&id)?.state {
            State::Confirming(request) => Some(request),
            State::Held(_) | State::Lingering => None,
        }
    }

    /// What a guard has, and where that is.
    pub(super) fn held(&self, id: GrantId) -> Option<(&Arc<Grant>, &GrantTicket)> {
        let granted = self.grants.get(&id)?;
        granted.held().map(|hold| (hold, &granted.place))
    }

    /// All that guards have.
    pub(super) fn all_held(&self) -> impl Iterator<Item = (GrantId, &Arc<Grant>, &LockId)> {
        let all = self.grants.iter();
        all.filter_map(|(id, granted)| Some((*id, granted.held()?, &granted.place.0)))
    }

    /// Its guard has gone, but nobody else may have it yet. Returns what the guard had.
    pub(super) fn linger(&mut self, id: GrantId) -> Option<Arc<Grant>> {
        let granted = self.grants.get_mut(&id)?;
        let hold = Arc::clone(granted.held()?);
        granted.state = State::Lingering;
        Some(hold)
    }

    /// Whether nobody has this any more, and nobody else may have it yet.
    pub(super) fn lingers(&self, id: GrantId) -> bool {
        self.grants.get(&id).is_some_and(|granted| matches!(granted.state, State::Lingering))
    }

    /// How many there are of those.
    pub(super) fn lingering(&self) -> usize {
        let lingers = |entry: &&Entry| matches!(entry.state, State::Lingering);
        self.grants.values().filter(lingers).count()
    }

    /// Takes such a one, whose time is over.
    pub(super) fn take_lingering(&mut self, id: GrantId) -> Option<GrantTicket> {
        if !self.lingers(id) {
            return None;
        }
        self.grants.remove(&id).map(|granted| granted.place)
    }

    /// Takes what a guard has.
    pub(super) fn take_held(&mut self, id: GrantId) -> Option<(Arc<Grant>, GrantTicket)> {
        let hold = Arc::clone(self.held(id)?.0);
        self.grants.remove(&id).map(|granted| (hold, granted.place))
    }

    /// Takes out what has ended.
    pub(super) fn end(&mut self, id: GrantId) -> Option<Ended> {
        Some(match self.grants.remove(&id)?.state {
            State::Confirming(request) => Ended::Unconfirmed(request),
            State::Held(hold) => Ended::Held(hold),
            State::Lingering => Ended::Lingered,
        })
    }

    /// It is held as this from now on.
    pub(super) fn change_lock_id(&mut self, id: GrantId, lock_id: LockId) {
        let Some(granted) = self.grants.get_mut(&id) else { return };
        if let Some(hold) = granted.held() {
            hold.set_mode(lock_id.mode);
        }
        granted.place.0 = lock_id;
    }

    /// What is to become of it is this.
    pub(super) fn convert(&mut self, id: GrantId, converting: Converting) {
        if let Some(granted) = self.grants.get_mut(&id) {
            granted.converting = Some(Box::new(converting));
        }
    }

    /// What is to become of it.
    pub(super) fn converting(&mut self, id: GrantId) -> Option<&mut Converting> {
        self.grants.get_mut(&id)?.converting.as_deref_mut()
    }

    /// Nothing is to become of it any more.
    pub(super) fn take_converting(&mut self, id: GrantId) -> Option<Converting> {
        self.grants.get_mut(&id)?.converting.take().map(|converting| *converting)
    }
}
