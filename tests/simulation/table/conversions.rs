//! Guards that change their mode, several processes on one server, at random: a smaller world than the
//! other, in which each grant has a session of its own.

use std::collections::BTreeMap;
use std::iter::repeat_with;

use crate::engine::lock_table::{Action, Event, GrantId, Shareable as _, Stays, Table, Ticket};
use fastrand::Rng;

use super::model_id::ModelId;

const PROCESSES: usize = 3;
const KEYS: u8 = 2;

/// What a process has asked and the server has not answered.
#[derive(Clone, Copy)]
enum Asked {
    Try(ModelId, Ticket),
    Wait(ModelId, Ticket),
    Unlock(ModelId, Ticket, Ticket),
    Convert { grant: Ticket, to: ModelId, stopped: bool },
}

#[derive(Clone, Copy)]
struct Guard {
    grant: Ticket,
    lock_id: ModelId,
    released: bool,
    /// What it is to become.
    wants: Option<ModelId>,
}

#[derive(Default)]
struct Process {
    table: Table<ModelId>,
    asked: Vec<Asked>,
    guards: BTreeMap<GrantId, Guard>,
    /// What will be lost, for its session has ended.
    losses: Vec<(ModelId, Ticket)>,
}

#[derive(Default)]
struct World {
    processes: [Process; PROCESSES],
    /// What the server has granted: to which process, by which ticket.
    granted: BTreeMap<(usize, Ticket), ModelId>,
    last_request: u64,
    /// How often a mode has changed, and how often it has not, for each reason.
    changed: u64,
    unchanged: [u64; 4],
}

fn go_together(one: ModelId, other: ModelId) -> bool {
    one.key != other.key || one.shared && other.shared
}

impl World {
    fn step(&mut self, p: usize, event: Event<ModelId>, rng: &mut Rng) {
        let mut actions = Vec::new();
        self.processes[p].table.step(event, rng.bool(), &mut actions);
        for action in actions {
            self.follow(p, action);
        }
        self.consistent();
    }

    fn follow(&mut self, p: usize, action: Action<ModelId>) {
        let process = &mut self.processes[p];
        match action {
            Action::Try { key, ticket } => process.asked.push(Asked::Try(key, ticket)),
            Action::Wait { key, ticket } => process.asked.push(Asked::Wait(key, ticket)),
            // A wait that nobody wants is a try.
            Action::Cancel { .. } => {}
            Action::Unlock { key, grant, ticket, .. } => {
                process.asked.push(Asked::Unlock(key, grant, ticket));
            }
            Action::Grant { key, grant, hold, .. } => {
                let guard = Guard { grant, lock_id: key, released: false, wants: None };
                assert!(process.guards.insert(hold, guard).is_none(), "granted twice");
            }
            Action::Refuse { .. } => {}
            Action::MarkReleased { hold, .. } => {
                let guard = process.guards.remove(&hold);
                assert!(guard.is_some_and(|guard| guard.released), "settled, and not released");
            }
            Action::Lose { hold } => {
                assert!(process.guards.remove(&hold).is_some(), "lost, and not held");
            }
            Action::Convert { key, grant, hold } => {
                let sharing = process.guards.values().filter(|guard| guard.grant == grant).count();
                assert_eq!(sharing, 1, "others have it by the same grant");
                let guard = process.guards.get(&hold).filter(|guard| guard.lock_id == key);
                let Some(to) = guard.and_then(|guard| guard.wants) else {
                    panic!("nobody wants that")
                };
                process.asked.push(Asked::Convert { grant, to, stopped: false });
            }
            Action::StopConvert { grant: stop } => {
                for asked in &mut process.asked {
                    if let Asked::Convert { grant, stopped, .. } = asked {
                        *stopped |= *grant == stop;
                    }
                }
            }
            Action::Changed { hold, key } => {
                let guard = process.guards.get_mut(&hold);
                let Some(guard) = guard else { panic!("changed, and not held") };
                assert_eq!(guard.wants.take(), Some(key), "not what was wanted");
                guard.lock_id = key;
                self.changed += 1;
            }
            Action::Unchanged { hold, why } => {
                let guard = process.guards.get_mut(&hold);
                let Some(guard) = guard else { panic!("unchanged, and not held") };
                assert!(guard.wants.take().is_some(), "nobody wanted that");
                self.unchanged[why as usize] += 1;
            }
            Action::DiscardSession { .. } => panic!("the answer was right"),
        }
    }

