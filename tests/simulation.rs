//! The engine's table and the core of its leases, in several processes, against a model of a database, through millions
//! of interleavings. (That of sessions is among the library's unit tests, for it looks into the core; so is what must be
//! true of the table.)
//!
//! Every run takes another seed. What fails says which, and how to see it again.
//!
//! DLOCK_SIM_SEED    the seed to begin with
//! DLOCK_SIM_STEPS   how many events each simulation takes the processes through
//! DLOCK_SIM_BRIEF   what fails is told as it is, not made shorter first
//!
//! `--long` of tests/run has them go on for DLOCK_TEST_MINUTES (5) each.

#![allow(missing_docs, clippy::panic, reason = "a test that fails panics")]

#[path = "simulation/lease/mod.rs"]
mod lease;

use std::any::Any;

/// A number that the environment gives.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| match value.parse::<u64>() {
        Ok(number) => number,
        Err(error) => panic!("{name}={value}: {error}"),
    })
}

/// What a panic has said.
fn words(cause: &(dyn Any + Send)) -> String {
    let text = cause.downcast_ref::<String>().cloned();
    text.or_else(|| cause.downcast_ref::<&str>().map(|&text| text.to_owned())).unwrap_or_default()
}
