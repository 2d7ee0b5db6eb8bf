//! Short times, futures that are dropped after them, and panics.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::task::yield_now;
use tokio::time::{sleep, sleep_until};

/// Timers are no finer than this; what is to be shorter is waited for awake.
const FINE: Duration = Duration::from_millis(3);

/// Waits this long, to the microsecond.
pub(crate) async fn pause(time: Duration) {
    if time > FINE {
        return sleep(time).await;
    }
    let end = Instant::now() + time;
    while Instant::now() < end {
        yield_now().await;
    }
}

/// Drops the future after so many microseconds, looked at before it is: so one that is ready by then
/// is dropped with its output.
pub(crate) async fn cut<F: Future>(after: Option<u64>, future: F) -> Option<F::Output> {
    let Some(after) = after.map(Duration::from_micros) else { return Some(future.await) };
    let end = Instant::now() + after;
    let moment = async {
        if after > FINE {
            sleep_until(end.into()).await;
        }
        while Instant::now() < end {
            yield_now().await;
        }
    };
    let mut future = Box::pin(future);
    tokio::select! {
        biased;
        () = moment => None,
        output = &mut future => Some(output),
    }
}

/// `None` when it panics.
pub(crate) async fn caught<F: Future>(future: F) -> Option<F::Output> {
    let mut future = Box::pin(future);
    let polled = poll_fn(|cx| {
        let poll = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        match poll {
            Ok(poll) => poll.map(Some),
            Err(_) => Poll::Ready(None),
        }
    });
    polled.await
}