    /// All guards that are out go together, and the server has what they say.
    fn consistent(&self) {
        let mut held: Vec<(usize, Guard)> = Vec::new();
        for (p, process) in self.processes.iter().enumerate() {
            for guard in process.guards.values().filter(|guard| !guard.released) {
                let lost = process.losses.iter().any(|(_, grant)| *grant == guard.grant);
                if lost {
                    continue;
                }
                let server = self.granted.get(&(p, guard.grant));
                assert_eq!(server, Some(&guard.lock_id), "held otherwise than by the server");
                held.push((p, *guard));
            }
        }
        for (at, (_, one)) in held.iter().enumerate() {
            for (_, other) in &held[at + 1..] {
                assert!(
                    go_together(one.lock_id, other.lock_id),
                    "{:?} {:?}",
                    one.lock_id,
                    other.lock_id
                );
            }
        }
    }

    /// Whether others leave room for it at the server.
    fn is_free(&self, lock_id: ModelId, but: (usize, Ticket)) -> bool {
        self.granted.iter().all(|(whose, other)| *whose == but || go_together(lock_id, *other))
    }

    /// The server answers something, or tells of a loss.
    fn answer(&mut self, rng: &mut Rng) -> bool {
        let p = rng.usize(..PROCESSES);
        if let Some((key, grant)) = self.processes[p].losses.pop() {
            self.step(p, Event::Lost { key, grant }, rng);
            return true;
        }
        let asked = &mut self.processes[p].asked;
        if asked.is_empty() {
            return false;
        }
        let asked = asked.swap_remove(rng.usize(..asked.len()));
        let event = match asked {
            Asked::Try(key, ticket) | Asked::Wait(key, ticket) => {
                if self.is_free(key, (p, ticket)) {
                    self.granted.insert((p, ticket), key);
                    Event::Granted { key, ticket }
                } else if matches!(asked, Asked::Try(..)) {
                    Event::Refused { key, ticket }
                } else {
                    Event::Ended { key, ticket }
                }
            }
            Asked::Unlock(key, grant, ticket) => match self.granted.remove(&(p, grant)) {
                Some(held) => {
                    assert_eq!(held, key, "given back as something else");
                    Event::Unlocked { key, ticket, clean: true }
                }
                None => Event::Failed { key, ticket, fatal: false },
            },
            Asked::Convert { grant, .. } if !self.granted.contains_key(&(p, grant)) => return true,
            Asked::Convert { grant, to, stopped } => {
                if self.is_free(to, (p, grant)) {
                    self.granted.insert((p, grant), to);
                    Event::Converted { grant, key: to }
                } else {
                    let why = match rng.u8(..4) {
                        0 => Stays::Deadlock,
                        1 => Stays::Failed,
                        _ if stopped => Stays::BusyElsewhere,
                        _ => {
                            self.processes[p].asked.push(asked);
                            return true;
                        }
                    };
                    Event::Unconverted { grant, why }
                }
            }
        };
        self.step(p, event, rng);
        true
    }

    /// Somebody wants something, goes, or is cut off.
    fn happen(&mut self, rng: &mut Rng) {
        let p = rng.usize(..PROCESSES);
        let lock_id = ModelId { key: rng.u8(..KEYS), shared: rng.u8(..3) > 0 };
        let holds: Vec<GrantId> = self.processes[p].guards.keys().copied().collect();
        let hold = if holds.is_empty() { 0 } else { holds[rng.usize(..holds.len())] };
        match rng.u8(..16) {
            0..6 => {
                self.last_request += 1;
                let (request, patient) = (self.last_request, rng.bool());
                let budget_spent = rng.bool();
                self.step(p, Event::Acquire { request, key: lock_id, patient, budget_spent }, rng);
                if patient && rng.bool() {
                    self.step(p, Event::Abandon { request }, rng);
                }
            }
            6..10 => self.release(p, hold, rng),
            10..13 => {
                let guard = self.processes[p].guards.get_mut(&hold);
                if let Some(guard) = guard.filter(|guard| !guard.released && guard.wants.is_none())
                {
                    guard.wants = Some(ModelId { shared: !guard.lock_id.shared, ..guard.lock_id });
                    self.step(p, Event::Convert { hold, patient: rng.bool() }, rng);
                }
            }
            13..15 => self.step(p, Event::Stay { hold }, rng),
            _ => {
                let grant = self.processes[p].guards.get(&hold).map(|guard| guard.grant);
                if let Some(grant) = grant
                    && let Some(key) = self.granted.remove(&(p, grant))
                {
                    self.processes[p].losses.push((key, grant));
                }
            }
        }
    }

