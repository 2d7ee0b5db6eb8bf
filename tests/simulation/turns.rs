//! A writer in line has its turn, however many readers come: with time as the engine keeps it.

use dlock::engine::lock_table::Event;
use fastrand::Rng;

use super::claim::Claim;
use super::process::Process;
use super::server::Server;

const READ: Claim = Claim { key: 0, shared: true };
const WRITE: Claim = Claim { key: 0, shared: false };
/// For so long after a grant, readers may join.
const TURN: u64 = 5;
/// So long each of them reads.
const HOLD: u64 = 3;

struct Scene {
    now: u64,
    rng: Rng,
    server: Server,
    processes: Vec<Process>,
    /// When the database last let readers in.
    turn: u64,
    last_request: u64,
}

impl Scene {
    fn new(sessions: usize) -> Self {
        Scene {
            now: 0,
            rng: Rng::with_seed(1),
            server: Server::default(),
            processes: vec![Process::new(sessions), Process::new(sessions)],
            turn: 0,
            last_request: 0,
        }
    }

    fn acquire(&mut self, p: usize, key: Claim) {
        self.last_request += 1;
        let budget_spent = self.now - self.turn > TURN;
        self.step(
            p,
            Event::Acquire { request: self.last_request, key, patient: true, budget_spent },
        );
    }

    fn step(&mut self, p: usize, event: Event<Claim>) {
        if matches!(event, Event::Granted { key: READ, .. }) {
            self.turn = self.now;
        }
        let process = &mut self.processes[p];
        let mut actions = Vec::new();
        process.table.step(event.clone(), false, &mut actions);
        process.ledger.check(&event, &actions);
        for action in &actions {
            process.carry_out(action, &mut self.server);
        }
    }

    fn holders(&self, p: usize, claim: Claim) -> &[u64] {
        &self.processes[p].ledger.pages[claim.index()].holders
    }

    /// One more reader comes to the first process, those who have read enough go, and all that can
    /// be said is said.
    fn tick(&mut self, since: &mut Vec<(u64, u64)>) {
        self.now += 1;
        self.acquire(0, READ);
        for _ in 0..20 {
            self.server.work(&mut self.rng);
            for p in 0..self.processes.len() {
                self.processes[p].hear(&mut self.server, &mut self.rng);
                while let Some(event) = self.processes[p].reports.pop_front() {
                    self.step(p, event);
                }
                self.processes[p].poll(&mut self.rng);
                self.processes[p].deal_out(&mut self.server);
            }
        }
        let new = self.holders(0, READ).iter().filter(|h| since.iter().all(|(s, _)| s != *h));
        since.extend(new.map(|hold| (*hold, self.now)).collect::<Vec<_>>());
        let now = self.now;
        for (hold, _) in since.extract_if(.., |(_, from)| *from + HOLD <= now) {
            self.step(0, Event::Release { hold, budget_spent: false });
        }
    }
}

/// How long a writer of this process waits among the readers of the first.
fn writer_waits(p: usize, sessions: usize) -> u64 {
    let (mut scene, mut since) = (Scene::new(sessions), Vec::new());
    for tick in 0..50 {
        scene.tick(&mut since);
        assert!(tick < 2 || !scene.holders(0, READ).is_empty(), "readers come and go all the time");
    }
    scene.acquire(p, WRITE);
    let asked = scene.now;
    while scene.holders(p, WRITE).is_empty() {
        scene.tick(&mut since);
        assert!(scene.now < asked + 100, "the writer never has its turn");
    }
    scene.now - asked
}

#[test]
fn a_writer_of_another_process_has_its_turn() {
    assert!(writer_waits(1, 4) <= 2 * (TURN + HOLD));
}

#[test]
fn a_writer_of_the_same_process_has_its_turn() {
    assert!(writer_waits(0, 4) <= 2 * (TURN + HOLD));
}

#[test]
fn a_writer_of_the_same_process_has_its_turn_with_few_sessions() {
    assert!(writer_waits(0, 2) <= 2 * (TURN + HOLD));
}
