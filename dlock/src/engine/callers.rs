//! Those whom the engine owes an answer, and by when.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::grant::Grant;
use super::granted::Granted;
use super::lock_table::{Refusal, RequestId};
use super::map::Map;
use super::message::Request;
use crate::clock::Time;
use crate::error::Error;
use crate::status::lost::LostReason;

/// So long before a caller's time is up it is found out who is in the way: then the answer need not
/// wait for that.
const AHEAD: Duration = Duration::from_millis(25);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum EngineDeadline {
    /// The time will soon be up.
    Look,
    Expire,
    Overdue,
    /// Somebody wants to be woken: here the id is a request's that is not one.
    Wake,
    /// The time is over for which a lock that was released is to be held all the same: here the id
    /// is that of the hold.
    MinHold,
    /// It waits for longer than usual.
    Slow,
    /// It is held for longer than it should be: here the id is that of the hold.
    Long,
    /// The time is up for a change of a held lock's mode: here the id is that of the hold.
    Convert,
}

impl EngineDeadline {
    pub(super) fn is_min_hold(self) -> bool {
        self == EngineDeadline::MinHold
    }
}

pub(super) type EngineDeadlineAt = (Instant, RequestId, EngineDeadline);

pub(super) type EngineDeadlines = BTreeSet<EngineDeadlineAt>;

/// When something is to be done about a caller who waits.
pub(super) fn engine_deadline(request: &Request) -> Option<EngineDeadlineAt> {
    let end = request.end?;
    if !request.patient {
        return Some((end, request.id, EngineDeadline::Overdue));
    }
    let ahead = end.checked_sub(AHEAD).filter(|at| *at > request.asked + AHEAD);
    match ahead {
        Some(at) => Some((at, request.id, EngineDeadline::Look)),
        None => expiry(request),
    }
}

/// When a caller's time is up.
pub(super) fn expiry(request: &Request) -> Option<EngineDeadlineAt> {
    let end = request.end.filter(|_| request.patient)?;
    Some((end, request.id, EngineDeadline::Expire))
}

/// When a caller has waited for longer than usual.
pub(super) fn slow(request: &Request) -> Option<EngineDeadlineAt> {
    let after = request.waiting.as_ref().filter(|_| request.patient)?.after;
    Some((request.asked + after, request.id, EngineDeadline::Slow))
}

/// A caller waits no more.
pub(super) fn disarm(deadlines: &mut EngineDeadlines, request: &Request) {
    if let Some(alarm) = slow(request) {
        deadlines.remove(&alarm);
    }
    let mut due = [engine_deadline(request), expiry(request)].into_iter().flatten();
    due.any(|alarm| deadlines.remove(&alarm));
}

/// A caller who is to be told that somebody else has the lock, if that is still so.
pub(super) struct Doubt {
    pub(super) request: Box<Request>,
    pub(super) why: Refusal,
    /// The database must have answered something that was asked later than this.
    pub(super) since: Time,
}

/// Those whom the engine owes an answer.
#[derive(Default)]
pub(super) struct Callers {
    /// Those who wait.
    pub(super) requests: Map<RequestId, Box<Request>>,
    pub(super) granted: Granted,
    /// To be refused when the database is known to answer.
    pub(super) doubts: Vec<Doubt>,
    /// Those who want to be woken.
    pub(super) sleepers: Map<RequestId, oneshot::Sender<()>>,
}

impl Callers {
    /// Whether this request has had no answer yet.
    pub(super) fn has_unanswered(&self, id: RequestId) -> bool {
        self.requests.contains_key(&id) || self.granted.confirming(id).is_some()
    }
}

/// Tells those whose guards are still there that the locker is closed: all know it before the first
/// callback runs.
pub(super) fn lose_all<'a>(holds: impl Iterator<Item = &'a Arc<Grant>>) {
    let held = holds.filter(|hold| !hold.is_without_guards());
    let lost: Vec<_> = held.filter(|hold| hold.mark_lost(LostReason::Closed)).collect();
    lost.into_iter().for_each(|hold| hold.tell_loss());
}

/// However the engine ends (closed, or its runtime gone), whoever waits or holds learns it.
impl Drop for Callers {
    fn drop(&mut self) {
        let confirming = self.granted.drain_confirming().into_iter().map(|(_, request)| request);
        let waiting = self.requests.drain().map(|(_, request)| request).chain(confirming);
        let doubts = self.doubts.drain(..).map(|doubt| doubt.request);
        waiting.chain(doubts).for_each(|request| request.fail(Error::Closed));
        lose_all(self.granted.all_held().map(|(_, hold, _)| hold));
        self.granted.all_held().for_each(|(_, hold, _)| hold.mark_unconfirmed());
    }
}