    fn release(&mut self, p: usize, hold: GrantId, rng: &mut Rng) {
        if let Some(guard) = self.processes[p].guards.get_mut(&hold).filter(|guard| !guard.released)
        {
            guard.released = true;
            self.step(p, Event::Release { hold, budget_spent: rng.bool() }, rng);
        }
    }

    /// All go.
    fn end(&mut self, rng: &mut Rng) {
        for _ in 0..10_000 {
            for p in 0..PROCESSES {
                let holds: Vec<GrantId> = self.processes[p].guards.keys().copied().collect();
                for hold in holds {
                    self.step(p, Event::Stay { hold }, rng);
                    self.release(p, hold, rng);
                }
            }
            self.answer(rng);
            if self.processes.iter().all(|process| process.table.is_empty()) {
                assert!(self.granted.is_empty(), "the server holds what nobody has");
                return;
            }
        }
        panic!("not all come to an end");
    }
}

#[test]
fn modes_that_change_keep_out_who_is_to_be_kept_out() {
    let (mut changed, mut unchanged) = (0, [0; 4]);
    let seed = std::env::var("DLOCK_SIM_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = repeat_with(|| fastrand::u64(..)).take(300);
    for seed in seed.into_iter().chain(seeds) {
        println!("DLOCK_SIM_SEED={seed}");
        let (mut world, mut rng) = (World::default(), Rng::with_seed(seed));
        for _ in 0..2_000 {
            if rng.u8(..3) > 0 {
                world.answer(&mut rng);
            } else {
                world.happen(&mut rng);
            }
        }
        world.end(&mut rng);
        changed += world.changed;
        world.unchanged.iter().zip(&mut unchanged).for_each(|(one, all)| *all += one);
    }
    // What it is about has happened.
    println!("changed {changed}, unchanged {unchanged:?}");
    assert!(changed > 1000 && unchanged.iter().all(|times| *times > 100));
}

#[test]
fn grant_that_changes_is_not_joined_nor_handed_on() {
    let mut table = Table::default();
    let read = ModelId { key: 0, shared: true };
    assert!(read.is_shareable());
    let write = ModelId { shared: false, ..read };
    let mut step = |event| {
        let mut actions = Vec::new();
        table.step(event, false, &mut actions);
        actions
    };
    let acquire =
        |request| Event::Acquire { request, key: read, patient: true, budget_spent: false };
    step(acquire(1));
    step(acquire(2));
    step(Event::Granted { key: read, ticket: 1 });
    // It waits for the other one, and a third asks the database.
    assert_eq!(step(Event::Convert { hold: 1, patient: true }), []);
    assert_eq!(step(acquire(3)), [Action::Try { key: read, ticket: 2 }]);
    let why = Stays::Deadlock;
    assert_eq!(
        step(Event::Convert { hold: 2, patient: true }),
        [Action::Unchanged { hold: 2, why }]
    );
    let asked = Action::Convert { key: read, grant: 1, hold: 1 };
    let settled = Action::MarkReleased { hold: 2, clean: true };
    assert_eq!(step(Event::Release { hold: 2, budget_spent: false }), [settled, asked]);
    step(Event::Refused { key: read, ticket: 2 });
    let changed = Action::Changed { hold: 1, key: write };
    assert_eq!(step(Event::Converted { grant: 1, key: write }), [changed]);
    let unlock = Action::Unlock { key: write, grant: 1, ticket: 4, hold: Some(1) };
    assert_eq!(step(Event::Release { hold: 1, budget_spent: false }), [unlock]);
}
