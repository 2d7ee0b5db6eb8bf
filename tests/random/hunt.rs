//! Round after round until the time is over or something is wrong; then the plan is shrunk, and all
//! that a person needs is printed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use dlock_tests::random::{Outcome, Plan, What};
use dlock_tests::{Backend, is_long, not_run, tabulate};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::checker::Kind;
use crate::generate;
use crate::known;
use crate::report::{concerned, report, text};
use crate::round::{self, Round};
use crate::shrink::shrink;
use crate::style::Can;

/// How many rounds go on at once: each of them mostly waits.
const WIDTH: usize = 6;
/// How long rounds go on in the normal run.
const TIME: Duration = Duration::from_secs(14);
/// How long a plan is shrunk.
const SHRINK: Duration = Duration::from_secs(60);
/// A real server does not do the same each time.
const ATTEMPTS: usize = 3;
/// How many shorter plans are tried at once.
const BATCH: usize = 4;

/// What came of all rounds.
#[derive(Default)]
struct Sum {
    rounds: usize,
    calls: usize,
    granted: usize,
    lost: usize,
    cancelled: usize,
    known: BTreeMap<u32, usize>,
}

/// What is asked for by the environment.
struct Wish {
    seed: Option<u64>,
    trace: Option<PathBuf>,
    repeat: usize,
    time: Duration,
}

impl Wish {
    fn read() -> Self {
        let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
        let minutes = number("DLOCK_TEST_MINUTES").unwrap_or(5);
        Wish {
            seed: number("DLOCK_TEST_SEED"),
            trace: std::env::var_os("DLOCK_TEST_TRACE").map(PathBuf::from),
            repeat: number("DLOCK_TEST_REPEAT").map_or(20, |n| usize::try_from(n).unwrap()),
            time: if is_long() { Duration::from_secs(60 * minutes) } else { TIME },
        }
    }
}

/// Runs the tester on a database of that kind.
pub(crate) fn hunt(backend: Backend) {
    // A plan is replayed where it has failed.
    if std::env::var("DLOCK_TEST_BACKEND").is_ok_and(|only| only != backend.to_string()) {
        return;
    }
    if let Err(why) = dlock_tests::Site::on(backend) {
        return not_run(&format!("random on {backend}"), &why);
    }
    let wish = Wish::read();
    let runtime = Runtime::new().unwrap();
    if let Some(trace) = &wish.trace {
        let plan = Plan::from_text(&std::fs::read_to_string(trace).unwrap());
        return replay(&runtime, backend, &plan, wish.repeat);
    }
    if let Some(seed) = wish.seed {
        return replay(&runtime, backend, &generate::plan(seed, Can::of(backend)), wish.repeat);
    }
    let base = fastrand::u64(..1 << 40);
    let begun = Instant::now();
    let mut sum = Sum::default();
    let mut next = 0;
    let failed = runtime.block_on(async {
        let mut rounds = JoinSet::new();
        loop {
            while rounds.len() < WIDTH && begun.elapsed() < wish.time {
                let seed = base + next;
                next += 1;
                let plan = generate::plan(seed, Can::of(backend));
                rounds.spawn(async move { (seed, round::perform(backend, &plan).await, plan) });
            }
            let ended = rounds.join_next().await?;
            let (seed, round, plan) = ended.unwrap();
            let round = round.unwrap();
            sum.add(&plan, &round);
            let news = sum.news(backend, &plan, round);
            if let Some(round) = news {
                return Some((seed, plan, round));
            }
        }
    });
    let Some((seed, plan, round)) = failed else {
        return tabulate(&sum.line(backend));
    };
    eprintln!("random on {backend}, seed {seed}: {}", round.violations[0]);
    let budget = if is_long() { SHRINK * 5 } else { SHRINK };
    let (small, last) = shorten(&runtime, backend, plan, &round, budget);
    report(backend, Some(seed), &small, last.as_ref().unwrap_or(&round));
}

/// Shrinks a plan; with what came of it last.
fn shorten(
    runtime: &Runtime,
    backend: Backend,
    plan: Plan,
    round: &Round,
    budget: Duration,
) -> (Plan, Option<Round>) {
    let begun = Instant::now();
    let kind = round.violations[0].kind;
    let (_, keys) = concerned(&round.violations[0], &round.entries);
    let mut last = None;
    let small = shrink(plan, &keys, BATCH, |plans| {
        if begun.elapsed() > budget {
            return None;
        }
        let (n, round) = runtime.block_on(first_failure(backend, plans, kind))?;
        last = round.or(last.take());
        Some(n)
    });
    (small, last)
}

