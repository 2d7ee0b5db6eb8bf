//! Which of the sessions that the server shows are this locker's own.

use super::SessionCore;
use super::handle::SessionHandle;
use crate::backend::{SessionTag, SessionView};
use crate::clock::Time;
use crate::spec::native::NativeKey;

/// What one of this locker's sessions holds, and since when, or what it waits for.
#[derive(Debug)]
pub(in crate::engine::session) struct OwnSession {
    pub(in crate::engine::session) tag: SessionTag,
    pub(in crate::engine::session) held: Option<(NativeKey, Time)>,
    pub(in crate::engine::session) waits: Option<NativeKey>,
}

impl OwnSession {
    /// Returns `true` if it is that session of the server's.
    pub(in crate::engine::session) fn is(&self, party: &SessionView) -> bool {
        party.id == Some(self.tag.id)
    }
}

impl SessionCore {
    /// Those that hold one of these keys, and those that hold nothing.
    pub(in crate::engine::session) fn own(
        &self,
        wanted: impl Fn(&NativeKey) -> bool,
    ) -> Vec<OwnSession> {
        let grants = self.grants.iter().filter(|grant| wanted(&grant.lock_id.key));
        let own = grants.filter_map(|grant| {
            let tag = self.handles.get(grant.session)?.tag()?;
            let held = Some((grant.lock_id.key.clone(), grant.since));
            Some(OwnSession { tag, held, waits: None })
        });
        let waiting = self.handles.values().filter(|handle| handle.holds_nothing());
        let waiting = waiting.filter_map(|handle: &SessionHandle| {
            let waits = handle.waiting().map(|wait| wait.lock_id.key.clone());
            Some(OwnSession { tag: handle.tag()?, held: None, waits })
        });
        own.chain(waiting).collect()
    }
}
