//! A whole call in one, of a function whose return type has room for the failure of its lock.
//!
//! Nearly all are, and their users compile each of them: one call with one await is much less to
//! compile than a series of steps.
//!
//! `…_background` is as in [`body`](super::body).

use std::future::Future;

use super::body::{run, run_background, run_blocking, run_blocking_background};
use super::call::{Call, Takes, enter, enter_blocking};
use super::output::Carries;
use crate::error::Error;
use crate::lock::scope::OnLoss;

/// That a return type has room for a failure, as a value. A bound on each of the functions below
/// would blame one missing trait at three places: the call, its future and the await.
pub struct Room<R> {
    run_or_error: fn(Error) -> R,
    is_err: fn(&R) -> bool,
}

pub fn room<R: Carries>() -> Room<R> {
    Room { run_or_error: R::run_or_error, is_err: R::is_err }
}

pub async fn run_or_error<L: Takes, R>(
    call: Call<L>,
    on_loss: OnLoss,
    body: impl Future<Output = R>,
    room: Room<R>,
) -> R {
    match enter(call, on_loss).await {
        Ok(scope) => run(scope, body, room.is_err).await.unwrap_or_else(room.run_or_error),
        Err(error) => (room.run_or_error)(error),
    }
}

pub async fn run_or_error_background<L: Takes, R>(
    call: Call<L>,
    on_loss: OnLoss,
    body: impl Future<Output = R>,
    room: Room<R>,
) -> R {
    match enter(call, on_loss).await {
        Ok(scope) => {
            run_background(scope, body, room.is_err).await.unwrap_or_else(room.run_or_error)
        }
        Err(error) => (room.run_or_error)(error),
    }
}

pub fn run_or_error_blocking<L: Takes, R>(
    call: Call<L>,
    on_loss: OnLoss,
    body: impl FnOnce() -> R,
    room: Room<R>,
) -> R {
    let entered = enter_blocking(call, on_loss);
    let ended = entered.and_then(|scope| run_blocking(scope, body, room.is_err));
    ended.unwrap_or_else(room.run_or_error)
}

pub fn run_or_error_blocking_background<L: Takes, R>(
    call: Call<L>,
    on_loss: OnLoss,
    body: impl FnOnce() -> R,
    room: Room<R>,
) -> R {
    let entered = enter_blocking(call, on_loss);
    let ended = entered.and_then(|scope| run_blocking_background(scope, body, room.is_err));
    ended.unwrap_or_else(room.run_or_error)
}
