//! Processes, a server, and what is on its way between them: one seed and one list of commands make
//! all that happens, in virtual time.

mod checks;
mod commands;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::{Duration, Instant};

use dlock::engine::lease::core::Job;
use dlock::engine::lock_table::RequestId;
use fastrand::Rng;

use super::coverage::Coverage;
use super::network::Network;
use super::plan::{Command, KEYS, Kind};
use super::process::Process;
use super::server::{Response, Server, Statement};

/// A process may do so much at one moment.
const TURNS_MAX: u32 = 200;
/// A caller is answered at the latest so long after its time is up, when its process runs.
const LATE_MAX: Duration = Duration::from_millis(1100);
/// In a calm all are answered and all is given back within this: 20 s is the longest wait, 13 s the
/// longest hold, 10 s the longest lease of whoever died.
const CALM_MAX: Duration = Duration::from_secs(60);
/// A healthy server and a free key: so soon there is a lock, for each of all who ask at once.
const GRANT_MAX: Duration = Duration::from_secs(3);

/// What is on its way.
#[derive(Debug)]
pub(super) enum Due {
    Command(Command),
    Wake {
        p: usize,
        at: Duration,
    },
    /// A statement arrives; whoever is there yet gets an answer.
    Arrive {
        statement: Statement,
        back: Option<Back>,
    },
    Answer {
        back: Back,
        response: Response,
    },
}

/// To whom an answer goes: a job of a process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Back {
    pub(super) p: usize,
    pub(super) life: u64,
    pub(super) flight: u64,
    pub(super) cut_short: bool,
}

/// See the [module](self).
pub(crate) struct World {
    kind: Kind,
    pub(super) rng: Rng,
    seed: u64,
    base: Instant,
    now: Duration,
    due: BinaryHeap<Reverse<(Duration, u64)>>,
    events: BTreeMap<u64, Due>,
    last_event: u64,
    wakes: Vec<Option<Duration>>,
    /// How many turns each process has had at this moment, and when that is.
    turns: Vec<(Duration, u32)>,
    processes: Vec<Process>,
    pub(super) server: Server,
    pub(super) network: Network,
    /// Who is in statements that are done twice: no process knows what the second time leads to.
    pub(super) doubled: BTreeSet<String>,
    last_request: RequestId,
    newest: [u64; KEYS as usize],
    pub(super) coverage: Coverage,
    steps: u64,
    trace: Option<Vec<String>>,
    lives: u64,
    set_back: Duration,
    calm: bool,
}

impl World {
    pub(crate) fn new(seed: u64, kind: Kind, traced: bool) -> Self {
        let base = Instant::now();
        let server = Server::new();
        let wall = kind.our_clock.then(|| server.clock(Duration::ZERO));
        let start = Duration::from_secs(100);
        let process = |index| {
            let mut process = Process::new(index, 0, (seed ^ index as u64, wall), base, start);
            process.trace = traced.then(Vec::new);
            process.loses = kind.faults > 0;
            process
        };
        World {
            kind,
            rng: Rng::with_seed(seed),
            seed,
            base,
            now: start,
            due: BinaryHeap::new(),
            events: BTreeMap::new(),
            last_event: 0,
            wakes: vec![None; kind.processes],
            turns: vec![(Duration::ZERO, 0); kind.processes],
            processes: (0..kind.processes).map(process).collect(),
            server,
            network: Network::new(kind.processes),
            doubled: BTreeSet::new(),
            last_request: 0,
            newest: [0; KEYS as usize],
            coverage: Coverage::default(),
            steps: 0,
            trace: traced.then(Vec::new),
            lives: 0,
            set_back: Duration::ZERO,
            calm: false,
        }
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps + self.processes.iter().map(|process| process.steps).sum::<u64>()
    }

    pub(crate) fn add_coverage(&self, coverage: &mut Coverage) {
        coverage.add(&self.coverage);
        self.processes.iter().for_each(|process| coverage.add(&process.coverage));
    }

