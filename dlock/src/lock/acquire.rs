//! Acquiring a lock: from a `Lock` to its guard.

use std::slice;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::Lock;
use crate::blocking::{block_for, block_on};
#[cfg(feature = "test-util")]
use crate::engine::Inline;
use crate::engine::call_deadline::Deadline;
use crate::engine::{Grant, Message, Request};
use crate::error::{Error, Result};
use crate::lock::call::Call;
use crate::lock::guard::Guard;
use crate::lock::scope::{self, End, OnLoss, Scope};
use crate::observe::Waiting;
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;
use crate::spec::options::LockOptions;
use crate::spec::wait::Wait;
use crate::status::holder::Stage;
use crate::switch;

/// A blocking call keeps its own time as well: the engine's may be on a runtime that is stuck.
const GRACE: Duration = Duration::from_secs(1);

impl Lock {
    /// Acquires the lock, waiting at most [`timeout`](Lock::timeout).
    ///
    /// # Errors
    /// [`Error::Timeout`] when the wait is over, [`Error::Reentrant`] if the caller already runs
    /// under this lock, [`Error::Unavailable`] if the server does not answer in that time, and
    /// [`Error::InvalidKey`] if the locker's [`KeyScheme`](crate::KeyScheme) has no lock for this
    /// key.
    ///
    /// # Cancel safety
    /// Dropping the future at any point leaves nothing held and nothing queued.
    pub async fn acquire(&self) -> Result<Guard> {
        let deadline = self.core.engine().deadline(self.wait);
        let call = self.begin();
        self.end(call, deadline, self.take_or_say_why(deadline).await)
    }

    /// Acquires the lock if it is free, in one try that never waits for a holder. Returns `None` if
    /// somebody else holds it.
    ///
    /// # Errors
    /// Those of [`acquire`](Lock::acquire), except `Timeout`. [`Error::Unavailable`] if the server
    /// does not answer within 5 s.
    ///
    /// # Cancel safety
    /// The same as [`acquire`](Lock::acquire).
    pub async fn try_acquire(&self) -> Result<Option<Guard>> {
        let deadline = self.core.engine().deadline(Wait::NoWait);
        let call = self.begin();
        none_if_busy(self.end(call, deadline, self.take(deadline).await))
    }

    /// Acquires the lock, runs the body under it, and releases the lock.
    ///
    /// If the lock is lost, dlock drops the body at its next await. If the body panics or the
    /// future is dropped, dlock releases the lock in the background. Inside the body, acquiring the
    /// same key returns [`Error::Reentrant`] at once. `run` does not know whether a body that
    /// returned has succeeded: with [`once_per`](Lock::once_per), it never completes the period.
    ///
    /// # Errors
    /// Those of [`acquire`](Lock::acquire), and [`Error::Lost`] if the lock was lost before the
    /// body ended.
    ///
    /// # Cancel safety
    /// The same as the body. Nothing stays locked.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> dlock::Result<()> {
    /// let locker = dlock::Locker::connect("memory:docs-run").await?;
    /// // An async closure; a closure that returns an async block (`|_| async { … }`) is refused
    /// // where the future must be `Send`, as "not general enough".
    /// let sum = locker.lock("sum").run(async |_| 1 + 1).await?;
    /// assert_eq!(sum, 2);
    /// # Ok(()) }
    /// ```
    pub async fn run<T>(&self, body: impl AsyncFnOnce(&Guard) -> T) -> Result<T> {
        let scope = Scope::new(self.acquire().await?, OnLoss::Cancel)?;
        let output = match scope.guard() {
            Some(guard) => scope.poll_body(body(guard)).await,
            None => None,
        };
        result(scope.finish(output).await)
    }

    /// Does the same as [`acquire`](Lock::acquire), and blocks the thread instead of awaiting.
    /// Callable from a plain thread, inside a runtime of any flavour, and while unwinding.
    ///
    /// # Errors
    /// Those of [`acquire`](Lock::acquire), and [`Error::Config`] if called inside the same
    /// current-thread runtime that the locker was told to run on.
    pub fn acquire_blocking(&self) -> Result<Guard> {
        self.take_blocking(self.wait, |deadline| self.take_or_say_why(deadline))
    }

    /// Does the same as [`try_acquire`](Lock::try_acquire), and blocks the thread instead of
    /// awaiting.
    ///
    /// # Errors
    /// Those of [`try_acquire`](Lock::try_acquire) and
    /// [`acquire_blocking`](Lock::acquire_blocking).
    pub fn try_acquire_blocking(&self) -> Result<Option<Guard>> {
        none_if_busy(self.take_blocking(Wait::NoWait, |deadline| self.take(deadline)))
    }

