//! A round: a plan is carried out by real processes, and what they have written down is judged.

use std::path::Path;
use std::time::{Duration, Instant};

use dlock_tests::random::{Entry, Journal, Plan, Step, TroubleKind, What, read};
use dlock_tests::{Backend, Signal, Site, Taker, Temp, Witness, clock};
use tokio::time::sleep;

use crate::checker::{self, Kind, Setting, Violation};
use crate::judge;
use crate::pulse::Pulse;

/// All processes begin together, this long after the last one was told.
const START: Duration = Duration::from_millis(50);
/// By then every process has ended, or will never.
const LIMIT: Duration = Duration::from_secs(45);
/// Whatever is free is taken by then.
const JUDGE: Duration = Duration::from_millis(2500);
/// A key that is held for longer than this by its plan is not judged.
const PATIENCE: u64 = 8_000_000_000;
/// A killed waiter is noticed by the next look of the server.
const LEFTOVERS: Duration = Duration::from_secs(8);
/// The number of the judge in journals.
pub(crate) const JUDGE_NUMBER: usize = 100;

/// What came of a round.
pub(crate) struct Round {
    pub(crate) entries: Vec<Entry>,
    pub(crate) violations: Vec<Violation>,
}

/// What happens from outside, and when.
enum Act {
    Kill(usize),
    Freeze(usize),
    Thaw(usize),
    EndHolder,
    EndSessions,
}

struct Stage {
    site: Site,
    folder: Temp,
    takers: Vec<Option<Taker>>,
    journals: Vec<Journal>,
    found: Vec<Violation>,
    pulse: Pulse,
}

/// Carries a plan out on a database of that kind.
pub(crate) async fn perform(backend: Backend, plan: &Plan) -> Result<Round, String> {
    let site = Site::on(backend)?.ttl(Duration::from_millis(plan.ttl));
    let memory = backend == Backend::Memory;
    let folder = Temp::new();
    std::fs::write(folder.file("plan"), plan.to_text()).unwrap();
    let journal = folder.file("journal");
    let mut stage = Stage {
        takers: Vec::new(),
        journals: (0..plan.processes.len()).map(|n| Journal::append(&journal, n)).collect(),
        found: Vec::new(),
        pulse: Pulse::start(),
        site,
        folder,
    };
    for n in 0..plan.processes.len() {
        let stay = if memory { "stay" } else { "leave" };
        let taker = stage.start("plan", n, stay);
        stage.takers.push(Some(taker));
    }
    for taker in stage.takers.iter_mut().flatten() {
        taker.says("ready").await;
    }
    let start = clock::now() + u64::try_from(START.as_nanos()).unwrap();
    for taker in stage.takers.iter_mut().flatten() {
        taker.tell(&format!("go {start}"));
    }
    stage.troubles(plan, start).await;
    if memory {
        stage.judge_inside(plan, backend).await;
    } else {
        for n in 0..stage.takers.len() {
            stage.end(n).await;
        }
        stage.judge_outside(plan, backend).await;
    }
    if backend.is_server() {
        stage.leftovers().await;
    }
    let entries = stage.entries();
    let mut violations = std::mem::take(&mut stage.found);
    violations.extend(checker::check(&entries, stage.setting(plan, backend)));
    Ok(Round { entries, violations })
}

impl Stage {
    fn start(&self, plan: &str, n: usize, how: &str) -> Taker {
        let binary = env!("CARGO_BIN_EXE_random-worker");
        let (plan, journal) = (self.folder.file(plan), self.folder.file("journal"));
        let args: [&dyn std::fmt::Display; 4] = [&plan.display(), &n, &journal.display(), &how];
        Taker::start(binary, &self.site, &args)
    }

    fn entries(&self) -> Vec<Entry> {
        read(&std::fs::read_to_string(self.folder.file("journal")).unwrap_or_default())
    }

    async fn troubles(&mut self, plan: &Plan, start: u64) {
        let mut acts = Vec::new();
        for trouble in &plan.troubles {
            match trouble.what {
                TroubleKind::Kill(n) => acts.push((trouble.at, Act::Kill(n))),
                TroubleKind::Freeze(n, time) => {
                    acts.push((trouble.at, Act::Freeze(n)));
                    acts.push((trouble.at + time, Act::Thaw(n)));
                }
                TroubleKind::EndHolder => acts.push((trouble.at, Act::EndHolder)),
                TroubleKind::EndSessions => acts.push((trouble.at, Act::EndSessions)),
            }
        }
        acts.sort_by_key(|(at, _)| *at);
        let mut witness = None;
        for (at, act) in acts {
            let at = start + at * 1_000_000;
            sleep(Duration::from_nanos(at.saturating_sub(clock::now()))).await;
            match act {
                Act::Kill(n) => self.kill(n),
                Act::Freeze(n) => self.signal(n, Signal::STOP),
                Act::Thaw(n) => self.signal(n, Signal::CONT),
                Act::EndHolder | Act::EndSessions => {
                    if witness.is_none() {
                        witness = Some(Witness::at(&self.site.url).await);
                    }
                    let Some(witness) = &mut witness else { continue };
                    self.journals[0].write("server", &What::Cuts);
                    match act {
                        Act::EndHolder => witness.terminate_a_holder(&self.site).await,
                        _ => witness.terminate(&self.site).await,
                    };
                    self.journals[0].write("server", &What::HasCut);
                }
            }
        }
    }

