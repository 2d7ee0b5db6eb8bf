//! The engine's state: what callers want and have, and what is to be done about it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::call_clock::on_our_clock;
use super::callers::{Callers, EngineDeadline, EngineDeadlines, disarm, engine_deadline, slow};
use super::executor::Executor;
use super::granted::Ended;
use super::handle::WeakEngine;
use super::lock_table::{Action, Event, RequestId, Shareable as _, Table};
use super::lookup::Lookups;
use super::message::{Message, Request};
use super::recent::Recent;
use crate::observe::Telemetry;
use crate::spec::lock_id::LockId;
use crate::spec::options::LockOptions;
use crate::status::lost::LostReason;
use crate::switch;
use crate::wait_group::Share;

/// A lock may stay in this process so long before others have their turn (measured: longer only
/// makes their tail longer). Unit tests must not depend on how busy the machine is.
pub(super) const HANDOFF_TIME_MAX: Duration =
    Duration::from_millis(if cfg!(test) { 5000 } else { 5 });
/// A key that was refused this short a time ago would be refused again.
pub(super) const CONTENTION_MEMORY: Duration = Duration::from_millis(100);

/// An engine at work.
pub(super) struct Actor<E> {
    /// Before the executor: when the engine is dropped, its guards know it before the connections go.
    pub(super) callers: Callers,
    pub(super) table: Table<LockId>,
    pub(super) executor: E,
    pub(super) deadlines: EngineDeadlines,
    /// Refused or waited for.
    contended: Recent,
    /// Granted by the database, of what can be shared.
    turns: Recent,
    pub(super) lookups: Lookups,
    /// The way back for guards.
    pub(super) engine: WeakEngine,
    pub(super) telemetry: Arc<Telemetry>,
    /// Those who wait until all that was let go is confirmed.
    pub(super) settling: Vec<Share>,
    actions: Vec<Action<LockId>>,
}

impl<E: Executor> Actor<E> {
    pub(super) fn new(executor: E, engine: WeakEngine, telemetry: Arc<Telemetry>) -> Self {
        Actor {
            table: Table::default(),
            executor,
            callers: Callers::default(),
            deadlines: EngineDeadlines::new(),
            contended: Recent::new(CONTENTION_MEMORY),
            turns: Recent::new(HANDOFF_TIME_MAX),
            lookups: Lookups::default(),
            engine,
            telemetry,
            settling: Vec::new(),
            actions: Vec::new(),
        }
    }

