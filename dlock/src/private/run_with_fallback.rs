//! A whole call in one, of a function that returns something else when there was no lock.
//!
//! As in [`run_or_error`](super::run_or_error), that is less for the user to compile than a series of steps.
//! `…_background` is as in [`body`](super::body).

use std::future::Future;

use super::body::{run, run_background, run_blocking, run_blocking_background};
use super::call::{Call, Takes, enter, enter_blocking};
use crate::error::Result;
use crate::lock::scope::OnLoss;

pub async fn run_with_fallback<L: Takes, R>(
    call: Call<L>,
    on_loss: OnLoss,
    body: impl Future<Output = R>,
    is_err: impl FnOnce(&R) -> bool,
) -> Result<R> {
    run(enter(call, on_loss).await?, body, is_err).await
}

pub async fn run_with_fallback_background<L: Takes, R>(
    call: Call<L>,
    on_loss: OnLoss,
    body: impl Future<Output = R>,
    is_err: impl FnOnce(&R) -> bool,
) -> Result<R> {
    run_background(enter(call, on_loss).await?, body, is_err).await
}

pub fn run_with_fallback_blocking<L: Takes, R>(
    call: Call<L>,
    on_loss: OnLoss,
    body: impl FnOnce() -> R,
    is_err: impl FnOnce(&R) -> bool,
) -> Result<R> {
    run_blocking(enter_blocking(call, on_loss)?, body, is_err)
}

pub fn run_with_fallback_blocking_background<L: Takes, R>(
    call: Call<L>,
    on_loss: OnLoss,
    body: impl FnOnce() -> R,
    is_err: impl FnOnce(&R) -> bool,
) -> Result<R> {
    run_blocking_background(enter_blocking(call, on_loss)?, body, is_err)
}
