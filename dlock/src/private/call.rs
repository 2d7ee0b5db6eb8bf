//! From a call to a held lock.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::extent::{Extent, OnLoss};
use crate::guard::Guard;
use crate::key::Key;
use crate::lock::Lock;
use crate::locker::Locker;
use crate::mode::Mode;
use crate::wait::Wait;
use crate::{registry, switch};

/// A lock that a function is about to take.
pub struct Call(State);

enum State {
    Lock(Lock),
    /// Locking is switched off: nothing is looked up and nobody is asked.
    Off(Key),
    Failed(Error),
}

/// Where the lock of a call comes from.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no locker",
    label = "neither the name of a locker nor a `dlock::Locker`",
    note = "write `locker = \"name\"` for one in `dlock::registry`, or an expression of type \
            `Locker` or `&Locker`"
)]
pub trait FindLocker {
    fn find(&self) -> Result<Locker>;
}

impl FindLocker for str {
    fn find(&self) -> Result<Locker> {
        registry::get(self)
    }
}

impl FindLocker for String {
    fn find(&self) -> Result<Locker> {
        registry::get(self)
    }
}

impl FindLocker for Locker {
    fn find(&self) -> Result<Locker> {
        Ok(self.clone())
    }
}

#[diagnostic::do_not_recommend]
impl<L: FindLocker + ?Sized> FindLocker for &L {
    fn find(&self) -> Result<Locker> {
        (**self).find()
    }
}

#[diagnostic::do_not_recommend]
impl<L: FindLocker + ?Sized> FindLocker for Arc<L> {
    fn find(&self) -> Result<Locker> {
        (**self).find()
    }
}

/// What `timeout =` can be when it is no literal.
#[diagnostic::on_unimplemented(
    message = "a timeout is a number of seconds, or an expression of type `Duration`, not `{Self}`",
    label = "expected a `Duration`",
    note = "write `std::time::Duration::from_secs(..)` around it"
)]
pub trait Timeout {
    fn wait(self) -> Wait;
}

impl Timeout for Duration {
    fn wait(self) -> Wait {
        self.into()
    }
}

impl Timeout for Wait {
    fn wait(self) -> Wait {
        self
    }
}

/// What `key =` can be when it is no template.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no key",
    label = "expected text, bytes or an integer",
    note = "anything that is `Display` can be part of a template, as in `key = \"user:<id>\"`, and \
            is a key with `dlock::Key::display(..)`"
)]
pub trait IntoKey {
    fn into_key(self) -> Key;
}

#[diagnostic::do_not_recommend]
impl<K: Into<Key>> IntoKey for K {
    fn into_key(self) -> Key {
        self.into()
    }
}

pub fn lock<L: FindLocker + ?Sized, K: IntoKey>(locker: &L, key: K) -> Call {
    if !switch::enabled() {
        return Call(State::Off(key.into_key()));
    }
    Call(match locker.find() {
        Ok(locker) => State::Lock(locker.lock(key.into_key())),
        Err(error) => State::Failed(error),
    })
}

impl Call {
    #[must_use]
    pub fn timeout(mut self, timeout: impl Timeout) -> Self {
        if let State::Lock(lock) = self.0 {
            self.0 = State::Lock(lock.timeout(timeout.wait()));
        }
        self
    }
}

pub async fn enter(call: Call, on_loss: OnLoss) -> Result<Extent> {
    let guard = match call.0 {
        State::Lock(lock) => lock.acquire().await?,
        State::Off(key) => Guard::unlocked(key, Mode::Exclusive),
        State::Failed(error) => return Err(error),
    };
    Ok(Extent::new(guard, on_loss))
}

pub fn enter_blocking(call: Call, on_loss: OnLoss) -> Result<Extent> {
    let guard = match call.0 {
        State::Lock(lock) => lock.acquire_blocking()?,
        State::Off(key) => Guard::unlocked(key, Mode::Exclusive),
        State::Failed(error) => return Err(error),
    };
    Ok(Extent::new(guard, on_loss))
}

/// Takes the guard out for the body to have.
pub fn guarded(entered: Result<Extent>) -> Result<(Extent, Guard)> {
    let mut extent = entered?;
    match extent.take_guard() {
        Some(guard) => Ok((extent, guard)),
        None => Err(Error::Closed),
    }
}
