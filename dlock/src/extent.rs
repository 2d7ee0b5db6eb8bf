//! The extent of a lock that is taken around a body of code: what runs under it, what happens to
//! that when the lock is lost, and how it is let go.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use crate::blocking::block_for;
use crate::engine::Hold;
use crate::error::{Error, Result};
use crate::guard::{Guard, LONGEST_RELEASE};
use crate::native::NativeKey;

/// What a loss does to the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnLoss {
    /// The body is dropped at its next await. A sync body cannot be: it is as `Report` there.
    Cancel,
    /// The body goes on, and the loss is reported after it.
    Report,
    /// The body goes on, and its result is the result.
    Ignore,
}

/// How a body ended.
#[derive(Debug)]
pub(crate) struct End<R> {
    /// What the body returned, unless it was dropped.
    pub(crate) output: Option<R>,
    /// That the lock was lost, unless that is to be ignored.
    pub(crate) lost: Option<Error>,
}

/// A lock around a body.
#[derive(Debug)]
pub struct Extent {
    guard: Option<Guard>,
    hold: Arc<Hold>,
    on_loss: OnLoss,
}

impl Extent {
    pub(crate) fn new(guard: Guard, on_loss: OnLoss) -> Self {
        let hold = Arc::clone(guard.hold());
        Extent { guard: Some(guard), hold, on_loss }
    }

    /// Gives the guard away, once: to the body, which may release it, keep it or pass it on.
    pub fn take_guard(&mut self) -> Option<Guard> {
        self.guard.take()
    }

    pub(crate) fn guard(&self) -> Option<&Guard> {
        self.guard.as_ref()
    }

    /// Runs the body as long as it may run, marked as running under the lock.
    pub(crate) async fn poll_body<F: Future>(&self, body: F) -> Option<F::Output> {
        match self.on_loss {
            OnLoss::Cancel => until_lost(&self.hold, body).await,
            OnLoss::Report | OnLoss::Ignore => Some(self.poll_to_end(body).await),
        }
    }

    /// Runs the body to its end, lost or not, marked as running under the lock.
    pub(crate) async fn poll_to_end<F: Future>(&self, body: F) -> F::Output {
        under(&self.hold, body).await
    }

    /// Lets go after the body, and waits for the server's word.
    pub(crate) async fn finish<R>(mut self, output: Option<R>) -> End<R> {
        // Seen before the release, which can take a while. What a release can say beyond that is
        // that the lock was lost, and the end says it.
        self.hold.is_lost();
        match self.guard.take() {
            Some(guard) => drop(guard.release().await),
            // The body has begun the release.
            None if self.hold.has_been_let_go() => drop(self.hold.settled().await),
            // The body has given the guard to somebody.
            None => {}
        }
        self.end(output)
    }

    /// Runs a sync body, marked as running under the lock.
    pub(crate) fn call<R>(&self, body: impl FnOnce() -> R) -> R {
        let _mark = Mark::set(&self.hold);
        body()
    }

    /// [`Extent::finish`] without `await`.
    pub(crate) fn finish_blocking<R>(mut self, output: Option<R>) -> End<R> {
        self.hold.is_lost();
        match self.guard.take() {
            Some(guard) => drop(guard.release_blocking()),
            None if self.hold.has_been_let_go() => {
                drop(block_for(LONGEST_RELEASE, self.hold.settled()));
            }
            None => {}
        }
        self.end(output)
    }

    /// Lets go after the body, and goes on. Not async, so that a future that ends with this is
    /// `Send` when the body's output is not.
    pub(crate) fn finish_background<R>(mut self, output: Option<R>) -> End<R> {
        self.hold.is_lost();
        drop(self.guard.take());
        self.end(output)
    }

    fn end<R>(self, output: Option<R>) -> End<R> {
        let lost = match self.on_loss {
            OnLoss::Ignore => None,
            OnLoss::Cancel | OnLoss::Report => self.hold.lost_info().cloned().map(Error::from),
        };
        End { output, lost }
    }
}

/// Runs a future, marked as running under the lock; an error when the lock was lost before its end.
pub(crate) async fn protect<F: Future>(hold: &Arc<Hold>, body: F) -> Result<F::Output> {
    match until_lost(hold, body).await {
        Some(output) if !hold.is_lost() => Ok(output),
        _ => Err(hold.lost_info().cloned().map_or(Error::Closed, Error::from)),
    }
}

/// Runs a future until it ends or the lock is lost, marked as running under the lock.
async fn until_lost<F: Future>(hold: &Arc<Hold>, body: F) -> Option<F::Output> {
    let mut lost = pin!(hold.lost());
    let mut body = pin!(under(hold, body));
    let output = poll_fn(|cx| {
        // Asked at every poll: a process that was frozen must not go on with the body first.
        if hold.is_lost() || lost.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        body.as_mut().poll(cx).map(Some)
    });
    output.await
}

/// Marks every poll of the body as running under the lock.
async fn under<F: Future>(hold: &Arc<Hold>, body: F) -> F::Output {
    let mut body = pin!(body);
    poll_fn(|cx| {
        let _mark = Mark::set(hold);
        body.as_mut().poll(cx)
    })
    .await
}

thread_local! {
    /// The locks that the code now running on this thread runs under.
    static UNDER: RefCell<Vec<Arc<Hold>>> = const { RefCell::new(Vec::new()) };
}

struct Mark;

impl Mark {
    fn set(hold: &Arc<Hold>) -> Self {
        UNDER.with_borrow_mut(|under| under.push(Arc::clone(hold)));
        Mark
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        let _ = UNDER.try_with(|under| under.borrow_mut().pop());
    }
}

/// Whether the code now running on this thread runs under this lock: then waiting for it would be
/// waiting for itself.
pub(crate) fn is_under(engine: u64, native: &NativeKey) -> bool {
    UNDER.with_borrow(|under| {
        under
            .iter()
            .any(|hold| hold.engine == engine && hold.native == *native && !hold.has_been_let_go())
    })
}