/// Which of these plans fails in that way, all tried at once; the outer `None` when it cannot be tried.
async fn first_failure(
    backend: Backend,
    plans: &[Plan],
    kind: Kind,
) -> Option<(Option<usize>, Option<Round>)> {
    let mut rounds = JoinSet::new();
    for (n, plan) in plans.iter().enumerate() {
        for _ in 0..ATTEMPTS {
            let plan = plan.clone();
            rounds.spawn(async move { (n, round::perform(backend, &plan).await) });
        }
    }
    let mut first: Option<(usize, Round)> = None;
    while let Some(ended) = rounds.join_next().await {
        let (n, round) = ended.ok()?;
        let mut round = round.ok()?;
        round.violations.retain(|violation| known::fault(violation).is_none());
        round.violations.sort_by_key(|violation| violation.kind != kind);
        let fails = round.violations.first().is_some_and(|violation| violation.kind == kind);
        if fails && first.as_ref().is_none_or(|(m, _)| n < *m) {
            first = Some((n, round));
        }
    }
    Some(match first {
        Some((n, round)) => (Some(n), Some(round)),
        None => (None, None),
    })
}

async fn attempts(backend: Backend, plan: &Plan, times: usize) -> Vec<Round> {
    let mut rounds = JoinSet::new();
    for _ in 0..times {
        let plan = plan.clone();
        rounds.spawn(async move { round::perform(backend, &plan).await.unwrap() });
    }
    rounds.join_all().await
}

/// The same plan again and again.
fn replay(runtime: &Runtime, backend: Backend, plan: &Plan, times: usize) {
    let mut sum = Sum::default();
    for _ in 0..times.div_ceil(WIDTH) {
        for round in runtime.block_on(attempts(backend, plan, WIDTH)) {
            sum.add(plan, &round);
            if let Some(round) = sum.news(backend, plan, round) {
                report(backend, None, plan, &round);
            }
        }
    }
    tabulate(&sum.line(backend));
}

impl Sum {
    fn add(&mut self, plan: &Plan, round: &Round) {
        self.rounds += 1;
        self.calls += round::calls(plan);
        let count = |what: fn(&What) -> bool| {
            round.entries.iter().filter(|entry| what(&entry.what)).count()
        };
        self.granted += count(|what| matches!(what, What::Lets(_)));
        self.lost += count(|what| matches!(what, What::Told));
        self.cancelled += count(|what| matches!(what, What::Ends(Outcome::Cancelled)));
    }

    /// The round with what is wrong in it beyond what is known, if anything is. What is known is
    /// kept where `DLOCK_TEST_KEEP` says.
    fn news(&mut self, backend: Backend, plan: &Plan, round: Round) -> Option<Round> {
        let (mut violations, mut known) = (Vec::new(), Vec::new());
        for violation in round.violations {
            match known::fault(&violation) {
                Some(fault) => {
                    let times = self.known.entry(fault).or_default();
                    *times += 1;
                    if *times == 1 {
                        known.push((fault, violation));
                    }
                }
                None => violations.push(violation),
            }
        }
        if let Some(folder) = std::env::var_os("DLOCK_TEST_KEEP") {
            for (fault, violation) in known {
                let file = PathBuf::from(&folder).join(format!("{fault}-{backend}.txt"));
                let round = Round { violations: vec![violation], entries: round.entries.clone() };
                std::fs::write(file, text(plan, &round)).unwrap();
            }
        }
        (!violations.is_empty()).then_some(Round { violations, ..round })
    }

    fn line(&self, backend: Backend) -> String {
        let Sum { rounds, calls, granted, lost, cancelled, .. } = self;
        let mut line = format!(
            "random on {backend}: {rounds} rounds, {calls} steps, {granted} holds, {lost} lost, \
             {cancelled} cancelled"
        );
        for (fault, times) in &self.known {
            let _ = write!(line, ", known fault {fault}: {times}");
        }
        line
    }
}
