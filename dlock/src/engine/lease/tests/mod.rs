//! What the engine makes of what a lease table answers, and does not.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod fake;
mod handoff;
mod panics;
mod parts;
mod polls;
mod random;
mod renewals;
mod slow;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use self::fake::{Asked, Fake, Fate};
use crate::backend::lease::LeaseOptions;

const MS: Duration = Duration::from_millis(1);
/// What takes longer does not come.
const LIMIT: Duration = Duration::from_secs(10);
/// Outlasts every test: what is not given back shows.
const LONG: Duration = Duration::from_secs(60);

fn ttl(ttl: Duration) -> LeaseOptions {
    LeaseOptions::new().ttl(ttl).poll(MS, 5 * MS)
}

async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let true_at_last = async {
        while !condition() {
            sleep(MS).await;
        }
    };
    timeout(LIMIT, true_at_last).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// Something that can be set and asked.
#[derive(Clone, Default)]
struct Flag(Arc<AtomicBool>);

impl Flag {
    fn set(&self, on: bool) {
        self.0.store(on, Ordering::SeqCst);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// The first job that this is true of has this fate, all others are done.
fn once(
    fate: Fate,
    wanted: impl Fn(&Asked) -> bool + Send + 'static,
) -> impl FnMut(&Asked) -> Fate + Send + 'static {
    let mut over = false;
    move |asked| {
        if !over && wanted(asked) {
            over = true;
            return fate;
        }
        Fate::Done
    }
}

fn takes(asked: &Asked) -> bool {
    matches!(asked, Asked::Apply { takes, .. } if !takes.is_empty())
}
