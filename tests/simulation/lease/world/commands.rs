//! What people and fate do.

use std::time::Duration;

use dlock::engine::lease::core::{Lease, LeaseCore};
use dlock::engine::lock_table::{Event, RequestId};

use super::{Back, Due, World};
use crate::lease::callers::Request;
use crate::lease::plan::{Command, Like};
use crate::lease::process::{Asked, Gift, Process, id_of};
use crate::lease::server::{Response, Statement};

impl World {
    pub(super) fn acquire(
        &mut self,
        p: usize,
        key: u8,
        patient: bool,
        within: Duration,
        hold: Duration,
        like: Like,
    ) -> RequestId {
        self.last_request += 1;
        let (id, end) = (self.last_request, self.now + within);
        let request = Request { id, key, patient, end, hold, like, adopts: false };
        self.processes[p].acquire(request, self.now);
        self.turn(p);
        id
    }

    /// Locks on their way from one process to another arrive, or do not.
    pub(super) fn deliver(&mut self, p: usize) {
        for gift in std::mem::take(&mut self.processes[p].gifts) {
            let Gift { to, key, .. } = gift;
            self.last_request += 1;
            let (id, end, hold) = (self.last_request, Duration::MAX / 2, Duration::from_millis(10));
            let request =
                Request { id, key, patient: false, end, hold, like: Like::default(), adopts: true };
            self.processes[to].adopt(request, gift, self.now);
            let now = self.now;
            self.wakes[to] = Some(now);
            self.at(now, Due::Wake { p: to, at: now });
        }
    }

    pub(super) fn command(&mut self, command: Command) {
        self.steps += 1;
        self.note(|| format!("{command:?}"));
        let now = self.now;
        match command {
            Command::Acquire { p, key, patient, within, hold, like } => {
                self.acquire(p, key, patient, within, hold, like);
                return;
            }
            Command::Crash { p } => return self.replace(p),
            Command::Close { p } => return self.close(p),
            Command::Freeze { p, time } => {
                let process = &mut self.processes[p];
                process.frozen_until = process.frozen_until.max(now + time);
                process.thawed = Some(process.frozen_until);
                return;
            }
            Command::Kill { p } => {
                let process = &mut self.processes[p];
                let (life, flight) = (process.life, process.flights);
                process.connected = false;
                let back = Back { p, life, flight, cut_short: false };
                return self.answer(back, Response::Gone);
            }
            Command::Deafen { p, time } => self.network.deafen(p, now + time),
            Command::Cut { p, time } => self.network.cut(p, now + time),
            Command::Full { busy: true, time } => self.server.busy_until = now + time,
            Command::Full { busy: false, time } => self.server.refuses_until = now + time,
            Command::Lock { key, time } => self.server.locked_until[usize::from(key)] = now + time,
            Command::Slow { time } => self.server.slow_until = now + time,
            Command::Odd { time } => self.server.odd_until = now + time,
            Command::Break { key } => self.server.break_lock(key, now),
            Command::Restart { time } => {
                self.server.away_until = now + time;
                for p in 0..self.processes.len() {
                    self.at(now, Due::Command(Command::Kill { p }));
                }
            }
            Command::Jump { forward, time } => {
                self.server.jump(forward, time, self.kind.our_clock, now);
                self.set_back += if forward { Duration::ZERO } else { time };
                let clock = self.server.clock(Duration::ZERO);
                for process in self.processes.iter_mut() {
                    process.wall = process.wall.map(|_| clock);
                }
            }
            _ => {}
        }
        if let Some(p) = command.process() {
            self.processes[p].command(command, now);
            self.turn(p);
        }
    }

    /// Another process takes the place of this one; what this one has sent may arrive yet.
    pub(super) fn replace(&mut self, p: usize) {
        let old = &self.processes[p];
        self.steps += old.steps;
        self.coverage.add(&old.coverage);
        self.lives += 1;
        let seed = self.seed ^ (self.lives << 8) ^ p as u64;
        let mut new = Process::new(p, self.lives, (seed, old.wall), self.base, self.now);
        new.trace = self.trace.as_ref().map(|_| Vec::new());
        new.granted = old.granted;
        self.processes[p] = new;
        self.wakes[p] = None;
    }

    /// The process gives everything back, if the server answers, and goes.
    pub(super) fn close(&mut self, p: usize) {
        let now = self.now;
        let releases: Vec<Lease> =
            self.processes[p]
                .call("call: farewell", now, |core: &mut LeaseCore, now, _| core.farewell(now));
        if !self.network.is_cut(p, now) && !releases.is_empty() {
            let statement = Statement::Apply { releases, takes: Vec::new() };
            let at = now + self.latency();
            self.at(at, Due::Arrive { statement, back: None });
        }
        self.replace(p);
    }
}

impl Command {
    /// Which process it is about.
    pub(super) fn process(self) -> Option<usize> {
        match self {
            Command::Acquire { p, .. }
            | Command::Abandon { p, .. }
            | Command::Verify { p, .. }
            | Command::Keep { p, .. }
            | Command::Give { p, .. }
            | Command::Ask { p }
            | Command::Lie { p, .. }
            | Command::Hint { p }
            | Command::Crash { p }
            | Command::Close { p }
            | Command::Freeze { p, .. }
            | Command::Kill { p } => Some(p),
            _ => None,
        }
    }
}

impl Process {
    /// What its callers and its connection do; the turn follows.
    fn command(&mut self, command: Command, now: Duration) {
        match command {
            Command::Abandon { key, .. } => {
                let request = self.callers.requests.values().find(|r| r.key == key && !r.adopts);
                if let Some(request) = request.map(|request| request.id) {
                    self.callers.requests.remove(&request);
                    self.step(Event::Abandon { request }, now);
                }
            }
            Command::Verify { key, .. } => {
                let id = self.question(Asked::Held);
                self.call("call: verify", now, |core, _, out| {
                    core.verify(id, &id_of(key).key, out)
                });
            }
            Command::Keep { key, min_hold, .. } => {
                if let Some(guard) = self.callers.guards.values_mut().find(|guard| guard.key == key)
                {
                    guard.min_hold = guard.min_hold.max(min_hold);
                    self.call("call: keep", now, |core, now, _| {
                        core.keep(&id_of(key).key, min_hold, now)
                    });
                }
            }
            Command::Give { key, to, taken, .. } => self.give(key, to, taken, now),
            Command::Ask { .. } => self.ask(Asked::Other, now),
            Command::Lie { key, .. } => {
                let key = id_of(key);
                self.step(Event::Refused { key, ticket: u64::MAX }, now);
            }
            Command::Hint { .. } => {
                self.call("call: changed", now, |core, now, _| core.changed(now))
            }
            _ => {}
        }
    }
}
