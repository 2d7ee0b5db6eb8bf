//! One process: the real table and the real core of leases, and what stands between them and the
//! callers in the engine's loop.

mod engine;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dlock::engine::lease::core::{
    Answer, Done, Found, Job, LeaseAction, LeaseCore, Now, Offer, Owner, OwnerSpec, Question,
    QuestionId, Sent, Settings, Taken,
};
use dlock::engine::lock_table::{Action, Event, GrantId, RequestId, Table};
use dlock::engine::simulated::{LockId, Report, Time, Wall};
use dlock::{LeaseOptions, NativeKey};
use fastrand::Rng;

use super::callers::{Callers, Request};
use super::coverage::Coverage;
use super::plan::TTL;

/// How long the database may take to say what became of a wait that ran out.
const GRACE: Duration = Duration::from_millis(500);
/// A lock may stay in a process so long before others have their turn.
const HANDOFF_TIME_MAX: Duration = Duration::from_millis(5);
/// A key that was refused this short a time ago would be refused again.
const CONTENTION_MEMORY: Duration = Duration::from_millis(100);

/// What a question of somebody is about.
#[derive(Debug, Clone)]
pub(crate) enum Asked {
    Held,
    Other,
    /// To be given to that process, which takes it or does not.
    Give {
        key: u8,
        to: usize,
        taken: bool,
        owner: Arc<str>,
    },
    Adopt {
        request: RequestId,
    },
}

/// A lock on its way to another process.
#[derive(Debug, Clone)]
pub(crate) struct Gift {
    pub(crate) key: u8,
    pub(crate) to: usize,
    pub(crate) owner: Arc<str>,
    pub(crate) fence: Option<u64>,
}

/// A job that is with the database.
pub(crate) struct Flight {
    pub(crate) id: u64,
    pub(crate) job: Job,
    pub(crate) sent: Option<Sent>,
}

/// Much more often than with the pauses that it is to make.
const FAILURES_IN_A_SECOND_MAX: usize = 40;

/// See the [module](self).
pub(crate) struct Process {
    pub(crate) index: usize,
    /// How many there were before it in its place.
    pub(crate) life: u64,
    pub(crate) table: Table<LockId>,
    pub(crate) core: LeaseCore,
    pub(crate) callers: Callers,
    /// There is a connection.
    pub(crate) connected: bool,
    pub(crate) flight: Option<Flight>,
    /// What is to be sent, and how long its answer may take.
    pub(crate) outbox: Option<(Job, Duration)>,
    pub(crate) questions: BTreeMap<QuestionId, Asked>,
    pub(crate) gifts: Vec<Gift>,
    /// What it holds may be lost, for something breaks.
    pub(crate) loses: bool,
    pub(crate) frozen_until: Duration,
    /// When it went on after it had stood still.
    pub(crate) thawed: Option<Duration>,
    /// How many jobs it has sent.
    pub(crate) flights: u64,
    /// How many locks its callers have got.
    pub(crate) granted: u64,
    pub(crate) coverage: Coverage,
    /// Calls of the core and events of the table.
    pub(crate) steps: u64,
    /// Guards that were handed out in this turn.
    pub(crate) fresh: Vec<GrantId>,
    /// When it last failed to connect.
    failures: VecDeque<Duration>,
    pub(crate) trace: Option<Vec<String>>,
    /// What the machine's wall clock shows more than that of the world, where it is the database's.
    pub(crate) wall: Option<Duration>,
    base: Instant,
    actions: Vec<LeaseAction>,
    decided: Vec<Action<LockId>>,
    reports: VecDeque<Report>,
    contended: BTreeMap<u8, Duration>,
    last_question: QuestionId,
}

pub(crate) fn id_of(key: u8) -> LockId {
    LockId::exclusive(NativeKey::Id(i64::from(key)))
}

impl Process {
    pub(crate) fn new(
        index: usize,
        life: u64,
        (seed, wall): (u64, Option<Duration>),
        base: Instant,
        now: Duration,
    ) -> Self {
        let mut rng = Rng::with_seed(seed);
        let prefix = format!("{index}.{life}");
        let owners = Box::new(move |spec: &OwnerSpec| match spec {
            OwnerSpec::Named(name) => Owner::Named(Arc::clone(name)),
            OwnerSpec::Token { .. } => Owner::Token(format!("{prefix}/{:x}", rng.u64(..)).into()),
        });
        let options = LeaseOptions::new().ttl(TTL).of_process("simulated".into());
        let intervals = (Duration::from_millis(5), Duration::from_millis(50));
        let settings = Settings { options, ttl: TTL, intervals, busy_rows: true, owners, seed };
        let moment = moment(base, now, wall);
        Process {
            index,
            life,
            table: Table::default(),
            core: LeaseCore::new(settings, moment),
            callers: Callers::default(),
            connected: true,
            flight: None,
            outbox: None,
            questions: BTreeMap::new(),
            gifts: Vec::new(),
            loses: true,
            frozen_until: Duration::ZERO,
            thawed: None,
            flights: 0,
            granted: 0,
            coverage: Coverage::default(),
            steps: 0,
            fresh: Vec::new(),
            failures: VecDeque::new(),
            trace: None,
            wall,
            base,
            actions: Vec::new(),
            decided: Vec::new(),
            reports: VecDeque::new(),
            contended: BTreeMap::new(),
            last_question: 0,
        }
    }

