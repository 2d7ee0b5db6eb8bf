//! From a held lock through the body to the end of the call.
//!
//! `…_background` does not wait for the release, so its future is `Send` when the body's output is
//! not: the output lives across no await. `…_to_end` is for `on_lost = ignore`, where there is
//! nothing to report.

use std::future::Future;

use crate::error::{Error, Result};
use crate::lock::scope::{AnyGuard, End, Scope};

pub async fn run<G: AnyGuard, R>(
    scope: Scope<G>,
    body: impl Future<Output = R>,
    is_err: impl FnOnce(&R) -> bool,
) -> Result<R> {
    let output = scope.poll_body(body).await;
    let failed = judge(&scope, output.as_ref(), is_err);
    result(scope.finish(output).await, failed)
}

pub async fn run_background<G: AnyGuard, R>(
    scope: Scope<G>,
    body: impl Future<Output = R>,
    is_err: impl FnOnce(&R) -> bool,
) -> Result<R> {
    let output = scope.poll_body(body).await;
    let failed = judge(&scope, output.as_ref(), is_err);
    result(scope.finish_background(output), failed)
}

pub fn run_blocking<G: AnyGuard, R>(
    scope: Scope<G>,
    body: impl FnOnce() -> R,
    is_err: impl FnOnce(&R) -> bool,
) -> Result<R> {
    let output = scope.call(body);
    let failed = judge(&scope, Some(&output), is_err);
    result(scope.finish_blocking(Some(output)), failed)
}

pub fn run_blocking_background<G: AnyGuard, R>(
    scope: Scope<G>,
    body: impl FnOnce() -> R,
    is_err: impl FnOnce(&R) -> bool,
) -> Result<R> {
    let output = scope.call(body);
    let failed = judge(&scope, Some(&output), is_err);
    result(scope.finish_background(Some(output)), failed)
}

pub async fn run_to_end<G: AnyGuard, R>(scope: Scope<G>, body: impl Future<Output = R>) -> R {
    let output = scope.poll_to_end(body).await;
    scope.finish::<()>(None).await;
    output
}

pub async fn run_background_to_end<G: AnyGuard, R>(
    scope: Scope<G>,
    body: impl Future<Output = R>,
) -> R {
    let output = scope.poll_to_end(body).await;
    scope.finish_background::<()>(None);
    output
}

pub fn run_blocking_to_end<G: AnyGuard, R>(scope: Scope<G>, body: impl FnOnce() -> R) -> R {
    let output = scope.call(body);
    scope.finish_blocking::<()>(None);
    output
}

pub fn run_blocking_background_to_end<G: AnyGuard, R>(
    scope: Scope<G>,
    body: impl FnOnce() -> R,
) -> R {
    let output = scope.call(body);
    scope.finish_background::<()>(None);
    output
}

/// Whether the body's own output is an error. If it is none, what was to be done once in a period is
/// done: said before the release, which keeps the lock from others then.
fn judge<G: AnyGuard, R>(
    scope: &Scope<G>,
    output: Option<&R>,
    is_err: impl FnOnce(&R) -> bool,
) -> bool {
    let failed = output.is_some_and(is_err);
    if output.is_some() && !failed {
        scope.complete();
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
