//! Those who want, wait for and hold locks in one process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use dlock::engine::lock_table::{GrantId, RequestId, Ticket};
use dlock::engine::simulated::{Time, Validity};

use super::plan::Like;

/// A caller who waits for an answer.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) id: RequestId,
    pub(crate) key: u8,
    pub(crate) patient: bool,
    pub(crate) end: Duration,
    pub(crate) hold: Duration,
    pub(crate) like: Like,
    pub(crate) adopts: bool,
}

/// A holder.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    pub(crate) key: u8,
    pub(crate) ticket: Ticket,
    pub(crate) fence: Option<u64>,
    pub(crate) validity: Arc<Validity>,
    pub(crate) since: Duration,
    pub(crate) min_hold: Duration,
    pub(crate) adopted: bool,
    /// It is to be held until it is released.
    pub(crate) renewed: bool,
}

/// What is to be done by the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Alarm {
    Expire(RequestId),
    Overdue(RequestId),
    Release(GrantId),
    MinHold(GrantId),
}

/// See the [module](self).
#[derive(Default)]
pub(crate) struct Callers {
    pub(crate) requests: BTreeMap<RequestId, Request>,
    /// Granted by the table, and the database has to confirm it.
    pub(crate) confirming: BTreeMap<GrantId, (Ticket, Request)>,
    pub(crate) guards: BTreeMap<GrantId, Guard>,
    /// Released, but nobody else may have them yet.
    pub(crate) kept: BTreeMap<GrantId, (u8, Ticket)>,
    /// Their row is kept from others until the database has confirmed that.
    pub(crate) settling: BTreeMap<GrantId, Arc<Validity>>,
    /// To be told that it is busy, when the database is known to answer.
    pub(crate) doubts: Vec<(Request, Time)>,
    pub(crate) alarms: BTreeSet<(Duration, Alarm)>,
}

impl Callers {
    pub(crate) fn has_unanswered(&self, id: RequestId) -> bool {
        let mut confirming = self.confirming.values();
        self.requests.contains_key(&id) || confirming.any(|(_, request)| request.id == id)
    }

    /// Whether nobody wants, waits for or holds anything.
    pub(crate) fn are_gone(&self) -> bool {
        self.requests.is_empty()
            && self.confirming.is_empty()
            && self.guards.is_empty()
            && self.kept.is_empty()
            && self.settling.is_empty()
            && self.doubts.is_empty()
    }

    /// Whose answer is overdue by more than this, since its process runs again.
    pub(crate) fn forgotten(
        &self,
        now: Duration,
        since: Duration,
        bound: Duration,
    ) -> Option<&Request> {
        let waiting = self.requests.values().chain(self.doubts.iter().map(|(request, _)| request));
        let mut all = waiting.chain(self.confirming.values().map(|(_, request)| request));
        all.find(|request| now > request.end.max(since) + bound)
    }
}
