//! From a call to a held lock.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::lock::Lock;
use crate::lock::guard::Guard;
use crate::lock::multi::{MultiGuard, MultiLock};
use crate::lock::scope::{AnyGuard, OnLoss, Scope};
use crate::locker::Locker;
use crate::locker::registry;
pub use crate::spec::key::IntoKey;
use crate::spec::key::Key;
use crate::spec::mode::Mode;
use crate::spec::wait::Wait;
use crate::switch;

/// A lock that a function is about to take.
pub struct Call<L = Lock>(State<L>);

enum State<L> {
    Lock(L),
    /// Locking is switched off: nothing is looked up and nobody is asked.
    Off {
        keys: Vec<Key>,
        fenced: bool,
    },
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

pub fn lock<L: FindLocker + ?Sized, K: IntoKey>(locker: &L, key: K) -> Call {
    if !switch::enabled() {
        return Call(State::Off { keys: vec![key.into_key()], fenced: false });
    }
    Call(match locker.find() {
        Ok(locker) => State::Lock(locker.lock(key.into_key())),
        Err(error) => State::Failed(error),
    })
}

pub fn lock_all<L, K>(locker: &L, keys: K) -> Call<MultiLock>
where
    L: FindLocker + ?Sized,
    K: IntoIterator<Item: IntoKey>,
{
    let keys = keys.into_iter().map(IntoKey::into_key);
    if !switch::enabled() {
        return Call(State::Off { keys: keys.collect(), fenced: false });
    }
    Call(match locker.find() {
        Ok(locker) => State::Lock(locker.lock_all(keys)),
        Err(error) => State::Failed(error),
    })
}

/// The same for keys of templates, each with its text.
pub fn lock_listed<L, K>(locker: &L, keys: K) -> Call<MultiLock>
where
    L: FindLocker + ?Sized,
    K: IntoIterator<Item = (Key, &'static str)>,
{
    if !switch::enabled() {
        let keys = keys.into_iter().map(|(key, _)| key).collect();
        return Call(State::Off { keys, fenced: false });
    }
    Call(match locker.find() {
        Ok(locker) => State::Lock(locker.lock_listed(keys)),
        Err(error) => State::Failed(error),
    })
}

/// One lock, or several as one.
pub trait Takes: Sized + Sync {
    type Guard: AnyGuard;
    #[must_use]
    fn each(self, how: impl Fn(Lock) -> Lock) -> Self;
    #[must_use]
    fn wait(self, wait: Wait) -> Self;
    fn take(&self) -> impl Future<Output = Result<Self::Guard>> + Send;
    fn take_blocking(&self) -> Result<Self::Guard>;
    /// Locking is switched off.
    fn off(keys: Vec<Key>, fenced: bool) -> Self::Guard;
}

impl Takes for Lock {
    type Guard = Guard;

    fn each(self, how: impl Fn(Lock) -> Lock) -> Self {
        how(self)
    }

    fn wait(self, wait: Wait) -> Self {
        self.timeout(wait)
    }

    fn take(&self) -> impl Future<Output = Result<Guard>> + Send {
        self.acquire()
    }

    fn take_blocking(&self) -> Result<Guard> {
        self.acquire_blocking()
    }

    fn off(keys: Vec<Key>, fenced: bool) -> Guard {
        let key = keys.into_iter().next().unwrap_or_else(|| Key::from(""));
        Guard::while_off(key, Mode::Exclusive, fenced)
    }
}

impl Takes for MultiLock {
    type Guard = MultiGuard;

    fn each(self, how: impl Fn(Lock) -> Lock) -> Self {
        MultiLock::each(self, how)
    }

    fn wait(self, wait: Wait) -> Self {
        self.timeout(wait)
    }

    fn take(&self) -> impl Future<Output = Result<MultiGuard>> + Send {
        self.acquire()
    }

    fn take_blocking(&self) -> Result<MultiGuard> {
        self.acquire_blocking()
    }

    fn off(keys: Vec<Key>, _: bool) -> MultiGuard {
        MultiGuard::unlocked(keys)
    }
}

/// The arguments of the attribute, each by its own name.
impl<L: Takes> Call<L> {
    #[must_use]
    pub fn timeout(self, timeout: impl Timeout) -> Self {
        match self.0 {
            State::Lock(lock) => Call(State::Lock(lock.wait(timeout.wait()))),
            other => Call(other),
        }
    }

    #[must_use]
    pub fn mode(self, mode: Mode) -> Self {
        self.each(|lock| lock.mode(mode))
    }

    /// The text of the template that the key is made of.
    #[must_use]
    pub fn label(self, label: &'static str) -> Self {
        self.each(|lock| lock.label(label))
    }

    #[must_use]
    pub fn permits(self, n: u32) -> Self {
        self.each(|lock| lock.permits(n))
    }

    #[must_use]
    pub fn fenced(self) -> Self {
        match self.0 {
            State::Off { keys, .. } => Call(State::Off { keys, fenced: true }),
            _ => self.each(Lock::fenced),
        }
    }

    #[must_use]
    pub fn reentrant(self) -> Self {
        self.each(Lock::reentrant)
    }

    #[must_use]
    pub fn ttl(self, ttl: Duration) -> Self {
        self.each(|lock| lock.ttl(ttl))
    }

    #[must_use]
    pub fn auto_renew(self, renew: bool) -> Self {
        self.each(|lock| lock.auto_renew(renew))
    }

    #[must_use]
    pub fn owner(self, owner: impl Into<String>) -> Self {
        let owner = owner.into();
        self.each(|lock| lock.owner(&*owner))
    }

    #[must_use]
    pub fn min_hold(self, time: Duration) -> Self {
        self.each(|lock| lock.min_hold(time))
    }

    #[must_use]
    pub fn once_per(self, period: Duration) -> Self {
        self.each(|lock| lock.once_per(period))
    }

    #[must_use]
    pub fn retry_every(self, pause: Duration) -> Self {
        self.each(|lock| lock.retry_every(pause))
    }

    fn each(self, how: impl Fn(Lock) -> Lock) -> Self {
        match self.0 {
            State::Lock(lock) => Call(State::Lock(lock.each(how))),
            other => Call(other),
        }
    }
}

pub async fn enter<L: Takes>(call: Call<L>, on_loss: OnLoss) -> Result<Scope<L::Guard>> {
    let guard = match call.0 {
        State::Lock(lock) => lock.take().await?,
        State::Off { keys, fenced } => L::off(keys, fenced),
        State::Failed(error) => return Err(error),
    };
    Scope::new(guard, on_loss)
}

pub fn enter_blocking<L: Takes>(call: Call<L>, on_loss: OnLoss) -> Result<Scope<L::Guard>> {
    let guard = match call.0 {
        State::Lock(lock) => lock.take_blocking()?,
        State::Off { keys, fenced } => L::off(keys, fenced),
        State::Failed(error) => return Err(error),
    };
    Scope::new(guard, on_loss)
}

/// Takes the guard out for the body to have.
pub fn guarded<G: AnyGuard>(entered: Result<Scope<G>>) -> Result<(Scope<G>, G)> {
    let mut scope = entered?;
    match scope.take_guard() {
        Some(guard) => Ok((scope, guard)),
        None => Err(Error::Closed),
    }
}
