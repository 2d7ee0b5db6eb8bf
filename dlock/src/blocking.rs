//! The sync face: a thread parks with its own waker.
//!
//! Never `Handle::block_on` or `block_in_place`: they panic inside a runtime, inside a `LocalSet`,
//! or on a current-thread runtime. What is waited for here is answered by the engine, which runs
//! elsewhere, so parking works on any thread.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::{Unconstrained, unconstrained};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for the future's end.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut parked = Parked::new(future);
    loop {
        if let Some(output) = parked.poll() {
            return output;
        }
        make_way();
        thread::park();
    }
}

/// Waits for the future's end, but not longer than this; `None`: the time is up.
pub(crate) fn block_for<F: Future>(time: Duration, future: F) -> Option<F::Output> {
    let mut parked = Parked::new(future);
    let start = Instant::now();
    loop {
        let output = parked.poll();
        let left = time.saturating_sub(start.elapsed());
        if output.is_some() || left.is_zero() {
            return output;
        }
        make_way();
        thread::park_timeout(left);
    }
}

/// Before a worker of a runtime is blocked: the task that it has woken last (the engine, if that
/// runs there) is next in line on this worker, and no other one may take it from that place. A task
/// that does nothing takes the place, and wakes another worker.
fn make_way() {
    if let Ok(runtime) = Handle::try_current()
        && runtime.runtime_flavor() == RuntimeFlavor::MultiThread
    {
        drop(runtime.spawn(async {}));
    }
}

struct Parked<F> {
    waker: Waker,
    // Inside a task whose budget is used up, tokio's channels would answer "later" for ever.
    future: Pin<Box<Unconstrained<F>>>,
}

impl<F: Future> Parked<F> {
    fn new(future: F) -> Self {
        Parked {
            waker: Waker::from(Arc::new(Unpark(thread::current()))),
            future: Box::pin(unconstrained(future)),
        }
    }

    fn poll(&mut self) -> Option<F::Output> {
        match self.future.as_mut().poll(&mut Context::from_waker(&self.waker)) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }
}
