//! The testing kit, from the side of who tests code under locks.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "testing/asserting.rs"]
mod asserting;
#[path = "testing/attribute.rs"]
mod attribute;
#[path = "testing/blocking.rs"]
mod blocking;
#[path = "testing/clock.rs"]
mod clock;
#[path = "testing/conformance.rs"]
mod conformance;
#[path = "testing/defaults.rs"]
mod defaults;
#[path = "testing/leases.rs"]
mod leases;
#[path = "testing/steering.rs"]
mod steering;
#[path = "testing/traps.rs"]
mod traps;

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

dlock_tests::suite! {
    "testing" on [memory Memory, sqlite Sqlite, postgres Postgres] {
        conformance: [real_databases_conform]
    }
}

/// Polls a future once.
fn poll_once<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
    match pin!(&mut future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Runs a future on an executor that is not tokio's.
fn poll_to_end<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
