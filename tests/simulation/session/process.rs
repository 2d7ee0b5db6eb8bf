//! A process: the engine's own table and the own core of its sessions, with callers, and a driver that carries out what
//! the core decides. What is modelled is only what `engine/actor.rs` does between the two.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fastrand::Rng;

use super::coverage::Coverage;
use super::plan::{Kind, MS, Micros, SECOND};
use super::server::TTL;
use super::task::Task;
use super::world::{clock, instant, micros};
use crate::clock::Validity;
use crate::engine::executor::{Contact, Report};
use crate::engine::lock_table::simulation::{Ledger, ModelId};
use crate::engine::lock_table::{Action as Decision, Event, GrantId, RequestId, Table, Ticket};
use crate::engine::session::core::{
    Action, Job, Limits, Now, ServerTraits, SessionCore, SessionEvent, SessionId,
};
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;
use crate::spec::native::NativeKey;
use crate::spec::options::LockOptions;

/// How long the database may take to say what became of a wait that ran out, as in `engine/deadlines.rs`.
const GRACE: Micros = 500 * MS;
/// A caller is answered at most so long after that, if its process is not frozen.
const BOUND: Micros = 500 * MS;
/// How long a statement of readers waits.
pub(super) const SLICE: Micros = 3 * SECOND;

/// A caller that waits.
pub(super) struct Request {
    lock_id: LockId,
    options: LockOptions,
    patient: bool,
    end: Micros,
    hold: Micros,
}

/// A lock that a caller has.
pub(super) struct Guard {
    pub(super) lock_id: LockId,
    pub(super) grant: Ticket,
    pub(super) session: SessionId,
    pub(super) validity: Arc<Validity>,
    /// Its caller has let go of it.
    pub(super) released: bool,
    wants: Option<Mode>,
    /// Its caller may have seen that its validity was over.
    pub(super) was_over: bool,
}

