//! The engine's own table and the own core of its sessions, in several processes, against a model of a server: in
//! virtual time, with answers that come late, twice, never or wrongly, and connections, processes and servers that
//! fail.
//!
//! Every run takes another seed. What fails is made as short as it can be, and says how to see it again.
//!
//! DLOCK_SIM_SEED    the seed to begin with
//! DLOCK_SIM_STEPS   how many events each simulation takes the processes through
//! DLOCK_SIM_BRIEF   what fails is told as it is, not made shorter first
//! DLOCK_SIM_KEEP    the numbers of the items of that seed's plan that are to happen; all, if it is not set

#![expect(clippy::panic, reason = "a test that fails panics")]

mod coverage;
mod plan;
mod process;
mod server;
mod task;
mod world;

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use self::coverage::Coverage;
use self::plan::{Item, Kind};
use self::world::World;

/// How many events each simulation takes by itself.
const STEPS: u64 = 500_000;
/// As often as this at most, if something has not been seen by then.
const LONGER: u64 = 10;
/// So many lines of the trace are shown.
const SHOWN: usize = 400;

const EXCLUSIVE: Kind = Kind {
    processes: 3,
    keys: 2,
    sessions: 6,
    readers: false,
    converts: false,
    stops_waits: true,
    faults: 15,
};

const CONVERTING: Kind = Kind { readers: true, converts: true, ..EXCLUSIVE };

#[test]
fn exclusive_locks_and_faults() {
    simulate("exclusive_locks_and_faults", EXCLUSIVE);
}

#[test]
fn readers_writers_and_faults() {
    simulate("readers_writers_and_faults", Kind { readers: true, ..EXCLUSIVE });
}

#[test]
fn modes_that_change_and_faults() {
    simulate("modes_that_change_and_faults", CONVERTING);
}

#[test]
fn more_keys_than_sessions() {
    let kind = Kind { keys: 6, sessions: 2, ..CONVERTING };
    simulate("more_keys_than_sessions", kind);
}

#[test]
fn one_session_each() {
    simulate("one_session_each", Kind { keys: 3, sessions: 1, readers: true, ..EXCLUSIVE });
}

#[test]
fn waits_that_end_with_their_connection() {
    let kind = Kind { stops_waits: false, keys: 4, sessions: 4, ..EXCLUSIVE };
    simulate("waits_that_end_with_their_connection", kind);
}

/// Without faults, nothing is lost.
#[test]
fn nothing_breaks() {
    simulate("nothing_breaks", Kind { faults: 0, keys: 3, sessions: 4, ..CONVERTING });
}

#[test]
fn nothing_breaks_where_waits_end_with_their_connection() {
    let kind = Kind { faults: 0, stops_waits: false, keys: 3, sessions: 4, ..EXCLUSIVE };
    simulate("nothing_breaks_where_waits_end_with_their_connection", kind);
}

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|error| panic!("{name}={value}: {error}")))
}

fn simulate(name: &str, kind: Kind) {
    let first = number("DLOCK_SIM_SEED").unwrap_or_else(|| fastrand::u64(..1 << 32));
    let steps = number("DLOCK_SIM_STEPS").unwrap_or(STEPS);
    if let Ok(keep) = std::env::var("DLOCK_SIM_KEEP") {
        let keep: Vec<usize> = keep.split(',').filter_map(|index| index.parse().ok()).collect();
        match told(first, kind, &keep) {
            Ok(()) => return,
            Err(text) => panic!("{text}"),
        }
    }
    let (mut seed, mut done, mut seen) = (first, 0, Coverage::default());
    // What is rare may take longer to be seen.
    let most = if steps < STEPS { steps } else { steps * LONGER };
    while done < steps || (done < most && !seen.missing(kind).is_empty()) {
        let mut world = World::new(seed, kind, World::plan(seed, kind), false);
        if quietly(|| world.run()).is_err() {
            panic!("after {done} steps:\n{}", report(name, kind, seed));
        }
        seen.add(&world.coverage());
        done += world.steps();
        seed = seed.wrapping_add(1);
    }
    println!("{name}: {done} steps in {} worlds\n{}", seed.wrapping_sub(first), seen.table());
    let missing = seen.missing(kind);
    assert!(steps < STEPS || missing.is_empty(), "in {done} steps never: {missing:?}");
}

/// What went wrong in this world, with as little as possible in its plan.
fn report(name: &str, kind: Kind, seed: u64) -> String {
    let keep = shrunk(seed, kind);
    let text = match told(seed, kind, &keep) {
        Ok(()) => "not seen again: the world depends on more than its seed".to_owned(),
        Err(text) => text,
    };
    let keep: Vec<String> = keep.iter().map(usize::to_string).collect();
    format!(
        "{text}\n\nAgain: DLOCK_SIM_SEED={seed} DLOCK_SIM_KEEP={} cargo test -p dlock --lib {name}\n",
        keep.join(",")
    )
}

fn kept(seed: u64, kind: Kind, keep: &[usize]) -> Vec<Item> {
    let plan = World::plan(seed, kind).into_iter().enumerate();
    plan.filter(|(index, _)| keep.contains(index)).map(|(_, item)| item).collect()
}

fn fails(seed: u64, kind: Kind, keep: &[usize]) -> bool {
    let mut world = World::new(seed, kind, kept(seed, kind, keep), false);
    quietly(|| world.run()).is_err()
}

/// Leaves out as many items as go without the failure: halves first, then smaller parts.
fn shrunk(seed: u64, kind: Kind) -> Vec<usize> {
    let mut keep: Vec<usize> = (0..World::plan(seed, kind).len()).collect();
    let is_brief = std::env::var_os("DLOCK_SIM_BRIEF").is_some();
    let mut part = if is_brief { 0 } else { keep.len().div_ceil(2) };
    while part > 0 {
        let mut at = 0;
        while at < keep.len() {
            let mut fewer = keep.clone();
            fewer.drain(at..(at + part).min(keep.len()));
            if fails(seed, kind, &fewer) {
                keep = fewer;
            } else {
                at += part;
            }
        }
        part /= 2;
    }
    keep
}

/// The last lines of what happened, and what was wrong.
fn told(seed: u64, kind: Kind, keep: &[usize]) -> Result<(), String> {
    let mut world = World::new(seed, kind, kept(seed, kind, keep), true);
    let Err(cause) = quietly(|| world.run()) else { return Ok(()) };
    let lines = world.trace.unwrap_or_default();
    let shown = lines[lines.len().saturating_sub(SHOWN)..].join("\n");
    Err(format!("{shown}\n\n{}", words(&*cause)))
}

thread_local! {
    /// A failure is looked at, and told later.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

fn quietly(run: impl FnOnce()) -> Result<(), Box<dyn Any + Send>> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let hook = take_hook();
        set_hook(Box::new(move |info| {
            if !QUIET.get() {
                hook(info);
            }
        }));
    });
    QUIET.set(true);
    let result = catch_unwind(AssertUnwindSafe(run));
    QUIET.set(false);
    result
}

fn words(cause: &(dyn Any + Send)) -> String {
    let text = cause.downcast_ref::<String>().cloned();
    text.or_else(|| cause.downcast_ref::<&str>().map(|&text| text.to_owned())).unwrap_or_default()
}
