//! A database, some processes, and chance: one seed makes one world and all that happens in it.

use std::collections::VecDeque;
use std::fmt::{Debug, Display};

use dlock::engine::table::{Event, RequestId};
use fastrand::Rng;

use super::chance::{CALM, Chance, storm};
use super::process::Process;
use super::seen::Seen;
use super::server::{Key, Server};

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

/// So many callers may be in line for a key in a process: more than a lock may be handed on.
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
    /// What may happen, and how often in relation to the others.
    chances: Vec<(Chance, u32)>,
    trace: Option<VecDeque<String>>,
}

impl World {
    pub(crate) fn new(seed: u64, kind: Kind) -> Self {
        let mut rng = Rng::with_seed(seed);
        let server = Server::new(rng.bool());
        let processes = (0..kind.processes).map(|_| Process::new(kind.sessions)).collect();
        let (steps, last_request, chances, trace) = (0, 0, Vec::new(), None);
        World { steps, kind, rng, server, processes, last_request, chances, trace }
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
    }

    /// A few times, a storm and then a calm in which everybody must be answered and all be free.
    pub(crate) fn run(&mut self) {
        for _ in 0..self.rng.u32(1..=4) {
            self.chances = storm(&mut self.rng, self.kind.deaths);
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
        let key = self.rng.usize(..self.kind.keys);
        let process = &mut self.processes[p];
        let page = &process.ledger.pages[key];
        let (server, rng) = (&mut self.server, &mut self.rng);
        match chance {
            Chance::Acquire if page.line.len() < LINE => {
                self.last_request += 1;
                let patient = rng.u8(..4) > 0;
                let key = key as Key;
                self.step(p, Event::Acquire { request: self.last_request, key, patient });
            }
            Chance::Release => {
                if let Some(hold) = page.hold {
                    let spent = rng.u8(..16) == 0;
                    self.step(p, Event::Release { hold, spent });
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
            Chance::Lie => self.lie(p, key as Key),
            Chance::Report => {
                if let Some(event) = process.reports.pop_front() {
                    self.step(p, event);
                }
            }
            // A guard is not handed out before the session has been looked at once more.
            Chance::Confirm if page.hold.is_some() && !process.has(key as Key) => {
                self.step(p, Event::Lost { key: key as Key });
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
                process.poll(server, rng);
            }
            Chance::Acquire
            | Chance::Confirm
            | Chance::Expire
            | Chance::Overdue
            | Chance::Abandon => {}
        }
    }

    /// What must change nothing: an answer to an old question or of the wrong kind, a guard of a
    /// lost lock that goes, a caller who was answered meanwhile.
    fn lie(&mut self, p: usize, key: Key) {
        let ledger = &self.processes[p].ledger;
        let ticket = ledger.last_ticket.saturating_sub(self.rng.u64(..4));
        let hold = ledger.last_hold.saturating_sub(self.rng.u64(..4));
        let request = self.rng.u64(..=self.last_request);
        let event = match self.rng.u8(..9) {
            0 => Event::Refused { key, ticket },
            1 => Event::Ended { key, ticket },
            2 => Event::Unlocked { key, ticket, clean: true },
            3 => Event::Failed { key, ticket, fatal: self.rng.bool() },
            4 => Event::Release { hold, spent: self.rng.bool() },
            5 => Event::Abandon { request },
            6 => Event::Expire { request },
            7 => Event::Overdue { request },
            _ => Event::Granted { key, ticket },
        };
        if !ledger.expects(&event) {
            self.step(p, event);
        }
    }

    fn step(&mut self, p: usize, event: Event<Key>) {
        self.steps += 1;
        let hot = self.rng.bool();
        let mut actions = Vec::new();
        self.processes[p].table.step(event.clone(), hot, &mut actions);
        self.note(|| format!("process {p}: {event:?}, hot: {hot} -> {actions:?}"));
        let process = &mut self.processes[p];
        process.ledger.check(&event, &actions);
        process.waits_as_known();
        for action in &actions {
            process.carry_out(action, &mut self.server);
        }
        self.exclusive();
    }

    fn tell(&mut self, what: impl Display, done: Option<impl Debug>) {
        if let Some(done) = done {
            self.note(|| format!("{what} {done:?}"));
            self.exclusive();
        }
    }

    /// Of all guards for a key, at most one is on a session that lives, and that session has the
    /// lock. The others' processes have been told, or will be.
    fn exclusive(&self) {
        for key in 0..self.kind.keys {
            let holders = self.processes.iter().filter(|p| p.ledger.pages[key].hold.is_some());
            let sessions = holders.filter_map(|process| process.granted_on[key]);
            let mut living = sessions.filter(|session| self.server.lives(*session));
            if let Some(session) = living.next() {
                let owner = self.server.owner(key as Key);
                assert_eq!(owner, Some(session), "key {key} is held without the server");
                assert_eq!(living.next(), None, "key {key} is held twice");
            }
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
