//! Panics of what the engine runs: a driver that meets an answer it does not expect may panic, and
//! that must end a session or fail a job, not take the engine along.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// More of a panic's message is not repeated.
const MESSAGE_CHARS_MAX: usize = 200;

/// A future panicked. Its text is what the panic said.
#[derive(Debug, thiserror::Error)]
#[error("the database's driver panicked: {0}")]
pub(super) struct Panicked(String);

impl Panicked {
    fn of(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let line = text.and_then(|text| text.lines().next()).unwrap_or("no message");
        Panicked(line.chars().take(MESSAGE_CHARS_MAX).collect())
    }
}

/// Runs a future to its end, or to its panic. What it owned is dropped either way.
///
/// # Cancel safety
/// That of the future.
pub(super) async fn catch_panic<F: Future>(future: F) -> Result<F::Output, Panicked> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        // After a panic it is not polled again.
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(payload) => Poll::Ready(Err(Panicked::of(&*payload))),
        }
    })
    .await
}
