//! Several futures at once, and the release of several guards.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use crate::engine::{Engine, MessageBatch};
use crate::error::Error;
use crate::lock::guard::Guard;

/// How long a call that has failed waits until what it held in part is released: the server has
/// just answered.
const DISCARD_TIME_MAX: Duration = Duration::from_secs(1);
/// The same after a server that has not answered.
const DISCARD_TIME_MIN: Duration = Duration::from_millis(250);

/// The outputs of all, in their order. What they ask of this engine, it gets at once.
pub(crate) async fn join_all<F: Future>(
    engine: Option<&Engine>,
    futures: impl Iterator<Item = F>,
) -> Vec<F::Output> {
    let mut parts: Vec<Part<F>> = futures.map(|future| Part::Pending(Box::pin(future))).collect();
    poll_fn(|cx| {
        let mut pending = false;
        let _cork = engine.map(MessageBatch::new);
        for part in &mut parts {
            if let Part::Pending(future) = part {
                match future.as_mut().poll(cx) {
                    Poll::Ready(output) => *part = Part::Ready(output),
                    Poll::Pending => pending = true,
                }
            }
        }
        if pending { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    let outputs = parts.into_iter().filter_map(|part| match part {
        Part::Ready(output) => Some(output),
        Part::Pending(_) => None,
    });
    outputs.collect()
}

enum Part<F: Future> {
    Pending(Pin<Box<F>>),
    Ready(F::Output),
}

// The output is not pinned.
impl<F: Future> Unpin for Part<F> {}

/// Releases what a call has got before it failed with this error, so that nothing is held when the
/// caller learns of that; in bounded time, for the server may not answer.
pub(crate) async fn discard(engine: &Engine, guards: Vec<Guard>, failed: &Error) {
    if guards.is_empty() {
        return;
    }
    let answers = !matches!(failed, Error::Unavailable { .. });
    let time = if answers { DISCARD_TIME_MAX } else { DISCARD_TIME_MIN };
    let all = join_all(Some(engine), guards.into_iter().map(Guard::release));
    tokio::select! {
        biased;
        _ = all => {}
        // What was begun goes on. An engine that has ended holds nothing.
        _ = engine.sleep(time) => {}
    }
}
