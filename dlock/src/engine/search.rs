//! Who is in the way of callers whose time runs out.
//!
//! A search never decides what a caller is told, nor when: it ends without a word when the server
//! does not answer.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::actor::Actor;
use super::callers::{EngineDeadline, expiry};
use super::executor::Executor;
use super::handle::WeakEngine;
use super::lock_table::RequestId;
use super::lookup::{Found, Slow};
use super::message::{Message, Request};
use super::spawn_boxed;
use crate::backend::LockView;
use crate::error::Result;
use crate::spec::native::NativeKey;
use crate::status::holder::{Holder, Stage};

/// So long a caller whose time is up waits at most to learn who was in the way.
const WAIT_MAX: Duration = Duration::from_millis(50);
/// A search that takes longer is given up.
const SEARCH_TIME_MAX: Duration = Duration::from_secs(1);

impl<E: Executor> Actor<E> {
    /// Answers a caller whose time is up, soon, if possible with who holds the key.
    pub(super) fn look_for_holder(&mut self, request: Box<Request>, waited: Duration) {
        let key = &request.lock_id.key;
        if self.lookups.is_known(key) {
            let holder = self.lookups.holder(key);
            return request.refuse(waited, Stage::Database, holder);
        }
        self.deadlines.insert((Instant::now() + WAIT_MAX, request.id, EngineDeadline::Overdue));
        self.lookups.add_caller(request, waited);
        self.search();
    }

    /// A caller's time will soon be up.
    pub(super) fn look_ahead(&mut self, id: RequestId) {
        let Some(request) = self.callers.requests.get(&id) else { return };
        self.deadlines.extend(expiry(request));
        if self.holder_here(&request.lock_id).is_none() {
            self.lookups.want(&request.lock_id.key);
            self.search();
        }
    }

    /// A caller has waited for longer than usual: tells for whom, as soon as that is known.
    pub(super) fn waits_long(&mut self, id: RequestId) {
        let request = self.callers.requests.get_mut(&id);
        let Some(slow) = request.and_then(|request| Slow::of(request)) else { return };
        if let Some(holder) = self.holder_here(&slow.lock_id) {
            return slow.tell(&self.telemetry, Some(&holder));
        }
        let key = &slow.lock_id.key;
        if self.lookups.is_known(key) {
            return slow.tell(&self.telemetry, self.lookups.holder(key).as_ref());
        }
        self.lookups.add_slow(slow);
        self.search();
    }

    /// Begins a search that had to wait for its turn.
    pub(super) fn search_later(&mut self) {
        if self.lookups.next().is_some_and(|at| at <= Instant::now()) {
            self.search();
        }
    }

    fn search(&mut self) {
        let Some(keys) = self.lookups.begin() else { return };
        let (reply, answer) = oneshot::channel();
        self.executor.look_up(keys, reply);
        tell_holders(self.engine.clone(), answer);
    }

    /// Answers those who waited for this. `None`: there is no answer.
    pub(super) fn found(&mut self, holders: Option<Vec<(NativeKey, Option<Holder>)>>) {
        let Found { callers, slow } = self.lookups.end(holders);
        for (request, waited, holder) in callers {
            request.refuse(waited, Stage::Database, holder);
        }
        for (slow, holder) in slow {
            slow.tell(&self.telemetry, holder.as_ref());
        }
    }

    /// It takes too long to find out.
    pub(super) fn give_up_search_for(&mut self, id: RequestId) {
        if let Some((request, waited)) = self.lookups.take_caller(id) {
            request.refuse(waited, Stage::Database, None);
        }
    }
}

/// Tells the engine who the holders are, or that there is no answer.
fn tell_holders(engine: WeakEngine, answer: oneshot::Receiver<Result<Vec<LockView>>>) {
    spawn_boxed(Box::pin(async move {
        let seen = match timeout(SEARCH_TIME_MAX, answer).await {
            Ok(Ok(Ok(seen))) => Some(seen),
            _ => None,
        };
        let holders = seen.map(|seen| {
            let holders = |seen: LockView| {
                let holders = seen.holders.into_iter().map(|party| party.holder).collect();
                (seen.lock_id.key, first(holders))
            };
            seen.into_iter().map(holders).collect()
        });
        engine.send(Message::Found(holders));
    }));
}

/// The first one, who stands for all.
fn first(holders: Vec<Holder>) -> Option<Holder> {
    let others = holders.len().saturating_sub(1);
    let mut first = holders.into_iter().next()?;
    if others > 0 {
        first.who = format!("{} and {others} more", first.who);
    }
    Some(first)
}
