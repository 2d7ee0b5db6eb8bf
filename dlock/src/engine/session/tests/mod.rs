//! What becomes of locks when a session's driver fails, panics or says nothing.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod closings;
mod lookups;
mod outage;
mod panics;
mod parts;
mod turns;

use std::time::Duration;

use tokio::time::timeout;

use crate::backend::scripted::{Call, Fate, Scripted};

/// What takes longer does not come, on a busy machine either: turns take 10 s on a quiet one.
const LIMIT: Duration = Duration::from_secs(40);

async fn in_time<F: Future>(what: &str, future: F) -> F::Output {
    timeout(LIMIT, future).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

/// The first call that this is true of has this fate, all others are done.
fn once(
    fate: Fate,
    wanted: impl Fn(&Call) -> bool + Send + 'static,
) -> impl FnMut(&Call) -> Fate + Send + 'static {
    let mut over = false;
    move |call| {
        if !over && wanted(call) {
            over = true;
            return fate;
        }
        Fate::Done
    }
}

/// A batch that takes this key among others.
fn takes(key: &'static str) -> impl Fn(&Call) -> bool + Send {
    move |call| matches!(call, Call::Batch(tried) if tried.iter().any(|tried| tried == key))
}
