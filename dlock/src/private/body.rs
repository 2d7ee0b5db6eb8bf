//! From a held lock through the body to the end of the call.
//!
//! `…_background` does not wait for the release, so its future is `Send` when the body's output is
//! not: the output lives across no await. `…_to_end` is for `on_lost = ignore`, where there is
//! nothing to report.

use std::future::Future;

use crate::error::{Error, Result};
use crate::extent::{End, Extent, Held};

pub async fn run<G: Held, R>(
    extent: Extent<G>,
    body: impl Future<Output = R>,
    is_err: impl FnOnce(&R) -> bool,
) -> Result<R> {
    let output = extent.poll_body(body).await;
    result(extent.finish(output).await, is_err)
}

pub async fn run_background<G: Held, R>(
    extent: Extent<G>,
    body: impl Future<Output = R>,
    is_err: impl FnOnce(&R) -> bool,
) -> Result<R> {
    let output = extent.poll_body(body).await;
    result(extent.finish_background(output), is_err)
}

pub fn run_blocking<G: Held, R>(
    extent: Extent<G>,
    body: impl FnOnce() -> R,
    is_err: impl FnOnce(&R) -> bool,
) -> Result<R> {
    let output = extent.call(body);
    result(extent.finish_blocking(Some(output)), is_err)
}

pub fn run_blocking_background<G: Held, R>(
    extent: Extent<G>,
    body: impl FnOnce() -> R,
    is_err: impl FnOnce(&R) -> bool,
) -> Result<R> {
    let output = extent.call(body);
    result(extent.finish_background(Some(output)), is_err)
}

pub async fn run_to_end<G: Held, R>(extent: Extent<G>, body: impl Future<Output = R>) -> R {
    let output = extent.poll_to_end(body).await;
    extent.finish::<()>(None).await;
    output
}

pub async fn run_background_to_end<G: Held, R>(
    extent: Extent<G>,
    body: impl Future<Output = R>,
) -> R {
    let output = extent.poll_to_end(body).await;
    extent.finish_background::<()>(None);
    output
}

pub fn run_blocking_to_end<G: Held, R>(extent: Extent<G>, body: impl FnOnce() -> R) -> R {
    let output = extent.call(body);
    extent.finish_blocking::<()>(None);
    output
}

pub fn run_blocking_background_to_end<G: Held, R>(
    extent: Extent<G>,
    body: impl FnOnce() -> R,
) -> R {
    let output = extent.call(body);
    extent.finish_background::<()>(None);
    output
}

/// The body's own error goes before that of the lock, which may well be its cause.
fn result<R>(end: End<R>, is_err: impl FnOnce(&R) -> bool) -> Result<R> {
    match (end.output, end.lost) {
        (Some(output), None) => Ok(output),
        (Some(output), Some(_)) if is_err(&output) => Ok(output),
        (_, Some(lost)) => Err(lost),
        (None, None) => Err(Error::Closed),
    }
}
