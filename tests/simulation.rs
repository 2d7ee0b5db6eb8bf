//! The engine's table against a model of a database, through millions of interleavings.
//!
//! Every run takes another seed. What fails says which, and how to see it again.
//!
//! DLOCK_SIM_SEED    the seed to begin with
//! DLOCK_SIM_STEPS   how many events each simulation takes the tables through
//!
//! DLOCK_SIM_BRIEF   what fails is told as it is, not made shorter first
//!
//! `--long` of tests/run has those of leases go on for DLOCK_TEST_MINUTES (5) each.

#![allow(missing_docs, clippy::panic, reason = "a test that fails panics")]

#[path = "simulation/chance.rs"]
mod chance;
#[path = "simulation/claim.rs"]
mod claim;
#[path = "simulation/conversions.rs"]
mod conversions;
#[path = "simulation/directed.rs"]
mod directed;
#[path = "simulation/exclusion.rs"]
mod exclusion;
#[path = "simulation/lease/mod.rs"]
mod lease;
#[path = "simulation/ledger.rs"]
mod ledger;
#[path = "simulation/lie.rs"]
mod lie;
#[path = "simulation/page.rs"]
mod page;
#[path = "simulation/process.rs"]
mod process;
#[path = "simulation/readers.rs"]
mod readers;
#[path = "simulation/seen.rs"]
mod seen;
#[path = "simulation/server.rs"]
mod server;
#[path = "simulation/turns.rs"]
mod turns;
#[path = "simulation/world.rs"]
mod world;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use self::seen::Seen;
use self::world::{Kind, World};

/// How many events each simulation takes by itself.
const STEPS: u64 = 260_000;
/// As often as this at most, if something has not been seen by then.
const LONGER: u64 = 10;

#[test]
fn two_processes_and_one_key() {
    simulate("two_processes_and_one_key", Kind { processes: 2, keys: 1, sessions: 4, deaths: 1 });
}

#[test]
fn three_processes_and_several_keys() {
    let kind = Kind { processes: 3, keys: 3, sessions: 6, deaths: 1 };
    simulate("three_processes_and_several_keys", kind);
}

#[test]
fn sessions_that_die() {
    simulate("sessions_that_die", Kind { processes: 2, keys: 2, sessions: 4, deaths: 40 });
}

#[test]
fn no_session_is_free_to_wait() {
    simulate("no_session_is_free_to_wait", Kind { processes: 3, keys: 2, sessions: 2, deaths: 5 });
}

fn simulate(name: &str, kind: Kind) {
    let first = number("DLOCK_SIM_SEED").unwrap_or_else(|| fastrand::u64(..1 << 32));
    let steps = number("DLOCK_SIM_STEPS").unwrap_or(STEPS);
    let (mut seed, mut done, mut seen) = (first, 0, Seen::default());
    // What is rare may take longer to be seen.
    let most = if steps < STEPS { steps } else { steps * LONGER };
    while done < steps || (done < most && !seen.missing(kind.sessions).is_empty()) {
        let mut world = World::new(seed, kind);
        if catch_unwind(AssertUnwindSafe(|| world.run())).is_err() {
            let done = done + world.steps;
            panic!("{}", report(name, kind, seed, done));
        }
        world.tell_rare(&mut seen);
        done += world.steps;
        seed = seed.wrapping_add(1);
    }
    let missing = seen.missing(kind.sessions);
    assert!(steps < STEPS || missing.is_empty(), "in {done} steps never: {missing:?}");
}

/// A number that the environment gives.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| match value.parse::<u64>() {
        Ok(number) => number,
        Err(error) => panic!("{name}={value}: {error}"),
    })
}

/// What went wrong in this world, by letting it happen once more.
fn report(name: &str, kind: Kind, seed: u64, done: u64) -> String {
    let mut world = World::traced(seed, kind);
    let cause = match catch_unwind(AssertUnwindSafe(|| world.run())) {
        Ok(()) => "not seen again: the world depends on more than its seed".to_owned(),
        Err(cause) => words(&*cause),
    };
    let trace = world.trace().map(|line| format!("  {line}\n")).collect::<String>();
    format!(
        "after {done} steps, {} of them in the world of seed {seed}:\n{trace}{cause}\n\n\
         Again: DLOCK_SIM_SEED={seed} cargo test -p dlock-tests --test simulation -- --exact {name}\n",
        world.steps
    )
}

fn words(cause: &(dyn Any + Send)) -> String {
    let text = cause.downcast_ref::<String>().cloned();
    text.or_else(|| cause.downcast_ref::<&str>().map(|&text| text.to_owned())).unwrap_or_default()
}
