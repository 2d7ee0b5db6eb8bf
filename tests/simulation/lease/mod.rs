//! Leases: the real table and the real core of several processes, against a model of a server that
//! answers late, twice, never or wrongly.
//!
//! A run is a list of commands, made from a seed, in virtual time. Checked at every step: at most one
//! holder whose validity has not ended, who has the row; fences that only grow; no grant that is
//! neither held nor given back; no guard that is lost and valid; callers who are answered in time; a
//! bound for what a process does without time passing. After each storm: all is answered and given
//! back, and everybody gets every free lock of the healthy server within a bound.
//! What fails is made shorter before it is shown.

mod callers;
mod coverage;
mod network;
mod plan;
mod process;
mod server;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use self::coverage::Coverage;
use self::plan::{Command, Kind, plan};
use self::world::World;
use super::words;

/// How many steps each of the six takes by itself, 3 millions in all: calls of a core and events of
/// a table.
const STEPS: u64 = 520_000;
/// As often as this at most, if something has not been seen by then.
const LONGER: u64 = 10;
/// More than this often it is not tried to make a list shorter.
const TRIES_MAX: u32 = 400;
/// So much of what happened last is told.
const TOLD: usize = 60;

const PLAIN: Kind = Kind { processes: 3, faults: 0, our_clock: false, crowd: false };

#[test]
fn leases_of_two_processes() {
    simulate("leases_of_two_processes", Kind { processes: 2, faults: 40, ..PLAIN });
}

#[test]
fn leases_in_heavy_weather() {
    simulate("leases_in_heavy_weather", Kind { processes: 3, faults: 300, ..PLAIN });
}

#[test]
fn leases_on_our_own_clock() {
    simulate(
        "leases_on_our_own_clock",
        Kind { processes: 3, faults: 120, our_clock: true, ..PLAIN },
    );
}

#[test]
fn leases_of_many_processes() {
    simulate("leases_of_many_processes", Kind { processes: 5, faults: 100, ..PLAIN });
}

#[test]
fn leases_that_pass_from_caller_to_caller() {
    let kind = Kind { processes: 2, faults: 60, crowd: true, ..PLAIN };
    simulate("leases_that_pass_from_caller_to_caller", kind);
}

/// Nothing is lost then.
#[test]
fn leases_when_nothing_breaks() {
    simulate("leases_when_nothing_breaks", PLAIN);
}

fn simulate(name: &str, kind: Kind) {
    let number = super::number;
    let first = number("DLOCK_SIM_SEED").unwrap_or_else(|| fastrand::u64(..1 << 32));
    let is_long = std::env::var_os("DLOCK_TEST_LONG").is_some();
    let minutes = number("DLOCK_TEST_MINUTES").unwrap_or(5);
    let end = is_long.then(|| Instant::now() + Duration::from_secs(60 * minutes));
    let steps = number("DLOCK_SIM_STEPS").unwrap_or(STEPS);
    let (mut seed, mut done, mut coverage, begun) = (first, 0, Coverage::default(), Instant::now());
    // What is rare may take longer to be seen.
    let most = if is_long || steps < STEPS { 0 } else { steps * LONGER };
    // The other worlds are to have seen it all.
    let missing = |coverage: &Coverage| match kind {
        Kind { faults: 0, .. } | Kind { crowd: true, .. } => Vec::new(),
        Kind { faults, .. } => coverage.missing(faults >= 300),
    };
    while end.map_or(done < steps, |end| Instant::now() < end)
        || (done < most && !missing(&coverage).is_empty())
    {
        let plan = plan(seed, kind);
        match attempt(seed, kind, &plan, false) {
            Ok(world) => {
                world.add_coverage(&mut coverage);
                done += world.steps();
            }
            Err(_) => panic!("{}", report(name, seed, kind, plan, done)),
        }
        seed = seed.wrapping_add(1);
    }
    println!(
        "{done} steps in {:.1?}, seeds {first} to {seed}:\n{}",
        begun.elapsed(),
        coverage.lines()
    );
    let missing = missing(&coverage);
    assert!(done < STEPS || missing.is_empty(), "in {done} steps never: {missing:#?}");
}

/// A run of this list; an error says what was wrong, and what has happened before.
fn attempt(
    seed: u64,
    kind: Kind,
    plan: &[(Duration, Command)],
    traced: bool,
) -> Result<World, (String, Vec<String>)> {
    let mut world = World::new(seed, kind, traced);
    match catch_unwind(AssertUnwindSafe(|| world.run(plan))) {
        Ok(()) => Ok(world),
        Err(cause) => Err((words(&*cause), world.trace().to_vec())),
    }
}

/// What went wrong, in as few commands as can be found.
fn report(
    name: &str,
    seed: u64,
    kind: Kind,
    mut plan: Vec<(Duration, Command)>,
    done: u64,
) -> String {
    let all = plan.len();
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let is_brief = std::env::var_os("DLOCK_SIM_BRIEF").is_some();
    let (mut size, mut tries) = (if is_brief { 0 } else { plan.len() / 2 }, 0);
    while size > 0 && tries < TRIES_MAX {
        let mut at = 0;
        while at < plan.len() && tries < TRIES_MAX {
            tries += 1;
            let mut shorter = plan.clone();
            shorter.drain(at..(at + size).min(plan.len()));
            match attempt(seed, kind, &shorter, false) {
                Ok(_) => at += size,
                Err(_) => plan = shorter,
            }
        }
        size /= 2;
    }
    let (cause, trace) = match attempt(seed, kind, &plan, true) {
        Err(found) => found,
        Ok(_) => ("not seen again: the world depends on more than its seed".to_owned(), Vec::new()),
    };
    std::panic::set_hook(hook);
    let commands: String =
        plan.iter().map(|(at, command)| format!("  {at:?}: {command:?}\n")).collect();
    let last = &trace[trace.len().saturating_sub(TOLD)..];
    format!(
        "after {done} steps, in the world of seed {seed}: {cause}\n\n{} of {all} commands do:\n{commands}\n\
         What happened last:\n{}\n\nAgain: DLOCK_SIM_SEED={seed} cargo test -p dlock-tests --test simulation \
         -- --exact lease::{name}\n",
        plan.len(),
        last.join("\n"),
    )
}