    pub(crate) fn trace(&self) -> &[String] {
        self.trace.as_deref().unwrap_or_default()
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        let now = self.now.as_secs_f64();
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{now:>9.3} {}", what()));
        }
    }

    /// A storm, a calm in which all is answered and given back, and a grant for everybody.
    pub(crate) fn run(&mut self, plan: &[(Duration, Command)]) {
        let start = self.now;
        for (at, command) in plan {
            self.at(start + *at, Due::Command(*command));
        }
        let end =
            start + plan.last().map_or(Duration::ZERO, |(at, _)| *at) + Duration::from_millis(5);
        self.run_until(end);
        self.calm_down();
        let calm = self.now;
        while !self.is_calm() {
            let limit = calm + CALM_MAX + self.set_back;
            assert!(self.now < limit, "{}", self.unsettled());
            self.run_until(self.now + Duration::from_millis(500));
        }
        self.note(|| "all is calm".to_owned());
        self.probe();
        // Whatever is due by the clock comes to an end.
        let limit = self.now + Duration::from_secs(3700);
        while let Some(Reverse((at, _))) = self.due.peek().copied() {
            // A timer for the end of what never ends.
            if at > limit + Duration::from_secs(1 << 32) {
                break;
            }
            assert!(at < limit, "something is due for ever: {}", self.unsettled());
            self.run_until(at);
        }
    }

    /// Nothing is broken any more.
    fn calm_down(&mut self) {
        self.note(|| "the storm is over".to_owned());
        self.calm = true;
        self.server.recover();
        self.network = Network::new(self.kind.processes);
        for p in 0..self.processes.len() {
            self.processes[p].frozen_until = self.now;
            self.turn(p);
        }
    }

    pub(super) fn at(&mut self, time: Duration, due: Due) {
        self.last_event += 1;
        self.due.push(Reverse((time, self.last_event)));
        self.events.insert(self.last_event, due);
    }

    fn run_until(&mut self, end: Duration) {
        while let Some(Reverse((at, id))) = self.due.peek().copied()
            && at <= end
        {
            self.due.pop();
            self.now = self.now.max(at);
            if let Some(due) = self.events.remove(&id) {
                self.happen(due);
            }
        }
        self.now = self.now.max(end);
    }

    fn happen(&mut self, due: Due) {
        let p = match &due {
            Due::Command(command) => command.process(),
            Due::Wake { p, .. } | Due::Answer { back: Back { p, .. }, .. } => Some(*p),
            Due::Arrive { .. } => None,
        };
        // What stands still hears it later.
        if let Some(p) = p.filter(|p| self.processes[*p].frozen_until > self.now)
            && !matches!(due, Due::Command(Command::Crash { .. } | Command::Freeze { .. }))
        {
            return self.at(self.processes[p].frozen_until, due);
        }
        match due {
            Due::Command(command) => self.command(command),
            Due::Wake { p, at } => {
                // Another one has taken its place.
                if self.wakes[p].take_if(|wake| *wake == at).is_some() {
                    self.turn(p);
                }
            }
            Due::Arrive { statement, back } => self.arrive(&statement, back),
            Due::Answer { back, response } => self.answer(back, response),
        }
    }

    fn arrive(&mut self, statement: &Statement, back: Option<Back>) {
        let response = self.server.execute(statement, self.now);
        self.note(|| format!("server: {statement:?} -> {response:?}"));
        let Some(back) = back else { return };
        if self.network.is_deaf(back.p, self.now) {
            return self.coverage.count("fate: done, and the answer lost");
        }
        let time = self.now + self.latency();
        self.at(time, Due::Answer { back, response });
    }

    fn answer(&mut self, back: Back, response: Response) {
        let process = &mut self.processes[back.p];
        let is_for = |flight: &super::process::Flight| flight.id == back.flight;
        if process.life != back.life || !process.flight.as_ref().is_some_and(is_for) {
            return;
        }
        let Some(flight) = process.flight.take() else { return };
        let (done, connected) =
            super::network::done(flight, response, back.cut_short, &mut self.coverage);
        process.connected = connected;
        process.finish(done, self.now);
        self.turn(back.p);
    }

    fn turn(&mut self, p: usize) {
        let now = self.now;
        let turns = &mut self.turns[p];
        *turns = if turns.0 == now { (now, turns.1 + 1) } else { (now, 1) };
        let spins = turns.1 >= TURNS_MAX;
        assert!(!spins, "process {p} spins: {}", self.unsettled());
        self.processes[p].turn(now);
        self.send(p);
        self.check_fresh(p);
        self.deliver(p);
        if let Some(trace) = &mut self.processes[p].trace {
            let lines = std::mem::take(trace);
            self.trace.iter_mut().for_each(|all| all.extend(lines.iter().cloned()));
        }
        self.check(p);
        if let Some(at) = self.processes[p].next(now).map(|at| at.max(now))
            && self.wakes[p].is_none_or(|wake| at < wake)
        {
            self.wakes[p] = Some(at);
            self.at(at, Due::Wake { p, at });
        }
    }

    fn send(&mut self, p: usize) {
        let Some((job, patience)) = self.processes[p].outbox.take() else { return };
        self.depart(p, job, patience);
    }

    fn depart(&mut self, p: usize, job: Job, patience: Duration) {
        let process = &mut self.processes[p];
        process.flights += 1;
        let (flight, life, connected) = (process.flights, process.life, process.connected);
        let back = Back { p, life, flight, cut_short: false };
        let sent = super::network::depart(self, back, &job, connected, patience);
        let process = &mut self.processes[p];
        let sent = sent.map(|at| process.sent_at(at));
        process.flight = Some(super::process::Flight { id: flight, job, sent });
    }

    pub(super) fn now(&self) -> Duration {
        self.now
    }

    /// A process cannot connect.
    pub(super) fn failed_to_connect(&mut self, p: usize) {
        self.processes[p].failed_to_connect(self.now);
    }

    /// Whether something may break by itself.
    pub(super) fn is_stormy(&self) -> bool {
        !self.calm
    }

    /// How often something breaks, of 1000.
    pub(super) fn faults(&self) -> u32 {
        self.kind.faults
    }

    pub(super) fn latency(&mut self) -> Duration {
        let longest = if self.now < self.server.slow_until { 3_000_000 } else { 2_000 };
        Duration::from_micros(self.rng.u64(100..longest))
    }
}