    pub(crate) fn now(&self, now: Duration) -> Now {
        moment(self.base, now, self.wall)
    }

    /// It has failed to connect. A database that is away is not asked again and again.
    pub(crate) fn failed_to_connect(&mut self, now: Duration) {
        self.failures.push_back(now);
        if self.failures.len() > FAILURES_IN_A_SECOND_MAX {
            let first = self.failures.pop_front().unwrap_or_default();
            let time = now.saturating_sub(first);
            assert!(time >= Duration::from_secs(1), "it connects again and again: in {time:?}");
        }
    }

    /// When a statement was sent, on its clocks.
    pub(crate) fn sent_at(&self, at: Duration) -> Sent {
        let Now { time, wall, .. } = self.now(at);
        Sent { at: time, wall }
    }

    /// Whether that owner is one of its own.
    pub(crate) fn owns(&self, owner: &str) -> bool {
        owner == format!("ada{}", self.index) || self.has_made(owner)
    }

    /// No other process, and no earlier life of this one, has this name.
    pub(crate) fn has_made(&self, owner: &str) -> bool {
        owner.starts_with(&format!("{}.{}/", self.index, self.life))
    }

    pub(crate) fn note(&mut self, now: Duration, what: impl FnOnce() -> String) {
        let index = self.index;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>9.3} process {index}: {}", now.as_secs_f64(), what()));
        }
    }

    /// Calls the core, and does what it has decided.
    pub(crate) fn call<T>(
        &mut self,
        name: &'static str,
        now: Duration,
        call: impl FnOnce(&mut LeaseCore, Now, &mut Vec<LeaseAction>) -> T,
    ) -> T {
        self.steps += 1;
        self.coverage.count(name);
        let moment = self.now(now);
        let mut actions = std::mem::take(&mut self.actions);
        let result = call(&mut self.core, moment, &mut actions);
        if !actions.is_empty() {
            self.note(now, || format!("{name} -> {actions:?}"));
        }
        for action in actions.drain(..) {
            self.carry_out(action, now);
        }
        self.actions = actions;
        result
    }

    fn carry_out(&mut self, action: LeaseAction, now: Duration) {
        self.coverage.count(name(&action));
        match action {
            LeaseAction::Send { job, patience } => {
                assert!(self.outbox.is_none() && self.flight.is_none(), "two jobs at once");
                self.outbox = Some((job, patience));
            }
            LeaseAction::Report(report) => {
                if let Event::Granted { key, .. } = &report.event {
                    let moment = self.now(now);
                    let held = self.core.held(&key.key, moment);
                    let is_valid = held
                        .is_some_and(|held| held.validity.is_valid_on(moment.time, moment.wall));
                    assert!(is_valid, "{key:?} is granted when it has run out");
                }
                self.reports.push_back(report);
            }
            LeaseAction::Look => {}
            LeaseAction::Settle { hold, .. } => {
                assert!(self.callers.settling.remove(&hold).is_some(), "settled twice: {hold}");
            }
            LeaseAction::Answer { id, answer } => self.answer(id, answer, now),
            LeaseAction::Probe { .. } => self.ask(Asked::Other, now),
        }
    }

    pub(crate) fn question(&mut self, asked: Asked) -> QuestionId {
        self.last_question += 1;
        self.questions.insert(self.last_question, asked);
        self.last_question
    }

    pub(crate) fn ask(&mut self, asked: Asked, now: Duration) {
        let id = self.question(asked);
        self.call("call: ask", now, |core, _, _| core.ask(id));
    }

    fn answer(&mut self, id: QuestionId, answer: Answer, now: Duration) {
        let Some(asked) = self.questions.remove(&id) else {
            panic!("{id} is answered twice: {answer:?}");
        };
        if let Answer::HandedOver { lease, .. } = &answer {
            let held = self.core.held(&lease.key, self.now(now));
            let is_gone = held.is_none_or(|held| held.fence != lease.fence);
            assert!(is_gone, "{:?} is handed over, and held here", lease.key);
        }
        match (asked, answer) {
            (Asked::Give { key, to, taken, owner }, Answer::HandedOver { fence, lease, .. }) => {
                if taken {
                    self.gifts.push(Gift { key, to, owner, fence });
                } else if lease.fence.is_some_and(|fence| fence % 2 == 0) {
                    self.call("call: drop handed over", now, |core, now, _| {
                        core.drop_handed_over(lease, now);
                    });
                } else {
                    self.call("call: drop token", now, |core, now, _| {
                        core.drop_token(lease.key, owner, now);
                    });
                }
            }
            // The table has it already, or has not heard of it.
            (Asked::Adopt { request }, Answer::NotHeld(_) | Answer::Failed(_)) => {
                self.callers.requests.remove(&request);
            }
            (_, Answer::Held(_) | Answer::NotHeld(_) | Answer::Failed(_) | Answer::Adopted) => {}
            (asked, answer) => panic!("{asked:?} is answered by {answer:?}"),
        }
    }

    pub(crate) fn adopt(&mut self, request: Request, gift: Gift, now: Duration) {
        let ticket = self.table.ticket();
        let (id, options) = (request.id, request.like.options(self.index));
        self.callers.requests.insert(id, request);
        let question = self.question(Asked::Adopt { request: id });
        let key = NativeKey::Id(i64::from(gift.key));
        let offer = Offer { key, owner: gift.owner, fence: gift.fence };
        self.call("call: adopt", now, |core, _, _| {
            core.adopt(question, offer, (ticket, id), &options);
        });
    }

    /// Takes the database's answer in.
    pub(crate) fn finish(&mut self, done: Done, now: Duration) {
        if let (Job::Ask { id, question: Question::Other, found: Found::All }, Ok(())) =
            (&done.job, &done.result)
        {
            self.questions.remove(id);
        }
        let mut granted = Vec::new();
        if let (Job::Apply { takes, outcomes, .. }, Ok(())) = (&done.job, &done.result) {
            let taken = takes.iter().zip(&outcomes.taken);
            granted.extend(taken.filter_map(|(take, taken)| match taken {
                Taken::Granted(fence) => Some((take.key.clone(), *fence)),
                Taken::Held(_) => None,
            }));
        }
        self.call("call: finish", now, |core, now, out| core.finish(done, now, out));
        for (key, fence) in granted {
            let held = self.core.held(&key, self.now(now));
            let is_held = held.is_some_and(|held| held.fence == fence);
            let is_known = is_held || self.core.has_unanswered();
            assert!(is_known, "{key:?} is granted by {fence:?}, and neither held nor given back");
        }
    }

    /// When it is to wake by itself.
    pub(crate) fn next(&self, now: Duration) -> Option<Duration> {
        let core = self.core.deadline(self.now(now));
        let core = core.map(|at| at.saturating_duration_since(self.base));
        let alarm = self.callers.alarms.first().map(|(at, _)| *at);
        core.into_iter().chain(alarm).min()
    }
}

