//! A server, some processes, the network between them, and time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::coverage::Coverage;
use super::plan::{Item, Kind, MS, Micros, SECOND, What, storm};
use super::process::{Order, Process};
use super::server::{Ask, Conn, Later, Say, Server};
use super::task::{Lie, Task, is_unlock};
use crate::backend::{Answer, Op};
use crate::clock::Time;
use crate::engine::session::core::{Job, Now, SessionEvent, SessionId};
use crate::error::Error;
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;
use crate::spec::native::NativeKey;
use crate::spec::options::LockOptions;
use crate::status::lost::LostReason;

/// A storm lasts so long at most.
const STORM: Micros = 60 * SECOND;
/// After a storm, the server heals; so long after that, whatever is wanted and free is granted. A connection on which
/// nothing arrives is seen to be dead after a slice of a writer (30 s), silence (3 s), and its session ends after the
/// ttl (6 s); a server that was full is asked again after 10 s.
const CALM: Micros = 60 * SECOND;
/// So many turns of one process at one time are no spin.
const TURNS: u32 = 60;

fn base() -> Now {
    static BASE: OnceLock<Now> = OnceLock::new();
    *BASE.get_or_init(|| Now { clock: Instant::now(), time: Time::now() })
}

pub(super) fn micros(time: Micros) -> Duration {
    Duration::from_micros(time)
}

pub(super) fn micros_of(time: Duration) -> Micros {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX / 4)
}

/// This time on the clocks of a process.
pub(super) fn clock(now: Micros) -> Now {
    let Now { clock, time } = base();
    Now { clock: clock + micros(now), time: time.after(micros(now)) }
}

/// A time on the clock of timers; never too early.
pub(super) fn instant(at: Instant) -> Micros {
    let since = at.saturating_duration_since(base().clock);
    u64::try_from(since.as_nanos().div_ceil(1000)).unwrap_or(u64::MAX / 4)
}

#[derive(Debug)]
enum Happens {
    Item(usize),
    Up(Conn, Ask),
    Down(Conn, Say),
    Server(Later),
    Wake(usize),
    /// A session may not connect for longer.
    ConnectTimeOut(Conn),
    Heal(Fault),
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    Down,
    Full,
    Slow,
    Standby,
}

/// What arrives when, on one connection and in one direction.
#[derive(Debug, Clone, Copy, Default)]
struct Wire {
    last: Micros,
    /// Nothing arrives any more.
    lost: bool,
}

/// See the [module](self).
pub(super) struct World {
    kind: Kind,
    rng: Rng,
    now: Micros,
    last: u64,
    heap: BinaryHeap<Reverse<(Micros, u64)>>,
    happens: BTreeMap<u64, Happens>,
    items: Vec<Item>,
    server: Server,
    processes: Vec<Process>,
    wires: BTreeMap<(Conn, bool), Wire>,
    stalled: Micros,
    frozen: Vec<Micros>,
    cut: Vec<[Micros; 2]>,
    wakes: Vec<Option<Micros>>,
    latency: Micros,
    standby: bool,
    /// Guards on these sessions are lost when their process hears of it: the server has ended them.
    killed: Vec<Conn>,
    fences: BTreeMap<LockId, u64>,
    turns: (Micros, usize, u32),
    pub(super) seen: Coverage,
    pub(super) trace: Option<Vec<String>>,
}

impl World {
    /// The plan of a world.
    pub(super) fn plan(seed: u64, kind: Kind) -> Vec<Item> {
        storm(&mut Rng::with_seed(seed), kind, STORM)
    }