    /// When something is to be done by the clock.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, ..)| *at)
    }

    /// Takes a message in; after the last one the engine is to end, and somebody waits for that or
    /// not.
    pub(super) fn receive(&mut self, message: Message) -> Option<bool> {
        match message {
            Message::Acquire(request) => self.acquire(request),
            Message::Abandon(request) => {
                self.take(request);
                self.step(Event::Abandon { request }, LostReason::Closed);
                self.give_up_on(request);
            }
            Message::Release { hold, .. } => self.release(hold),
            Message::Keep { hold } => {
                if let Some((hold, (lock_id, _))) = self.callers.granted.held(hold) {
                    self.executor.keep(lock_id, hold.min_hold());
                }
            }
            Message::Convert { hold, wanted } => self.convert(hold, wanted),
            Message::GiveUpConversion { hold } => self.give_up_conversion(hold),
            Message::Verify { hold, reply } => {
                self.verify(hold, reply);
            }
            Message::IntoToken { hold, owner, reply } => {
                self.hand_over_to_token(hold, owner, reply)
            }
            Message::DropToken { key, owner } => self.executor.drop_token(key, owner),
            Message::Adopt(adoption) => self.adopt(*adoption),
            Message::Status(reply) => self.status(reply),
            Message::Check(reply) => self.check(reply),
            Message::Break { key, reply } => self.break_lock(key, reply),
            Message::Prune { older_than, reply } => self.executor.prune(older_than, reply),
            Message::Ping(reply) => self.ping(reply),
            Message::Switched(on) => {
                if !on {
                    self.let_all_pass();
                }
            }
            Message::Found(holders) => self.found(holders),
            // It has been taken apart.
            Message::All(_) => {}
            Message::Wake { id, at, reply } => {
                self.callers.sleepers.insert(id, reply);
                self.deadlines.insert((on_our_clock(at), id, EngineDeadline::Wake));
            }
            Message::ReportIdle(done) => self.settling.push(done),
            Message::Close { patient } => return Some(patient),
        }
        None
    }

    /// Tells those who wait for that when nothing is on its way back to the database.
    pub(super) fn report_idle(&mut self) {
        if self.settling.is_empty() {
            return;
        }
        let mut held = self.callers.granted.all_held();
        if !self.executor.has_unanswered() && !held.any(|(_, hold, _)| hold.is_without_guards()) {
            self.settling.clear();
        }
    }

    pub(super) fn acquire(&mut self, mut request: Box<Request>) {
        if !switch::enabled() {
            return request.let_pass();
        }
        request.arrive();
        let most = self.executor.most_keys();
        if self.table.is_beyond(most, &request.lock_id) {
            return request.fail(self.executor.too_many_keys());
        }
        self.deadlines.extend(engine_deadline(&request).into_iter().chain(slow(&request)));
        self.want(request);
    }

    pub(super) fn want(&mut self, request: Box<Request>) {
        let (id, patient) = (request.id, request.patient);
        let key = request.lock_id.clone();
        let budget_spent = !(key.is_shareable() && self.turns.contains(&key));
        self.callers.requests.insert(id, request);
        self.step(Event::Acquire { request: id, key, patient, budget_spent }, LostReason::Closed);
    }

    /// Takes a request out, with its alarm.
    pub(super) fn take(&mut self, id: RequestId) -> Option<Box<Request>> {
        let request = self.callers.requests.remove(&id)?;
        disarm(&mut self.deadlines, &request);
        Some(request)
    }

    pub(super) fn step(&mut self, event: Event<LockId>, reason: LostReason) {
        let contended = match &event {
            Event::Acquire { request, key, .. } => {
                let request = self.callers.requests.get(request);
                self.contended.contains(key)
                    && request.is_some_and(|request| self.executor.can_wait(&request.options))
            }
            Event::Unlocked { key, .. } => {
                self.contended.contains(key)
                    && options(&self.table, &self.callers, key)
                        .is_none_or(|options| self.executor.can_wait(options))
            }
            Event::Refused { key, .. } | Event::Ended { key, .. } => {
                self.contended.insert(key.clone());
                true
            }
            Event::Granted { key, .. } if key.is_shareable() => {
                self.turns.insert(key.clone());
                false
            }
            _ => false,
        };
        let mut actions = std::mem::take(&mut self.actions);
        self.table.step(event, contended, &mut actions);
        for action in actions.drain(..) {
            self.carry_out(action, reason);
        }
        self.actions = actions;
    }

    fn carry_out(&mut self, action: Action<LockId>, reason: LostReason) {
        match action {
            Action::Try { key, ticket } => {
                let default = LockOptions::default();
                let options = options(&self.table, &self.callers, &key).unwrap_or(&default);
                self.executor.try_lock(key, ticket, options);
            }
            Action::Wait { key, ticket } => {
                let until = self.latest(&key);
                self.contended.insert(key.clone());
                let default = LockOptions::default();
                let options = options(&self.table, &self.callers, &key).unwrap_or(&default);
                self.executor.wait(key, ticket, until, options);
            }
            Action::Cancel { key, ticket } => self.executor.cancel(&key, ticket),
            Action::Unlock { key, grant, ticket, .. } => self.executor.unlock(key, grant, ticket),
            Action::DiscardSession { key, ticket } => {
                tracing::error!(target: "dlock", %key, "an answer that nobody has asked for");
                self.executor.discard_session(&key, ticket);
            }
            Action::Grant { key, grant, request, hold } => {
                if let Some(request) = self.callers.requests.remove(&request) {
                    self.executor.hand_over(&key, grant, &request.options);
                    self.callers.granted.add(hold, (key, grant), request);
                } else {
                    // Its caller has gone meanwhile.
                    self.step(Event::Release { hold, budget_spent: false }, reason);
                }
            }
            Action::Refuse { request, why } => {
                if let Some(request) = self.take(request) {
                    self.refuse(request, why);
                }
            }
            Action::Convert { key, grant, hold } => self.ask_to_convert(&key, grant, hold),
            Action::StopConvert { grant } => self.executor.stop_convert(grant),
            Action::Changed { hold, key } => self.changed(hold, key),
            Action::Unchanged { hold, why } => self.unchanged(hold, why),
            Action::MarkReleased { hold, clean } => {
                self.forget_conversion(hold);
                if let Some((hold, _)) = self.callers.granted.take_held(hold) {
                    if clean || hold.lost_info().is_some() {
                        hold.mark_released();
                    } else {
                        hold.lose(reason);
                    }
                }
            }
            Action::Lose { hold } => {
                self.forget_conversion(hold);
                match self.callers.granted.end(hold) {
                    Some(Ended::Held(hold)) => hold.lose(reason),
                    // Its holder has gone with an Ok, which was true.
                    Some(Ended::Lingered) | None => {}
                    Some(Ended::Unconfirmed(request)) if request.is_adoption() => {
                        self.refuse_adoption(request);
                    }
                    // Nobody knows of it yet: who was to have it goes on waiting.
                    Some(Ended::Unconfirmed(request)) => self.want(request),
                }
            }
        }
    }
}

/// On what options the first of those who wait for this key wants it.
fn options<'a>(
    table: &Table<LockId>,
    callers: &'a Callers,
    key: &LockId,
) -> Option<&'a LockOptions> {
    let first = table.waiting(key).find_map(|id| callers.requests.get(&id));
    first.map(|request| &request.options)
}
