//! `#[locked]` in use, on `memory:` lockers: every test has one of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "macros/ends.rs"]
mod ends;
#[path = "macros/failures.rs"]
mod failures;
#[path = "macros/functions.rs"]
mod functions;
#[path = "macros/guards.rs"]
mod guards;
#[path = "macros/keys.rs"]
mod keys;
#[path = "macros/lints.rs"]
mod lints;
#[path = "macros/lockers.rs"]
mod lockers;
#[path = "macros/losses.rs"]
mod losses;
#[path = "macros/paths.rs"]
mod paths;
#[path = "macros/reentrant.rs"]
mod reentrant;
#[path = "macros/switch.rs"]
mod switch;
#[path = "macros/terms.rs"]
mod terms;
#[path = "macros/threads.rs"]
mod threads;
#[path = "macros/traits.rs"]
mod traits;
#[path = "macros/waits.rs"]
mod waits;
#[path = "macros/web.rs"]
mod web;

use dlock::{Key, Locker};

/// A space of locks that nobody else has.
fn memory(name: &str) -> Locker {
    Locker::connect_blocking(&format!("memory:{name}")).expect("memory is always there")
}

/// Whether somebody holds the lock.
fn is_held(locker: &Locker, key: impl Into<Key>) -> bool {
    locker.lock(key).try_acquire_blocking().expect("memory does not fail").is_none()
}

/// Polls a future once. What it waits for must be held by others or never come: on a busy machine the
/// engine may answer within the poll.
async fn poll_once<F: Future + Unpin>(future: &mut F) {
    std::future::poll_fn(|cx| {
        assert!(std::pin::Pin::new(&mut *future).poll(cx).is_pending(), "it is over already");
        std::task::Poll::Ready(())
    })
    .await;
}
