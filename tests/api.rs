//! The parts of the interface that concern the whole process, and bad input.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

#[path = "api/closing.rs"]
mod closing;
#[path = "api/docs.rs"]
mod docs;
#[path = "api/input.rs"]
mod input;
#[path = "api/lazy.rs"]
mod lazy;
#[path = "api/registry.rs"]
mod registry;
#[path = "api/schemes.rs"]
mod schemes;
#[path = "api/secrets.rs"]
mod secrets;
#[path = "api/serialized.rs"]
mod serialized;
#[path = "api/status_file.rs"]
mod status_file;
#[path = "api/switch.rs"]
mod switch;
#[path = "api/table.rs"]
mod table;
#[path = "api/threads.rs"]
mod threads;

/// Runs a test while no other one of this process runs, in a runtime.
fn alone<F: Future<Output = ()>>(body: impl FnOnce() -> F + Send + 'static) {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    dlock_tests::limited(Duration::from_secs(60), move || {
        tokio::runtime::Runtime::new().unwrap().block_on(body());
    });
}
