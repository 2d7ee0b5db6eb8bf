//! Panics of what the engine runs: a driver that meets an answer it does not expect may panic, and
//! that must end a session or fail a job, not take the engine along.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use crate::error::Error;

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

    /// What to do about the runtime, if it has no timers or no sockets: it has no other way to say
    /// so.
    pub(super) fn of_the_runtime(&self) -> Option<Error> {
        let lacks = |what: &str| self.0.contains(&format!("{what} disabled"));
        (lacks("timers are") || lacks("IO is")).then(|| {
            Error::config(
                "the runtime that the locker was told to run on has no timers or no I/O; build it \
                 with tokio::runtime::Builder::enable_all, or leave out LockerBuilder::runtime",
            )
        })
    }
}

/// Runs a future to its end, or to its panic. What it owned is dropped either way.
///
/// # Cancel safety
/// That of the future.
pub(super) async fn catch_panic<F: Future>(future: F) -> Result<F::Output, Panicked> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let mut polled = Poll::Pending;
        // After a panic it is not polled again.
        match caught(&mut || polled = future.as_mut().poll(cx)) {
            Ok(()) => polled.map(Ok),
            Err(panicked) => Poll::Ready(Err(panicked)),
        }
    })
    .await
}

/// Does this to its end, or to its panic. Apart from the futures, so that it is compiled once.
fn caught(run: &mut dyn FnMut()) -> Result<(), Panicked> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|payload| Panicked::of(&*payload))
}