    fn kill(&mut self, n: usize) {
        if let Some(taker) = self.takers[n].take() {
            // Killed and waited for.
            drop(taker);
            self.journals[n].write("process", &What::Exited);
        }
    }

    fn signal(&mut self, n: usize, signal: Signal) {
        let Some(taker) = &mut self.takers[n] else { return };
        if taker.ended().is_some() {
            return;
        }
        if signal == Signal::STOP {
            self.journals[n].write("process", &What::Freezes);
            taker.signal(signal);
        } else {
            taker.signal(signal);
            self.journals[n].write("process", &What::Thaws);
        }
    }

    /// Waits for the end of a process.
    async fn end(&mut self, n: usize) {
        let Some(taker) = &mut self.takers[n] else { return };
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = taker.ended() {
                break Some(status);
            }
            if begun.elapsed() > LIMIT {
                break None;
            }
            sleep(Duration::from_millis(5)).await;
        };
        self.journals[n].write("process", &What::Exited);
        // Three: it has given up on calls without an answer, which the journal shows.
        match status.map(|status| status.code()) {
            Some(Some(0 | 3)) => {}
            Some(Some(4)) => self.found.push(plain(Kind::Unanswered, n, "close() does not end")),
            Some(code) => {
                let text = format!("the process has ended with {code:?}");
                self.found.push(plain(Kind::Unexplained, n, &text));
            }
            None => self.found.push(plain(Kind::Unanswered, n, "the process does not end")),
        }
    }

    fn setting(&self, plan: &Plan, backend: Backend) -> Setting {
        Setting {
            ttl: Duration::from_millis(plan.ttl),
            leases: backend.is_lease(),
            slack: self.pulse.slack(),
        }
    }

    /// Waits until all is free that is free soon, and says how that is taken.
    async fn judgement(&self, plan: &Plan, backend: Backend) {
        let free = checker::free_by(&self.entries(), self.setting(plan, backend));
        let latest = clock::now() + PATIENCE;
        let soon = |key: &u8| free.get(key).is_some_and(|by| *by < latest);
        let last = free.values().filter(|by| **by < latest).max().copied().unwrap_or(0);
        sleep(Duration::from_nanos(last.saturating_sub(clock::now()))).await;
        let wait = JUDGE + self.pulse.slack();
        let plan = judge::plan(plan, soon, wait);
        std::fs::write(self.folder.file("judge"), plan.to_text()).unwrap();
    }

    /// Another process takes all that was used, when all others have ended.
    async fn judge_outside(&mut self, plan: &Plan, backend: Backend) {
        self.judgement(plan, backend).await;
        let mut judge = self.start("judge", 0, "judge");
        judge.says("ready").await;
        judge.tell(&format!("go {}", clock::now()));
        self.takers.push(Some(judge));
        let journal = Journal::append(&self.folder.file("journal"), JUDGE_NUMBER);
        self.journals.push(journal);
        self.end(self.takers.len() - 1).await;
    }

    /// The only process does it itself.
    async fn judge_inside(&mut self, plan: &Plan, backend: Backend) {
        if !self.said_done().await {
            return self.end(0).await;
        }
        self.judgement(plan, backend).await;
        let file = self.folder.file("judge");
        if let Some(taker) = &mut self.takers[0] {
            taker.tell(&format!("judge {}", Path::display(&file)));
        }
        if self.said_done().await
            && let Some(taker) = &mut self.takers[0]
        {
            taker.tell("end");
        }
        self.end(0).await;
    }

    /// Whether the process says that it is done, and lives.
    async fn said_done(&mut self) -> bool {
        let Some(taker) = &mut self.takers[0] else { return false };
        let begun = Instant::now();
        while begun.elapsed() < LIMIT {
            match taker.said() {
                Some(line) if line == "done" => return taker.ended().is_none(),
                _ => sleep(Duration::from_millis(5)).await,
            }
        }
        false
    }

    /// The server knows nothing of us any more.
    async fn leftovers(&mut self) {
        let mut witness = Witness::at(&self.site.url).await;
        let begun = Instant::now();
        loop {
            let (locks, sessions) =
                (witness.locks(&self.site).await, witness.sessions(&self.site).await);
            if locks == 0 && sessions == 0 {
                return;
            }
            if begun.elapsed() > LEFTOVERS + self.pulse.slack() {
                let text = format!("the server still shows {locks} locks, {sessions} sessions");
                return self.found.push(plain(Kind::Leftover, 0, &text));
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}

fn plain(kind: Kind, process: usize, text: &str) -> Violation {
    Violation {
        kind,
        text: format!("process {process}: {text}"),
        calls: Vec::new(),
        about: std::collections::BTreeSet::new(),
    }
}

/// How many calls a plan makes.
pub(crate) fn calls(plan: &Plan) -> usize {
    let steps = plan.processes.iter().flat_map(|process| process.tasks.iter().flatten());
    steps.filter(|step| matches!(step, Step::Take(_))).count()
}
