//! A database, some processes, and chance: one seed makes one world and all that happens in it.

use std::collections::VecDeque;
use std::fmt::{Debug, Display};

use dlock::engine::lock_table::{Event, RequestId};
use fastrand::Rng;

use super::chance::{CALM, Chance, storm};
use super::claim::{Claim, Key};
use super::exclusion::exclusive;
use super::lie::lie;
use super::process::Process;
use super::seen::{PASSED, Seen};
use super::server::Server;

/// What kind of world it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) processes: usize,
    pub(crate) keys: usize,
    /// How many sessions a process may have.
    pub(crate) sessions: usize,
    /// How often a session dies, in all that happens.
    pub(crate) deaths: u32,
}

/// So many callers may be in line for a key in a process, and as many may share it: more than a
/// lock may be handed on.
const LINE: usize = 14;
/// When all is calm, so many chances are enough for everybody to be answered (it takes some
/// thousands at most).
const PATIENCE: u32 = 50_000;
/// So much of what happened last is told.
const TOLD: usize = 30;

/// See the [module](self).
pub(crate) struct World {
    /// How many events the tables have been through.
    pub(crate) steps: u64,
    kind: Kind,
    rng: Rng,
    server: Server,
    processes: Vec<Process>,
    last_request: RequestId,
    /// Of 256 callers, so many are readers.
    readers: u8,
    /// What may happen, and how often in relation to the others.
    chances: Vec<(Chance, u32)>,
    trace: Option<VecDeque<String>>,
}

impl World {
    pub(crate) fn new(seed: u64, kind: Kind) -> Self {
        World {
            steps: 0,
            kind,
            rng: Rng::with_seed(seed),
            server: Server::default(),
            processes: (0..kind.processes).map(|_| Process::new(kind.sessions)).collect(),
            last_request: 0,
            readers: 0,
            chances: Vec::new(),
            trace: None,
        }
    }

    /// The same, with a record of the last things that happened.
    pub(crate) fn traced(seed: u64, kind: Kind) -> Self {
        World { trace: Some(VecDeque::new()), ..World::new(seed, kind) }
    }

    pub(crate) fn trace(&self) -> impl Iterator<Item = &str> {
        self.trace.iter().flatten().map(String::as_str)
    }

    /// Adds what rare things have happened.
    pub(crate) fn tell_rare(&self, seen: &mut Seen) {
        self.processes.iter().for_each(|process| seen.add(&process.ledger.seen));
        let cornered: u64 = self.processes.iter().map(|process| process.cornered).sum();
        // Only where no session was free may readers pass a writer who is in line.
        assert!(self.server.passed <= cornered, "a writer was passed {} times", self.server.passed);
        if self.server.passed > 0 {
            seen.extend([PASSED]);
        }
    }

    /// A few times, a storm and then a calm in which everybody must be answered and all be free.
    pub(crate) fn run(&mut self) {
        for _ in 0..self.rng.u32(1..=4) {
            self.chances = storm(&mut self.rng, self.kind.deaths);
            self.readers = self.rng.choice([0, 40, 128, 200, u8::MAX]).unwrap_or(0);
            let end = self.steps + self.rng.u64(50..2000);
            while self.steps < end {
                self.happen();
            }
            self.chances.retain(|(chance, _)| CALM.contains(chance));
            let mut left = PATIENCE;
            while !self.is_idle() {
                self.happen();
                assert!(left > 0, "somebody is never answered, or something is never let go");
                left -= 1;
            }
            assert!(self.server.holds_nothing(), "the server still holds a lock of ours");
            self.note(|| "all is calm".to_owned());
        }
    }

    fn is_idle(&self) -> bool {
        self.processes.iter().all(Process::is_idle) && self.server.holds_nothing()
    }

    fn happen(&mut self) {
        let sum: u32 = self.chances.iter().map(|(_, often)| often).sum();
        let mut at = self.rng.u32(..sum);
        for index in 0..self.chances.len() {
            let (chance, often) = self.chances[index];
            if at < often {
                return self.take(chance);
            }
            at -= often;
        }
    }

