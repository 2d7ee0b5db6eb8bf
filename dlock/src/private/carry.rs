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
    carry: fn(Error) -> R,
    is_err: fn(&R) -> bool,
}

pub fn room<R: Carries>() -> Room<R> {
    Room { carry: R::carry, is_err: R::is_err }
}

pub async fn carry<L: Takes, R>(
    call: Call<L>,
    on_loss: OnLoss,
    body: impl Future<Output = R>,
    room: Room<R>,
) -> R {
    match enter(call, on_loss).await {
        Ok(extent) => run(extent, body, room.is_err).await.unwrap_or_else(room.carry),
        Err(error) => (room.carry)(error),
    }
}

pub async fn carry_background<L: Takes, R>(
    call: Call<L>,
    on_loss: OnLoss,
    body: impl Future<Output = R>,
    room: Room<R>,
) -> R {
    match enter(call, on_loss).await {
        Ok(extent) => run_background(extent, body, room.is_err).await.unwrap_or_else(room.carry),
        Err(error) => (room.carry)(error),
    }
}

pub fn carry_blocking<L: Takes, R>(
    call: Call<L>,
    on_loss: OnLoss,
    body: impl FnOnce() -> R,
    room: Room<R>,
) -> R {
    let entered = enter_blocking(call, on_loss);
    let ended = entered.and_then(|extent| run_blocking(extent, body, room.is_err));
    ended.unwrap_or_else(room.carry)
}

pub fn carry_blocking_background<L: Takes, R>(
    call: Call<L>,
    on_loss: OnLoss,
    body: impl FnOnce() -> R,
    room: Room<R>,
) -> R {
    let entered = enter_blocking(call, on_loss);
    let ended = entered.and_then(|extent| run_blocking_background(extent, body, room.is_err));
    ended.unwrap_or_else(room.carry)
}