    pub(super) fn new(seed: u64, kind: Kind, items: Vec<Item>, traced: bool) -> Self {
        let mut rng = Rng::with_seed(seed ^ 0x5eed);
        let mut processes: Vec<_> =
            (0..kind.processes).map(|_| Process::new(kind, rng.u64(..), clock(0))).collect();
        for process in &mut processes {
            process.trace = traced.then(Vec::new);
        }
        let count = processes.len();
        World {
            kind,
            rng,
            now: 0,
            last: 0,
            heap: BinaryHeap::new(),
            happens: BTreeMap::new(),
            items,
            server: Server::new(kind.keys, kind.stops_waits),
            processes,
            wires: BTreeMap::new(),
            stalled: 0,
            frozen: vec![0; count],
            cut: vec![[0; 2]; count],
            wakes: vec![None; count],
            latency: 2 * MS,
            standby: false,
            killed: Vec::new(),
            fences: BTreeMap::new(),
            turns: (0, 0, 0),
            seen: Coverage::default(),
            trace: traced.then(Vec::new),
        }
    }

    /// How many events the processes have been through.
    pub(super) fn steps(&self) -> u64 {
        self.processes.iter().map(|process| process.steps).sum()
    }

    pub(super) fn coverage(&self) -> Coverage {
        let mut all = self.seen.clone();
        self.processes.iter().for_each(|process| all.add(&process.seen));
        all
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            let now = self.now;
            trace.push(format!("{}.{:06} {}", now / SECOND, now % SECOND, what()));
        }
    }

    fn at(&mut self, time: Micros, what: Happens) {
        self.last += 1;
        self.heap.push(Reverse((time.max(self.now), self.last)));
        self.happens.insert(self.last, what);
    }

    /// A storm, and then a calm in which all must be granted and all be free.
    pub(super) fn run(&mut self) {
        for index in 0..self.items.len() {
            self.at(self.items[index].at, Happens::Item(index));
        }
        (0..self.processes.len()).for_each(|p| self.turn(p, false));
        self.run_until(STORM);
        self.heal();
        self.note(|| "the storm is over".to_owned());
        let before: Vec<u64> = self.processes.iter().map(|process| process.granted).collect();
        // Guards go, and each process wants each key.
        for p in 0..self.processes.len() {
            self.processes[p].let_go(self.now);
            self.turn(p, false);
        }
        for p in 0..self.processes.len() {
            for key in 0..self.kind.keys {
                self.acquire(p, (key, false, key % 2 == 1, false), 2 * CALM, MS);
            }
            self.turn(p, false);
        }
        let end = self.now + CALM;
        let is_idle = |world: &World| world.processes.iter().all(Process::is_idle);
        while self.now < end && !is_idle(self) && self.happen_next(end) {}
        for (p, before) in before.into_iter().enumerate() {
            let granted = self.processes[p].granted - before;
            let all = u64::try_from(self.kind.keys).unwrap_or_default();
            assert!(
                granted >= all,
                "process {p} was granted {granted} of {all} keys that were free"
            );
        }
        assert!(is_idle(self), "something is never let go");
        // What is left at the server belongs to nobody, and ends by itself.
        self.run_until(self.now + 3 * super::server::TTL);
        let left: Vec<_> = self.server.owners().collect();
        assert!(left.is_empty(), "the server still holds {left:?}");
        for (p, process) in self.processes.iter().enumerate() {
            let kept = process.core.handles.len();
            assert!(kept <= 1, "process {p} keeps {kept} sessions, and wants nothing");
        }
    }

    fn heal(&mut self) {
        self.server.down = false;
        self.server.room = usize::MAX;
        (self.latency, self.standby) = (2 * MS, false);
        for process in &mut self.processes {
            process.tasks.values_mut().for_each(|task| task.lie = None);
        }
        // What is frozen or cut thaws by itself.
        let cut = self.cut.iter().flatten();
        let last = cut.chain(&self.frozen).chain([&self.stalled]).max().copied();
        self.run_until(last.unwrap_or(0).max(self.now));
    }

    fn run_until(&mut self, end: Micros) {
        while self.happen_next(end) {}
        self.now = end;
    }

    fn happen_next(&mut self, end: Micros) -> bool {
        let Some(&Reverse((at, number))) = self.heap.peek() else { return false };
        if at > end {
            return false;
        }
        self.heap.pop();
        let Some(what) = self.happens.remove(&number) else { return true };
        self.now = at;
        let asleep = match &what {
            Happens::Up(..) | Happens::Server(_) => self.stalled,
            Happens::Down((p, _), _) | Happens::Wake(p) | Happens::ConnectTimeOut((p, _)) => {
                self.frozen[*p]
            }
            Happens::Item(index) if !self.items[*index].what.is_fault() => {
                self.frozen[self.items[*index].process]
            }
            _ => 0,
        };
        if asleep > self.now {
            if let Happens::Down((p, _), _) | Happens::Wake(p) = &what {
                self.processes[*p].wakes_up(asleep);
            }
            self.heap.push(Reverse((asleep, number)));
            self.happens.insert(number, what);
            return true;
        }
        self.happen(what);
        self.exclusive();
        true
    }

    fn happen(&mut self, what: Happens) {
        match what {
            Happens::Item(index) => self.item(self.items[index]),
            Happens::Up(conn, ask) => {
                self.note(|| format!("server: {conn:?} asks {ask:?}"));
                self.server.hear(conn, ask, self.now);
                self.serve();
            }
            Happens::Server(later) => {
                self.server.remember(later, self.now);
                self.serve();
            }
            Happens::Down(conn, say) => self.hear(conn, say),
            Happens::Wake(p) => {
                // Else it was set anew, to an earlier time or a later one.
                if self.wakes[p].is_some_and(|at| at <= self.now) {
                    self.wakes[p] = None;
                    self.turn(p, true);
                }
            }
            Happens::ConnectTimeOut(conn) => {
                let task = self.processes[conn.0].tasks.get(&conn.1);
                if task.is_some_and(|task| !task.is_open() && !task.dead) {
                    self.hear(conn, Say::Died);
                }
            }
            Happens::Heal(fault) => match fault {
                Fault::Down => self.server.down = false,
                Fault::Full => self.server.room = usize::MAX,
                Fault::Slow => self.latency = 2 * MS,
                Fault::Standby => self.standby = false,
            },
        }
    }

    fn acquire(
        &mut self,
        p: usize,
        (key, shared, fenced, polls): (usize, bool, bool, bool),
        wait: Micros,
        hold: Micros,
    ) {
        let mode = if shared { Mode::Shared } else { Mode::Exclusive };
        let id = LockId { key: NativeKey::Id(i64::try_from(key).unwrap_or_default()), mode };
        let retry_every = polls.then(|| micros(30 * MS));
        let options = LockOptions { fenced, retry_every, ..LockOptions::default() };
        self.processes[p].acquire(id, options, wait, hold, self.now);
    }

    fn item(&mut self, item: Item) {
        self.note(|| format!("{item:?}"));
        let Item { process: p, salt, what, .. } = item;
        let now = self.now;
        match what {
            What::Acquire { key, shared, fenced, polls, wait, hold } => {
                self.acquire(p, (key, shared, fenced, polls), wait, hold);
                self.turn(p, false);
            }
            What::Crowd { key, callers, hold } => {
                for _ in 0..callers {
                    self.acquire(p, (key, false, false, false), 20 * SECOND, hold);
                }
                self.turn(p, false);
            }
            What::Abandon => {
                self.processes[p].abandon(salt, now);
                self.turn(p, false);
            }
            What::Convert { wait } => {
                self.processes[p].convert(salt, wait, now);
                self.turn(p, false);
            }
            What::Question => {
                self.processes[p].question(salt, now);
                self.turn(p, false);
            }
            What::Kill => {
                if let Some(conn) = self.server.pick(p, salt) {
                    self.server.kill(conn, now);
                    self.serve();
                }
            }
            What::Restart { down } => {
                self.server.go_down(now);
                self.serve();
                self.at(now + down, Happens::Heal(Fault::Down));
            }
            What::Stall { time } => self.stalled = self.stalled.max(now + time),
            What::Freeze { time } => self.frozen[p] = self.frozen[p].max(now + time),
            What::Cut { time, up, down } => {
                for (cut, is_cut) in self.cut[p].iter_mut().zip([up, down]) {
                    if is_cut {
                        *cut = (*cut).max(now + time);
                    }
                }
            }
            What::Lose { up, down } => {
                if let Some(conn) = self.server.pick(p, salt) {
                    self.wires.entry((conn, true)).or_default().lost |= up;
                    self.wires.entry((conn, false)).or_default().lost |= down;
                }
            }
            What::Fill { time } => {
                self.server.room = self.rng.usize(..6);
                self.at(now + time, Happens::Heal(Fault::Full));
            }
            What::Slow { time, latency } => {
                self.latency = latency.max(2);
                self.at(now + time, Happens::Heal(Fault::Slow));
            }
            What::Standby { time } => {
                self.standby = true;
                self.at(now + time, Happens::Heal(Fault::Standby));
            }
            What::Lie => {
                let tasks = self.processes[p].tasks.values_mut();
                let mut open: Vec<_> = tasks.filter(|task| task.is_open() && !task.dead).collect();
                let count = open.len().max(1) as u64;
                if let Some(task) = open.get_mut(usize::try_from(salt % count).unwrap_or_default())
                {
                    task.lie = Some(salt / 8);
                }
            }
        }
    }

    /// Carries what the server has said to those whom it concerns.
    fn serve(&mut self) {
        for (at, later) in std::mem::take(&mut self.server.later) {
            self.at(at, Happens::Server(later));
        }
        self.killed.append(&mut self.server.killed);
        for (conn, say) in std::mem::take(&mut self.server.said) {
            self.send(conn, false, Happens::Down(conn, say));
        }
    }

    fn send(&mut self, conn: Conn, up: bool, what: Happens) {
        let latency = self.rng.u64(1..self.latency.max(2));
        let cut = self.cut[conn.0][usize::from(!up)];
        let wire = self.wires.entry((conn, up)).or_default();
        if wire.lost {
            return;
        }
        wire.last = wire.last.max(self.now + latency).max(cut);
        let at = wire.last;
        self.at(at, what);
    }

    /// A process hears what the server has said.
    fn hear(&mut self, conn: Conn, say: Say) {
        let (p, id) = conn;
        let now = self.now;
        self.note(|| format!("{conn:?} hears {say:?}"));
        let Some(task) = self.processes[p].tasks.get_mut(&id).filter(|task| !task.dead) else {
            return;
        };
        let ops: Vec<Op> = task.ops();
        match task.hear(say, now) {
            Ok(Some(event)) => {
                let lie =
                    task.lie.and_then(|salt| Lie::of(&event, &ops, salt).map(|lie| (lie, salt)));
                match lie {
                    None => self.processes[p].hear(id, event, now),
                    Some((lie, salt)) => self.lie(conn, event, &ops, (lie, salt)),
                }
                self.next_job(conn);
                self.turn(p, false);
            }
            Ok(None) => {}
            Err(ask) => self.send(conn, true, Happens::Up(conn, ask)),
        }
    }

    /// The process hears something else than the server has said.
    fn lie(&mut self, conn: Conn, event: SessionEvent, ops: &[Op], (lie, salt): (Lie, u64)) {
        let (p, id) = conn;
        let now = self.now;
        let Some(task) = self.processes[p].tasks.get_mut(&id) else { return };
        // Else the second one would be taken for the answer to the next question.
        let alone = task.is_idle();
        task.lie = None;
        let is_surprise = match (lie, event) {
            (Lie::Parts, SessionEvent::Answered { answers, sent }) => {
                let source = Arc::from(Box::from("no"));
                let error = if salt % 5 == 0 {
                    Error::backend("model", source)
                } else {
                    Error::away("model", source)
                };
                let mut parts = Vec::new();
                for (op, answer) in ops.iter().zip(answers) {
                    let fails = matches!(op, Op::Try(_) | Op::TryFenced(_) | Op::Fence(_));
                    if fails && self.rng.bool() {
                        if answer != Answer::No {
                            self.server.take_back(conn, op, now);
                        }
                        parts.push(Err(error.clone()));
                    } else {
                        parts.push(Ok(answer));
                    }
                }
                self.serve();
                self.processes[p].hear(id, SessionEvent::Parts { answers: parts, sent }, now);
                false
            }
            (Lie::NotHeld, SessionEvent::Answered { mut answers, sent }) => {
                let unlocks = ops.iter().zip(answers.iter_mut()).filter(|(op, _)| is_unlock(op));
                unlocks.for_each(|(_, answer)| *answer = Answer::No);
                self.processes[p].hear(id, SessionEvent::Answered { answers, sent }, now);
                false
            }
            (Lie::Short, SessionEvent::Answered { mut answers, sent }) => {
                answers.pop();
                self.seen.note("seen: an answer is too short");
                self.processes[p].hear(id, SessionEvent::Answered { answers, sent }, now);
                true
            }
            (Lie::Twice, SessionEvent::Answered { answers, sent }) if alone => {
                self.seen.note("seen: an answer comes twice");
                let again = answers.clone();
                self.processes[p].hear(id, SessionEvent::Answered { answers, sent }, now);
                self.processes[p].hear(id, SessionEvent::Answered { answers: again, sent }, now);
                true
            }
            (Lie::Other, SessionEvent::Waited { sent, .. }) => {
                self.seen.note("seen: the wrong kind of answer");
                self.processes[p].hear(id, SessionEvent::Told { sent }, now);
                true
            }
            (Lie::Deadlock, SessionEvent::Waited { sent, .. }) => {
                let end = crate::backend::Waited::Deadlock;
                self.processes[p].hear(id, SessionEvent::Waited { end, sent }, now);
                false
            }
            (_, event) => {
                self.processes[p].hear(id, event, now);
                false
            }
        };
        if is_surprise {
            let knows = self.processes[p].core.handles.get(id).is_some();
            assert!(!knows, "session {id} of process {p} goes on after a surprise");
        }
    }

    /// Has a task do what is next.
    fn next_job(&mut self, conn: Conn) {
        let (p, id) = conn;
        let now = self.now;
        let standby = self.standby;
        let Some(task) = self.processes[p].tasks.get_mut(&id) else { return };
        if let Some(ask) = task.next(now, standby) {
            for op in task.ops() {
                match op {
                    Op::Cancel(_) => self.seen.note("seen: an order stops a wait"),
                    Op::End(_) => self.seen.note("seen: an order ends a session"),
                    _ => {}
                }
            }
            self.send(conn, true, Happens::Up(conn, ask));
        }
        let Some(task) = self.processes[p].tasks.get_mut(&id) else { return };
        if task.closes && task.is_idle() && !task.dead {
            task.dead = true;
            task.validity.end(LostReason::Closed);
            self.send(conn, true, Happens::Up(conn, Ask::Fin));
        }
    }

    /// Ends a turn of a process: its orders go to their tasks.
    fn turn(&mut self, p: usize, woken: bool) {
        let now = self.now;
        if self.turns.0 == now && self.turns.1 == p && self.turns.2 > 0 && woken {
            self.turns.2 += 1;
        } else {
            self.turns = (now, p, 1);
        }
        let wake = self.processes[p].core.next_wake().map(instant);
        assert!(self.turns.2 < TURNS, "process {p} spins at {now}: {wake:?}");
        self.processes[p].turn(woken, now);
        if let Some(trace) = &mut self.processes[p].trace {
            let lines = std::mem::take(trace);
            lines.into_iter().for_each(|line| self.note(|| format!("process {p}: {line}")));
        }
        for (lock_id, session, fence) in std::mem::take(&mut self.processes[p].fences) {
            if self.killed.contains(&(p, session)) {
                continue;
            }
            let last = self.fences.entry(lock_id.clone()).or_default();
            assert!(fence > *last, "{lock_id}: token {fence} after {last}");
            *last = fence;
            self.seen.note("seen: a fence grows");
        }
        self.orders(p);
        let wake = self.processes[p].next_wake(now);
        if let Some(at) = wake
            && self.wakes[p].is_none_or(|set| at < set || set < now)
        {
            self.wakes[p] = Some(at);
            self.at(at, Happens::Wake(p));
        }
    }

    fn orders(&mut self, p: usize) {
        for (id, order) in std::mem::take(&mut self.processes[p].orders) {
            let conn = (p, id);
            match order {
                Order::Connect(validity) => {
                    self.processes[p].tasks.insert(id, Task::new(validity));
                    self.send(conn, true, Happens::Up(conn, Ask::Open));
                    self.at(self.now + 10 * SECOND, Happens::ConnectTimeOut(conn));
                }
                Order::Send(job) => {
                    let tag =
                        self.processes[p].core.handles.get(id).and_then(|handle| handle.tag());
                    let mut tasks = self.processes[p].tasks.values();
                    let cancelled = tag.is_some_and(|tag| tasks.any(|task| task.cancels(tag)));
                    assert!(
                        !cancelled,
                        "session {id} of process {p} is asked, and a cancel is on its way"
                    );
                    if matches!(job, Job::Wait { .. }) {
                        let handle = self.processes[p].core.handles.get(id);
                        let holds = handle.is_some_and(|handle| !handle.holds_nothing());
                        assert!(!holds, "session {id} of process {p} waits, and holds something");
                    }
                    if let Some(task) = self.processes[p].tasks.get_mut(&id) {
                        task.push(job);
                    }
                    self.next_job(conn);
                }
                Order::Close => {
                    if let Some(task) = self.processes[p].tasks.get_mut(&id) {
                        task.closes = true;
                    }
                    self.next_job(conn);
                }
                Order::Drop => {
                    if let Some(task) = self.processes[p].tasks.remove(&id) {
                        task.validity.end(LostReason::Closed);
                    }
                    self.send(conn, true, Happens::Up(conn, Ask::Fin));
                }
            }
        }
    }

    /// Guards whose validity has not ended go together, unless the server itself has ended a session and its process
    /// has yet to hear of it.
    fn exclusive(&mut self) {
        let at = clock(self.now).time;
        let mut held: Vec<(usize, SessionId, &LockId, Mode)> = Vec::new();
        let mut readers = false;
        for (p, process) in self.processes.iter_mut().enumerate() {
            for guard in process.guards.values_mut().filter(|guard| !guard.released) {
                let killed = self.killed.contains(&(p, guard.session));
                let valid = guard.validity.is_valid_at(at);
                assert!(
                    !valid || !guard.was_over,
                    "the validity of {} was over, and is not",
                    guard.lock_id
                );
                guard.was_over = !valid;
                let guard = &*guard;
                if !killed && valid {
                    held.push((p, guard.session, &guard.lock_id, guard.least_mode()));
                }
            }
        }
        for (index, (p, session, one, mode)) in held.iter().enumerate() {
            for (q, other_session, other, other_mode) in &held[index + 1..] {
                if one.key != other.key {
                    continue;
                }
                assert!(
                    mode.is_compatible_with(*other_mode),
                    "{one} is held by session {session} of process {p}, and {other} by \
                     {other_session} of {q}"
                );
                readers = true;
            }
        }
        if readers {
            self.seen.note("seen: readers share a lock");
        }
    }
}
