//! Several futures at once.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use crate::engine::{Engine, MessageBatch};

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