    /// Does the same as [`run`](Lock::run), and blocks the thread instead of awaiting. A sync body
    /// cannot be dropped: it checks [`Guard::is_lost`], or learns of a loss after it has ended.
    ///
    /// # Errors
    /// Those of [`run`](Lock::run) and [`acquire_blocking`](Lock::acquire_blocking).
    pub fn run_blocking<T>(&self, body: impl FnOnce(&Guard) -> T) -> Result<T> {
        let guard = self.acquire_blocking()?;
        let scope = Scope::new(guard, OnLoss::Report)?;
        let output = scope.guard().map(|guard| scope.call(|| body(guard)));
        result(scope.finish_blocking(output))
    }

    fn take_blocking<F>(&self, wait: Wait, take: impl FnOnce(Deadline) -> F) -> Result<Guard>
    where
        F: Future<Output = Result<Guard>>,
    {
        self.core.may_block()?;
        let deadline = self.core.engine().deadline(wait);
        #[cfg(feature = "test-util")]
        let _blocks = self.core.engine().blocks();
        let call = self.begin();
        let taken = block_until(deadline, take(deadline));
        let stuck = || Err(self.core.does_not_run().about(&self.key));
        self.end(call, deadline, taken.unwrap_or_else(stuck))
    }

    /// The caller wants the lock from now on.
    fn begin(&self) -> Call<'_> {
        Call::begin(self.core.engine().telemetry(), slice::from_ref(self))
    }

    /// The caller has its answer: it has the guard, or learns why not.
    fn end(&self, call: Call<'_>, deadline: Deadline, taken: Result<Guard>) -> Result<Guard> {
        match taken {
            Ok(guard) => Ok(guard.claimed(&self.label, deadline.waited())),
            Err(error) => {
                #[cfg(feature = "test-util")]
                if let Some(engine) = self.core.engine().for_tests() {
                    self.note_refused(engine);
                }
                let (waited, patient) = (deadline.waited(), deadline.is_patient());
                call.refused(self.subject(), waited, patient, &error);
                Err(error)
            }
        }
    }

    /// Has it in the history that the caller does not get this lock.
    #[cfg(feature = "test-util")]
    pub(crate) fn note_refused(&self, engine: &Inline) {
        engine.note_refused(&self.key, self.mode);
    }

    /// Takes the lock, or a permit. The guard is nobody's yet, see [`Guard::claimed`].
    pub(crate) async fn take(&self, deadline: Deadline) -> Result<Guard> {
        #[cfg(feature = "test-util")]
        if let Some(error) = self.core.engine().for_tests().and_then(Inline::planned_failure) {
            return Err(error.about(&self.key));
        }
        let taken = match self.permits {
            None => self.request(deadline).await,
            // Few want a semaphore, and the future of a plain lock is to stay small.
            Some(n) => Box::pin(self.take_one_of(n, deadline)).await,
        };
        taken.map_err(|error| error.about(&self.key))
    }

    /// The same for those who are told why they do not get it.
    async fn take_or_say_why(&self, deadline: Deadline) -> Result<Guard> {
        match self.take(deadline).await {
            Err(error) if self.may_be_done(&error) => Err(Box::pin(self.done_or(error)).await),
            taken => taken,
        }
    }

    /// Returns `true` if what it was refused for may be that it is done for this period.
    pub(crate) fn may_be_done(&self, refused: &Error) -> bool {
        self.options.once_per.is_some()
            && matches!(refused, Error::Timeout { key, .. } if *key == self.key)
    }

    /// Whether nobody holds what it has waited for in vain: it is done for this period.
    pub(crate) async fn done_or(&self, mut error: Error) -> Error {
        let Ok(native) = &self.native else { return error };
        // What cannot be looked up stays what it was.
        let is_kept = self.core.is_kept(native).await.unwrap_or(false);
        if let Error::Timeout { stage, holder, .. } = &mut error
            && is_kept
        {
            (*stage, *holder) = (Stage::Done, None);
        }
        error
    }

    /// Takes the lock.
    pub(super) async fn request(&self, deadline: Deadline) -> Result<Guard> {
        if !switch::enabled() {
            return Ok(self.unlocked());
        }
        self.core.check_mode(self.mode)?;
        self.core.check_options(&self.options, self.mode)?;
        let native = self.native.clone()?;
        let engine = self.core.engine();
        if let Some(grant) = scope::is_under(engine.id(), self.family.as_ref().unwrap_or(&native)) {
            return self.again(grant);
        }
        let (reply, answer) = oneshot::channel();
        let id = engine.next_request();
        let lock_id = LockId { key: native, mode: self.mode };
        let request = Request {
            id,
            key: self.key.clone(),
            lock_id,
            family: self.family.clone().map(Box::new),
            #[cfg(feature = "test-util")]
            permits: self.permits.unwrap_or(1),
            patient: deadline.is_patient(),
            asked: deadline.asked().into(),
            end: deadline.end().map(Into::into),
            options: self.options.clone(),
            on_lost: self.on_lost.clone(),
            // What is only a part of a call is told of by the whole.
            waiting: Some(engine.telemetry())
                .filter(|_| deadline.is_patient() && !self.inner)
                .and_then(|telemetry| Waiting::here(telemetry, &self.label)),
            reply,
        };
        engine.send(Message::Acquire(Box::new(request)))?;
        let mut asking = Asking { lock: self, id: Some(id) };
        let answer = answer.await;
        asking.id = None;
        let guard = Guard::of(answer.unwrap_or(Err(Error::Closed))?, engine)?;
        Ok(guard.with_wait(self.wait))
    }
}