fn moment(base: Instant, now: Duration, wall: Option<Duration>) -> Now {
    let millis = |wall| u64::try_from((now + wall).as_millis()).unwrap_or(u64::MAX);
    let wall = wall.map(|wall| Wall::from_millis(millis(wall)));
    Now { timer: base + now, time: Time::BOOT.after(now), wall }
}

fn name(action: &LeaseAction) -> &'static str {
    use dlock::engine::lease::core::Settled;
    match action {
        LeaseAction::Send { job: Job::Apply { .. }, .. } => "action: send apply",
        LeaseAction::Send { job: Job::Renew { .. }, .. } => "action: send renew",
        LeaseAction::Send { job: Job::Ask { .. }, .. } => "action: send question",
        LeaseAction::Look => "action: look",
        LeaseAction::Probe { .. } => "action: probe",
        LeaseAction::Settle { settled: Settled::Confirmed, .. } => "action: settle confirmed",
        LeaseAction::Settle { settled: Settled::NotHeld, .. } => "action: settle not held",
        LeaseAction::Settle { settled: Settled::RanOut, .. } => "action: settle ran out",
        LeaseAction::Answer { answer, .. } => match answer {
            Answer::Held(_) => "action: answer held",
            Answer::HandedOver { .. } => "action: answer handed over",
            Answer::Adopted => "action: answer adopted",
            Answer::NotHeld(_) => "action: answer not held",
            Answer::Failed(_) => "action: answer failed",
        },
        LeaseAction::Report(report) => match &report.event {
            Event::Adopted { .. } => "action: report adopted",
            Event::Granted { .. } => "action: report granted",
            Event::Refused { .. } => "action: report refused",
            Event::Ended { .. } => "action: report ended",
            Event::Failed { fatal: false, .. } => "action: report failed",
            Event::Failed { fatal: true, .. } => "action: report failed for good",
            Event::Unlocked { clean: true, .. } => "action: report unlocked",
            Event::Unlocked { clean: false, .. } => "action: report unlocked, not clean",
            Event::Lost { .. } => "action: report lost",
            Event::Release { .. } => "action: report release",
            other => panic!("a core of leases does not report {other:?}"),
        },
    }
}
