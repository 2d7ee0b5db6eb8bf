//! Which threads the engine may need, and so must not be blocked.
//!
//! An engine on a thread of its own needs no other. One on a runtime of the user's needs a thread of
//! that runtime, and where there is only one, a blocking call on it would wait for itself.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::{self, ThreadId};

use tokio::runtime::{Handle, Id, RuntimeFlavor};
use tokio::task::coop::poll_proceed;

use crate::error::{Error, Result};

/// A task has no larger budget than a number of one byte.
const BUDGET_MAX: usize = 256;

/// The user's runtime that the engine is to run on, where that has only one thread for it.
#[derive(Clone)]
pub(super) struct OnlyThread {
    runtime: Id,
    /// The runtime is driven by whoever blocks on it.
    driven: bool,
    /// Where the engine was last seen.
    seen: Arc<Mutex<Option<ThreadId>>>,
}

impl OnlyThread {
    /// `None`: it has more than one.
    pub(super) fn of(runtime: &Handle) -> Option<Self> {
        let driven = runtime.runtime_flavor() == RuntimeFlavor::CurrentThread;
        let only = driven || runtime.metrics().num_workers() <= 1;
        only.then(|| OnlyThread { runtime: runtime.id(), driven, seen: Arc::default() })
    }

    /// Runs the engine's future and remembers where.
    pub(super) async fn watch<F: Future>(self, engine: F) -> F::Output {
        let mut engine = pin!(engine);
        let mut last = None;
        poll_fn(|cx| {
            let here = Some(thread::current().id());
            if last != here {
                last = here;
                *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = here;
            }
            engine.as_mut().poll(cx)
        })
        .await
    }

    /// An error if this code is on that thread.
    pub(super) fn check(&self) -> Result<()> {
        let inside = Handle::try_current().is_ok_and(|here| here.id() == self.runtime);
        if !inside || !is_polled() || !self.may_be_here() {
            return Ok(());
        }
        Err(Error::config(
            "a blocking call on the only thread of the runtime that the locker was told to run on \
             would stop the locker too; await the async call, move the blocking one into \
             spawn_blocking, or leave out LockerBuilder::runtime",
        ))
    }

    /// What the runtime polls on this thread may be a task of its worker, or the future that another
    /// thread blocks on; the latter of a runtime with workers is no matter of theirs.
    fn may_be_here(&self) -> bool {
        if self.driven {
            return true;
        }
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let here = thread::current().id();
        tokio::task::try_id().is_some() && seen.is_none_or(|seen| seen == here)
    }
}

/// Whether this code runs inside of what a runtime polls, and not in `spawn_blocking` or on a thread
/// that has only entered the runtime: there is no budget there. None is used up here.
fn is_polled() -> bool {
    let mut context = Context::from_waker(Waker::noop());
    let mut used = Vec::with_capacity(BUDGET_MAX);
    let limited = (0..BUDGET_MAX).any(|_| match poll_proceed(&mut context) {
        Poll::Ready(one) => {
            used.push(one);
            false
        }
        Poll::Pending => true,
    });
    // Each gives back what was there before it.
    while used.pop().is_some() {}
    limited
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn what_is_polled_is_told_from_what_is_not() {
        let runtime = Builder::new_current_thread().build().unwrap();
        assert!(!is_polled());
        let entered = runtime.enter();
        assert!(!is_polled());
        drop(entered);
        runtime.block_on(async {
            assert!(is_polled());
            assert!(tokio::spawn(async { is_polled() }).await.unwrap());
            assert!(!tokio::task::spawn_blocking(is_polled).await.unwrap());
        });
    }

    #[test]
    fn no_budget_is_used_up() {
        let runtime = Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            for _ in 0..1000 {
                assert!(is_polled());
                assert!(tokio::task::coop::has_budget_remaining());
            }
        });
    }
}