impl Guard {
    /// What its caller may count on: one that is to become a shared lock is one by what the caller wants.
    pub(super) fn least_mode(&self) -> Mode {
        match self.wants {
            Some(Mode::Shared) => Mode::Shared,
            _ => self.lock_id.mode,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Alarm {
    Expire,
    Overdue,
    Release,
    Stay,
}

/// See the [module](self).
pub(super) struct Process {
    table: Table<LockId>,
    pub(super) core: SessionCore,
    pub(super) tasks: BTreeMap<SessionId, Task>,
    pub(super) requests: BTreeMap<RequestId, Request>,
    confirming: BTreeMap<GrantId, (LockId, Ticket, RequestId, Request)>,
    pub(super) guards: BTreeMap<GrantId, Guard>,
    alarms: BTreeSet<(Micros, u64, Alarm)>,
    contended: BTreeMap<LockId, Micros>,
    reports: Vec<Report>,
    /// The highest token of each key that the server has given to any process is the world's to know; here: those that
    /// were handed out in this turn.
    pub(super) fences: Vec<(LockId, SessionId, u64)>,
    last_request: RequestId,
    last_question: u64,
    desk: bool,
    /// When it was last frozen, the end of that.
    awake_since: Micros,
    /// Sessions that were dropped or closed: nothing may be asked of them any more.
    gone: BTreeSet<SessionId>,
    /// How many callers were granted what they wanted.
    pub(super) granted: u64,
    pub(super) seen: Coverage,
    /// What tasks have to do, in this order.
    pub(super) orders: Vec<(SessionId, Order)>,
    pub(super) trace: Option<Vec<String>>,
    pub(super) steps: u64,
    /// Nothing breaks in this world.
    faultless: bool,
    /// What the table must do. `None` where locks change their mode, which it does not know.
    ledger: Option<Ledger>,
}

/// What the driver does with a task.
pub(super) enum Order {
    Connect(Arc<Validity>),
    Send(Job),
    Close,
    Drop,
}

impl Process {
    pub(super) fn new(kind: Kind, seed: u64, now: Now) -> Self {
        let server = ServerTraits {
            session_ttl: Some(micros(TTL)),
            heartbeat: micros(TTL / 3),
            readers: kind.readers,
            stops_waits: kind.stops_waits,
            conversion_wait_max: micros(SECOND),
        };
        let connect = micros(10 * SECOND);
        let limits = Limits { connect, sessions: kind.sessions, keys: 100, slice: micros(SLICE) };
        let mut core = SessionCore::new("model".into(), server, limits, Rng::with_seed(seed), now);
        core.connect(now);
        Process {
            table: Table::default(),
            core,
            tasks: BTreeMap::new(),
            requests: BTreeMap::new(),
            confirming: BTreeMap::new(),
            guards: BTreeMap::new(),
            alarms: BTreeSet::new(),
            contended: BTreeMap::new(),
            reports: Vec::new(),
            fences: Vec::new(),
            last_request: 0,
            last_question: 0,
            desk: false,
            awake_since: 0,
            gone: BTreeSet::new(),
            granted: 0,
            seen: Coverage::default(),
            orders: Vec::new(),
            trace: None,
            steps: 0,
            faultless: kind.faults == 0,
            ledger: (!kind.converts).then(Ledger::default),
        }
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(what());
        }
    }

    /// It is frozen until then.
    pub(super) fn wakes_up(&mut self, at: Micros) {
        self.awake_since = self.awake_since.max(at);
    }

    /// Nothing is wanted, held or on its way.
    pub(super) fn is_idle(&self) -> bool {
        let is_idle = self.table.is_empty() && self.requests.is_empty() && self.guards.is_empty();
        let ledger = self.ledger.as_ref().filter(|_| is_idle);
        assert!(ledger.is_none_or(Ledger::is_empty), "the table has forgotten something");
        is_idle
    }

    /// A session's task has told something.
    pub(super) fn hear(&mut self, id: SessionId, event: SessionEvent, now: Micros) {
        self.steps += 1;
        let was_open = self.tasks.get(&id).is_some_and(|task| task.is_open());
        self.note(|| format!("session {id} tells {event:?}"));
        if let SessionEvent::Opened { left, .. } = &event
            && left.is_some_and(|left| left < 3)
        {
            self.seen.note("seen: a session is full");
        }
        if !self.gone.contains(&id) {
            self.seen.event(&event, was_open);
        }
        self.core.note_elsewhere(usize::from(self.desk));
        self.core.on_event(id, event, clock(now));
    }

    /// A caller wants a key.
    pub(super) fn acquire(
        &mut self,
        lock_id: LockId,
        options: LockOptions,
        wait: Micros,
        hold: Micros,
        now: Micros,
    ) {
        self.last_request += 1;
        let (request, end, patient) = (self.last_request, now + wait, wait > 0);
        let alarm = if patient {
            (end, request, Alarm::Expire)
        } else {
            (end + GRACE, request, Alarm::Overdue)
        };
        self.alarms.insert(alarm);
        let wanted = Request { lock_id, options, patient, end, hold };
        self.want(request, wanted, now);
    }

    fn want(&mut self, request: RequestId, wanted: Request, now: Micros) {
        let (key, patient) = (wanted.lock_id.clone(), wanted.patient);
        self.requests.insert(request, wanted);
        self.step(
            Event::Acquire { request, key, patient, budget_spent: request.is_multiple_of(3) },
            now,
        );
    }

    /// One of those who wait goes away.
    pub(super) fn abandon(&mut self, salt: u64, now: Micros) {
        let all: Vec<RequestId> = self.requests.keys().copied().collect();
        if let Some(&request) = all.get(usize::try_from(salt % 7).unwrap_or_default()) {
            self.requests.remove(&request);
            self.step(Event::Abandon { request }, now);
        }
    }

    /// A guard is to hold its lock in the other mode.
    pub(super) fn convert(&mut self, salt: u64, wait: Micros, now: Micros) {
        let free = self.guards.iter_mut().filter(|(_, g)| !g.released && g.wants.is_none());
        let mut free: Vec<_> = free.collect();
        if free.is_empty() {
            return;
        }
        let index = usize::try_from(salt % free.len() as u64).unwrap_or_default();
        let (hold, guard) = &mut free[index];
        let to = if guard.lock_id.mode == Mode::Shared { Mode::Exclusive } else { Mode::Shared };
        guard.wants = Some(to);
        let hold = **hold;
        self.alarms.insert((now + wait, hold, Alarm::Stay));
        self.step(Event::Convert { hold, patient: wait > 0 }, now);
    }

    /// Somebody asks something, on the session that carries.
    pub(super) fn question(&mut self, salt: u64, now: Micros) {
        self.last_question += 1;
        match salt % 5 {
            // The desk opens a session of its own, if there is room.
            0 if self.core.has_room_for_desk(clock(now)) => self.desk = true,
            1 => {
                if let Some(guard) = self.guards.values().next() {
                    self.core.ask_holder(guard.grant, self.last_question);
                }
            }
            2 => {
                let _: Contact = self.core.contact(clock(now).time);
            }
            // And closes it after a while.
            3 => self.desk = false,
            _ => self.core.ask(self.last_question),
        }
        let _ = self.core.own(|_| true).len();
    }

    /// All guards are let go now, and nobody waits any more.
    pub(super) fn let_go(&mut self, now: Micros) {
        let requests: Vec<RequestId> = self.requests.keys().copied().collect();
        for request in requests {
            self.requests.remove(&request);
            self.step(Event::Abandon { request }, now);
        }
        let holds: Vec<GrantId> = self.guards.keys().copied().collect();
        holds.into_iter().for_each(|hold| self.release(hold, now));
    }

    fn release(&mut self, hold: GrantId, now: Micros) {
        if let Some(guard) = self.guards.get_mut(&hold).filter(|guard| !guard.released) {
            guard.released = true;
            // Seldom enough for a lock that passes on as often as it may.
            self.step(Event::Release { hold, budget_spent: hold % 32 < 8 }, now);
        }
    }

    /// Ends a turn of the loop: reports, timers, what was granted, and what goes out.
    pub(super) fn turn(&mut self, woken: bool, now: Micros) {
        let at = clock(now);
        if woken && self.core.next_wake().is_some_and(|wake| wake <= at.clock) {
            self.steps += 1;
            self.core.note_elsewhere(usize::from(self.desk));
            self.core.tick(at);
        }
        self.act(now);
        self.core.told();
        loop {
            let reports = std::mem::take(&mut self.reports);
            if reports.is_empty() {
                break;
            }
            for report in reports {
                self.step(report.event, now);
            }
            self.act(now);
        }
        self.confirm(now);
        self.ring(now);
        self.confirm(now);
        self.steps += 1;
        self.core.note_elsewhere(usize::from(self.desk));
        self.core.flush(at);
        self.act(now);
        self.answered_in_time(now);
        // What the flush has brought to an end is told in the next turn, which is now.
        for guard in self.guards.values().filter(|_| self.reports.is_empty()) {
            let ended = guard.validity.ended();
            assert!(ended.is_none(), "{} has ended, and its guard is not told", guard.lock_id);
        }
    }

    /// When it next has something to do by the clock.
    pub(super) fn next_wake(&self, now: Micros) -> Option<Micros> {
        if !self.reports.is_empty() {
            return Some(now);
        }
        let core = self.core.next_wake().map(instant);
        let alarm = self.alarms.first().map(|(at, ..)| *at);
        core.into_iter().chain(alarm).min().map(|at| at.max(now))
    }

    fn answered_in_time(&self, now: Micros) {
        for (id, request) in &self.requests {
            let late = request.end.max(self.awake_since) + 2 * GRACE + BOUND;
            assert!(now <= late, "request {id} for {} has no answer", request.lock_id);
        }
        for (lock_id, _, id, request) in self.confirming.values() {
            let late = request.end.max(self.awake_since) + 2 * GRACE + BOUND;
            assert!(now <= late, "request {id} for {lock_id} has a grant in doubt, and no answer");
        }
    }

    fn ring(&mut self, now: Micros) {
        while let Some(&(at, id, alarm)) = self.alarms.first()
            && at <= now
        {
            self.alarms.pop_first();
            match alarm {
                Alarm::Release => self.release(id, now),
                Alarm::Stay => {
                    if self.guards.get(&id).is_some_and(|guard| guard.wants.is_some()) {
                        self.step(Event::Stay { hold: id }, now);
                    }
                }
                Alarm::Expire => {
                    if self.requests.contains_key(&id) {
                        self.step(Event::Expire { request: id }, now);
                    }
                    self.alarms.insert((now + GRACE, id, Alarm::Overdue));
                }
                Alarm::Overdue if self.requests.contains_key(&id) => {
                    let patient = self.requests.get(&id).is_some_and(|request| request.patient);
                    assert!(
                        !self.faultless || !patient,
                        "request {id} is overdue, and nothing is broken"
                    );
                    self.step(Event::Overdue { request: id }, now);
                }
                Alarm::Overdue => {
                    let hold =
                        self.confirming.iter().find(|(_, (_, _, request, _))| *request == id);
                    if let Some(hold) = hold.map(|(hold, _)| *hold) {
                        self.seen.note("seen: a grant in doubt is given up");
                        self.confirming.remove(&hold);
                        self.step(Event::Release { hold, budget_spent: true }, now);
                    }
                }
            }
        }
    }

    /// Hands out what was granted, as far as the server's answer on it is fresh.
    fn confirm(&mut self, now: Micros) {
        let holds: Vec<GrantId> = self.confirming.keys().copied().collect();
        for hold in holds {
            let Some((lock_id, grant, ..)) = self.confirming.get(&hold) else { continue };
            let (lock_id, grant) = (lock_id.clone(), *grant);
            let Some(info) = self.core.held(grant, clock(now)) else {
                self.step(Event::Lost { key: lock_id, grant }, now);
                continue;
            };
            if !info.fresh {
                self.seen.note("order: refresh");
                self.core.refresh(grant, clock(now));
                self.act(now);
                continue;
            }
            let remaining = info.validity.remaining(clock(now).time);
            assert!(
                remaining >= micros(TTL / 2),
                "{lock_id} is handed out with {remaining:?} left"
            );
            let Some((.., request)) = self.confirming.remove(&hold) else { continue };
            assert_eq!(info.fence.is_some(), request.options.fenced, "{lock_id}: {:?}", info.fence);
            self.granted += 1;
            self.alarms.insert((now + request.hold, hold, Alarm::Release));
            let session = self.core.grants.session_of(grant).unwrap_or_default();
            assert!(
                !self.gone.contains(&session),
                "{lock_id} is held on session {session}, which is gone"
            );
            self.fences.extend(info.fence.map(|fence| (lock_id.clone(), session, fence)));
            let guard = Guard {
                lock_id,
                grant,
                session,
                validity: info.validity,
                released: false,
                wants: None,
                was_over: false,
            };
            self.note(|| format!("guard {hold}: {} on session {session}", guard.lock_id));
            self.guards.insert(hold, guard);
        }
    }

    fn is_contended(&mut self, lock_id: &LockId, options: &LockOptions, now: Micros) -> bool {
        self.contended.get(lock_id).is_some_and(|at| now <= at + 100 * MS)
            && self.core.can_wait(options, clock(now))
    }

    fn options(&self, key: &LockId) -> LockOptions {
        let mut waiting = self.table.waiting(key);
        let first = waiting.find_map(|id| self.requests.get(&id));
        first.map(|request| request.options.clone()).unwrap_or_default()
    }

    fn step(&mut self, event: Event<LockId>, now: Micros) {
        self.steps += 1;
        let contended = match &event {
            Event::Acquire { request, key, .. } => {
                let options = self.requests.get(request).map(|r| r.options.clone());
                self.is_contended(key, &options.unwrap_or_default(), now)
            }
            Event::Unlocked { key, .. } => self.is_contended(key, &self.options(key), now),
            Event::Refused { key, .. } | Event::Ended { key, .. } => {
                self.contended.insert(key.clone(), now);
                true
            }
            _ => false,
        };
        let mut decisions = Vec::new();
        self.table.step(event.clone(), contended, &mut decisions);
        self.note(|| format!("table: {event:?} -> {decisions:?}"));
        if let Some(ledger) = &mut self.ledger {
            ledger.check(&event_of(&event), &decisions.iter().map(decision_of).collect::<Vec<_>>());
            ledger.take_seen().into_iter().for_each(|rare| self.seen.note(rare));
        }
        for decision in decisions {
            self.carry_out(decision, now);
        }
    }

    fn carry_out(&mut self, decision: Decision<LockId>, now: Micros) {
        let at = clock(now);
        match decision {
            Decision::Try { key, ticket } => {
                self.seen.note("order: try");
                let fenced = self.options(&key).fenced;
                self.core.try_lock(key, ticket, fenced);
            }
            Decision::Wait { key, ticket } => {
                self.seen.note("order: wait");
                let waiting = self.table.waiting(&key).filter_map(|id| self.requests.get(&id));
                let until = waiting.filter(|r| r.patient).map(|r| r.end).max().unwrap_or(now);
                self.contended.insert(key.clone(), now);
                let (until, options) = (Some(clock(until).clock), self.options(&key));
                self.core.wait(key, ticket, until, &options, at);
            }
            Decision::Cancel { key, ticket } => {
                self.seen.note("order: cancel");
                self.core.cancel(&key, ticket, at);
            }
            Decision::Unlock { key, grant, ticket, .. } => {
                self.seen.note("order: unlock");
                self.core.unlock(key, grant, ticket);
            }
            Decision::DiscardSession { key, ticket } => panic!("{key}: nobody has asked {ticket}"),
            Decision::Grant { key, grant, request, hold } => {
                self.seen.note("order: hand over");
                match self.requests.remove(&request) {
                    Some(wanted) => {
                        self.core.hand_over(&key, grant, wanted.options.fenced);
                        self.confirming.insert(hold, (key, grant, request, wanted));
                    }
                    None => self.step(Event::Release { hold, budget_spent: false }, now),
                }
            }
            Decision::Refuse { request, .. } => {
                self.requests.remove(&request);
            }
            Decision::Convert { key, grant, hold } => {
                self.seen.note("order: convert");
                let wants = self.guards.get(&hold).and_then(|guard| guard.wants);
                let stay =
                    self.alarms.iter().find(|(_, id, alarm)| *id == hold && *alarm == Alarm::Stay);
                let until = stay.map(|(at, ..)| clock(*at).clock);
                let patient = until.is_some_and(|until| until > at.clock);
                self.core.convert(&key, grant, wants.unwrap_or(key.mode), (until, !patient), at);
            }
            Decision::StopConvert { grant } => {
                self.seen.note("order: stop a conversion");
                self.core.stop_convert(grant);
            }
            Decision::Changed { hold, key } => {
                if let Some(guard) = self.guards.get_mut(&hold) {
                    assert_eq!(guard.wants.take(), Some(key.mode), "not what was wanted");
                    guard.lock_id = key;
                }
            }
            Decision::Unchanged { hold, .. } => {
                if let Some(guard) = self.guards.get_mut(&hold) {
                    guard.wants = None;
                }
            }
            Decision::MarkReleased { hold, .. } => {
                self.guards.remove(&hold);
            }
            Decision::Lose { hold } => {
                if let Some(guard) = self.guards.remove(&hold) {
                    assert!(!self.faultless, "{} is lost, and nothing is broken", guard.lock_id);
                    if !guard.released {
                        self.seen.note("seen: a guard is lost while it is held");
                    }
                } else if let Some((_, _, request, wanted)) = self.confirming.remove(&hold) {
                    self.want(request, wanted, now);
                }
            }
        }
        self.act(now);
    }

    /// What is reported as granted is held, or reported as lost in the same breath.
    fn granted_are_held(&self, actions: &[Action]) {
        let reports = || {
            actions.iter().filter_map(|action| match action {
                Action::Report(report) => Some(&report.event),
                _ => None,
            })
        };
        for event in reports() {
            let Event::Granted { key, ticket } = event else { continue };
            let is_lost = |event: &Event<LockId>| matches!(event, Event::Lost { grant, .. } if grant == ticket);
            let held = self.core.grants.get(*ticket).is_some() || reports().any(is_lost);
            assert!(held, "{key} is granted, and held by no session");
        }
    }

    /// Carries out what the core has decided.
    fn act(&mut self, now: Micros) {
        let mut actions = self.core.take_actions();
        self.granted_are_held(&actions);
        for action in actions.drain(..) {
            self.seen.action(&action);
            self.note(|| format!("core: {action:?}"));
            let (session, order) = match action {
                Action::Report(report) => {
                    self.reports.push(report);
                    continue;
                }
                Action::CloseDesk => {
                    self.desk = false;
                    continue;
                }
                Action::Fail { .. } | Action::LogDeadlock { .. } => continue,
                Action::Connect { session, validity } => (session, Order::Connect(validity)),
                Action::Send { session, job } => (session, Order::Send(job)),
                Action::Close { session } => (session, Order::Close),
                Action::Drop { session } => {
                    let task = self.tasks.get(&session);
                    let ended = task.is_none_or(|task| !task.validity.is_valid_at(clock(now).time));
                    assert!(ended, "session {session} is dropped while what it holds is valid");
                    (session, Order::Drop)
                }
            };
            assert!(
                !self.gone.contains(&session),
                "session {session} is gone, and is asked something"
            );
            if matches!(order, Order::Close | Order::Drop) {
                self.gone.insert(session);
            }
            self.orders.push((session, order));
        }
        self.core.give_back(actions);
    }
}

/// The lock as the ledger knows it.
fn model_id_of(lock_id: &LockId) -> ModelId {
    let NativeKey::Id(key) = lock_id.key else { panic!("{lock_id} is no key of a world") };
    let key = u8::try_from(key).unwrap_or_else(|error| panic!("{lock_id}: {error}"));
    ModelId { key, shared: lock_id.mode == Mode::Shared }
}

fn event_of(event: &Event<LockId>) -> Event<ModelId> {
    match *event {
        Event::Acquire { request, ref key, patient, budget_spent } => {
            Event::Acquire { request, key: model_id_of(key), patient, budget_spent }
        }
        Event::Expire { request } => Event::Expire { request },
        Event::Overdue { request } => Event::Overdue { request },
        Event::Abandon { request } => Event::Abandon { request },
        Event::Granted { ref key, ticket } => Event::Granted { key: model_id_of(key), ticket },
        Event::Refused { ref key, ticket } => Event::Refused { key: model_id_of(key), ticket },
        Event::Ended { ref key, ticket } => Event::Ended { key: model_id_of(key), ticket },
        Event::Failed { ref key, ticket, fatal } => {
            Event::Failed { key: model_id_of(key), ticket, fatal }
        }
        Event::Unlocked { ref key, ticket, clean } => {
            Event::Unlocked { key: model_id_of(key), ticket, clean }
        }
        Event::Release { hold, budget_spent } => Event::Release { hold, budget_spent },
        Event::Lost { ref key, grant } => Event::Lost { key: model_id_of(key), grant },
        ref other => panic!("{other:?} is not of this world"),
    }
}

fn decision_of(decision: &Decision<LockId>) -> Decision<ModelId> {
    match *decision {
        Decision::Try { ref key, ticket } => Decision::Try { key: model_id_of(key), ticket },
        Decision::Wait { ref key, ticket } => Decision::Wait { key: model_id_of(key), ticket },
        Decision::Cancel { ref key, ticket } => Decision::Cancel { key: model_id_of(key), ticket },
        Decision::Unlock { ref key, grant, ticket, hold } => {
            Decision::Unlock { key: model_id_of(key), grant, ticket, hold }
        }
        Decision::Grant { ref key, grant, request, hold } => {
            Decision::Grant { key: model_id_of(key), grant, request, hold }
        }
        Decision::Refuse { request, why } => Decision::Refuse { request, why },
        Decision::MarkReleased { hold, clean } => Decision::MarkReleased { hold, clean },
        Decision::Lose { hold } => Decision::Lose { hold },
        Decision::DiscardSession { ref key, ticket } => {
            Decision::DiscardSession { key: model_id_of(key), ticket }
        }
        ref other => panic!("{other:?} is not of this world"),
    }
}