impl Lock {
    /// A guard of nothing: locking is switched off.
    pub(super) fn unlocked(&self) -> Guard {
        Guard::while_off(self.key.clone(), self.mode, self.options.fenced)
    }

    /// Another guard of what the caller runs under, if it may have one and still has the lock.
    pub(super) fn again(&self, grant: Arc<Grant>) -> Result<Guard> {
        if !self.core.engine().is_of_this_process() {
            // The child of a fork runs on in the parent's body, but not under its lock.
            return Err(Error::Closed);
        }
        if grant.is_lost() {
            return Err(grant.lost_info().map_or(Error::Closed, |info| info.clone().into()));
        }
        // A reader does not become a writer, and the holder of one permit among several is not alone.
        let alone = !grant.is_permit() || self.permits.is_some_and(|n| n > 1);
        let covered = alone && (grant.mode() == self.mode || grant.mode() == Mode::Exclusive);
        // A token is drawn only with a grant.
        let fenced = grant.fence.is_some() || !self.options.fenced;
        if !self.options.reentrant || !covered || !fenced {
            return Err(Error::Reentrant { key: self.key.clone() });
        }
        self.check_inner(grant.options())?;
        if !grant.share() {
            return Err(Error::Reentrant { key: self.key.clone() });
        }
        let engine = self.core.engine();
        if grant.keep_for(self.options.min_hold) {
            // An engine that has ended keeps nothing.
            let _ = engine.send(Message::Keep { hold: grant.id });
        }
        let mut guard = Guard::new(grant, Some(engine.clone())).with_wait(self.wait);
        if let Some(callback) = &self.on_lost {
            guard.tell_too(callback.clone());
        }
        Ok(guard)
    }

    /// An error if this asks for what only the first of those who share a grant can have.
    fn check_inner(&self, outer: &LockOptions) -> Result<()> {
        let own = &self.options;
        let what = if own.ttl.is_some() && own.ttl != outer.ttl {
            "ttl"
        } else if own.owner.is_some() && own.owner != outer.owner {
            "owner"
        } else if own.data.is_some() && own.data != outer.data {
            "data"
        } else if !own.auto_renew && outer.auto_renew {
            "auto_renew"
        } else {
            return Ok(());
        };
        Err(Error::config(format!(
            "lock \"{}\" is taken again under itself with another {what} than it has; leave {what} out \
             of the inner one, or give both the same",
            self.key
        )))
    }
}

/// Tells the engine when the caller goes before it has an answer.
struct Asking<'a> {
    lock: &'a Lock,
    id: Option<u64>,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            // An engine that is gone has forgotten it anyway.
            let _ = self.lock.core.engine().send(Message::Abandon(id));
        }
    }
}

/// Waits for the future's end, but no longer than until a moment after the deadline.
pub(crate) fn block_until<F: Future>(deadline: Deadline, future: F) -> Option<F::Output> {
    match deadline.end() {
        None => Some(block_on(future)),
        Some(_) => block_for(deadline.remaining() + GRACE, future),
    }
}

pub(crate) fn none_if_busy<G>(result: Result<G>) -> Result<Option<G>> {
    match result {
        Ok(guard) => Ok(Some(guard)),
        Err(Error::Timeout { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(crate) fn result<T>(end: End<T>) -> Result<T> {
    match end {
        End { lost: Some(lost), .. } => Err(lost),
        End { output: Some(output), .. } => Ok(output),
        End { output: None, .. } => Err(Error::Closed),
    }
}
