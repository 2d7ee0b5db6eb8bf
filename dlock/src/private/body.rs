//! From a held lock through the body to the end of the call.
//!
//! `…_background` does not wait for the release, so its future is `Send` when the body's output is
//! not: the output lives across no await. `…_to_end` is for `on_lost = ignore`, where there is
//! nothing to report.

use std::future::Future;

use crate::error::{Error, Result};
use crate::lock::scope::{End, Extent, Held};

pub async fn run<G: Held, R>(
    extent: Extent<G>,
    body: impl Future<Output = R>,
    is_err: impl FnOnce(&R) -> bool,
) -> Result<R> {
    let output = extent.poll_body(body).await;
    let failed = judge(&extent, output.as_ref(), is_err);
    result(extent.finish(output).await, failed)
}

pub async fn run_background<G: Held, R>(
    extent: Extent<G>,
    body: impl Future<Output = R>,
    is_err: impl FnOnce(&R) -> bool,
) -> Result<R> {
    let output = extent.poll_body(body).await;
    let failed = judge(&extent, output.as_ref(), is_err);
    result(extent.finish_background(output), failed)
}

pub fn run_blocking<G: Held, R>(
    extent: Extent<G>,
    body: impl FnOnce() -> R,
    is_err: impl FnOnce(&R) -> bool,
) -> Result<R> {
    let output = extent.call(body);
    let failed = judge(&extent, Some(&output), is_err);
    result(extent.finish_blocking(Some(output)), failed)
}

pub fn run_blocking_background<G: Held, R>(
    extent: Extent<G>,
    body: impl FnOnce() -> R,
    is_err: impl FnOnce(&R) -> bool,
) -> Result<R> {
    let output = extent.call(body);
    let failed = judge(&extent, Some(&output), is_err);
    result(extent.finish_background(Some(output)), failed)
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

/// Whether the body's own output is an error. If it is none, what was to be done once in a period is
/// done: said before the release, which keeps the lock from others then.
fn judge<G: Held, R>(
    extent: &Extent<G>,
    output: Option<&R>,
    is_err: impl FnOnce(&R) -> bool,
) -> bool {
    let failed = output.is_some_and(is_err);
    if output.is_some() && !failed {
        extent.complete();
    }
    failed
}

/// The body's own error goes before that of the lock, which may well be its cause.
fn result<R>(end: End<R>, failed: bool) -> Result<R> {
    match (end.output, end.lost) {
        (Some(output), None) => Ok(output),
        (Some(output), Some(_)) if failed => Ok(output),
        (_, Some(lost)) => Err(lost),
        (None, None) => Err(Error::Closed),
    }
}