    /// Lets it happen, if it can.
    fn take(&mut self, chance: Chance) {
        let p = self.rng.usize(..self.processes.len());
        let claim = Claim {
            key: self.rng.usize(..self.kind.keys) as Key,
            shared: match chance {
                Chance::Acquire => self.rng.u8(..) < self.readers,
                _ => self.rng.bool(),
            },
        };
        let process = &mut self.processes[p];
        let page = &process.ledger.pages[claim.index()];
        let (server, rng) = (&mut self.server, &mut self.rng);
        match chance {
            Chance::Acquire if page.line.len().max(page.holders.len()) < LINE => {
                self.last_request += 1;
                let (request, key) = (self.last_request, claim);
                let (patient, budget_spent) = (rng.u8(..4) > 0, rng.u8(..4) == 0);
                self.step(p, Event::Acquire { request, key, patient, budget_spent });
            }
            Chance::Release => {
                if let Some(hold) = rng.choice(page.holders.iter().copied()) {
                    let budget_spent = rng.u8(..16) == 0;
                    self.step(p, Event::Release { hold, budget_spent });
                }
            }
            Chance::Expire | Chance::Overdue | Chance::Abandon if !page.line.is_empty() => {
                let caller = &page.line[rng.usize(..page.line.len())];
                let request = caller.request;
                match chance {
                    Chance::Expire if caller.patient && !caller.expired => {
                        self.step(p, Event::Expire { request });
                    }
                    Chance::Overdue => self.step(p, Event::Overdue { request }),
                    Chance::Abandon => self.step(p, Event::Abandon { request }),
                    _ => {}
                }
            }
            Chance::Lie => self.lie(p, claim),
            Chance::Report => {
                if let Some(event) = process.reports.pop_front() {
                    self.step(p, event);
                }
            }
            // A guard is not handed out before the session has been looked at once more.
            Chance::Confirm => {
                if let Some(&grant) = page.grants.first().filter(|grant| !process.has(**grant)) {
                    self.step(p, Event::Lost { key: claim, grant });
                }
            }
            Chance::Kill => {
                let killed = server.kill(rng);
                self.tell("server: killed", killed);
            }
            Chance::Slice => {
                let ended = server.slice(rng);
                self.tell("server: a wait is over in", ended);
            }
            Chance::Notice => {
                let seen = server.notice(rng);
                self.tell("server: sees the end of", seen);
            }
            Chance::Work => {
                let done = server.work(rng);
                self.tell("server: does", done);
            }
            Chance::Hear => {
                let heard = process.hear(server, rng);
                self.tell(format_args!("process {p}: hears"), heard);
            }
            Chance::Poll => {
                process.poll(rng);
            }
            Chance::Acquire | Chance::Expire | Chance::Overdue | Chance::Abandon => {}
        }
        self.processes[p].deal_out(&mut self.server);
    }

    /// What must change nothing.
    fn lie(&mut self, p: usize, key: Claim) {
        let ledger = &self.processes[p].ledger;
        let event = lie(&mut self.rng, ledger, key, self.last_request);
        if !ledger.expects(&event) {
            self.step(p, event);
        }
    }

    fn step(&mut self, p: usize, event: Event<Claim>) {
        self.steps += 1;
        let contended = self.rng.bool();
        let mut actions = Vec::new();
        self.processes[p].table.step(event.clone(), contended, &mut actions);
        self.note(|| format!("process {p}: {event:?}, hot: {contended} -> {actions:?}"));
        let process = &mut self.processes[p];
        process.ledger.check(&event, &actions);
        process.waits_as_known();
        for action in &actions {
            process.carry_out(action, &mut self.server);
        }
        exclusive(&self.server, &self.processes);
    }

    fn tell(&mut self, what: impl Display, done: Option<impl Debug>) {
        if let Some(done) = done {
            self.note(|| format!("{what} {done:?}"));
            exclusive(&self.server, &self.processes);
        }
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        let step = self.steps;
        if let Some(trace) = &mut self.trace {
            if trace.len() == TOLD {
                trace.pop_front();
            }
            trace.push_back(format!("{step}. {}", what()));
        }
    }
}
