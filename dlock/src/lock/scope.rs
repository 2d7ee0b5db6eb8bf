//! The extent of a lock that is taken around a body of code: what runs under it, what happens to
//! that when the lock is lost, and how it is let go.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::blocking::block_for;
use crate::engine::{Grant, Grants};
use crate::error::{Error, Result};
use crate::spec::native::NativeKey;
use crate::status::lost::LostReason;

/// A release that takes longer than this is not worth a blocked thread.
pub(crate) const LONGEST_RELEASE: Duration = Duration::from_secs(60);

/// What a loss does to the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnLoss {
    /// The body is dropped at its next await. A sync body cannot be: it is as `Report` there.
    Cancel,
    /// The body goes on, and the loss is reported after it.
    Report,
    /// The body goes on, and its result is the result.
    Ignore,
}

/// How a body ended.
#[derive(Debug)]
pub(crate) struct End<R> {
    /// What the body returned, unless it was dropped.
    pub(crate) output: Option<R>,
    /// That the lock was lost, unless that is to be ignored.
    pub(crate) lost: Option<Error>,
}

/// What a body can run under: a guard, or several in one.
pub trait AnyGuard {
    /// The grants.
    fn grants(&self) -> Grants;
    /// Lets go, and waits for the server's confirmation.
    fn release(self) -> impl Future<Output = Result<()>> + Send;
    /// The same without `await`.
    fn release_blocking(self) -> Result<()>;
    /// Another guard of the same grants, unless they are over.
    fn another(&self) -> Option<Self>
    where
        Self: Sized;
}

/// A lock around a body.
#[derive(Debug)]
pub struct Scope<G> {
    guard: Option<G>,
    grants: Grants,
    on_loss: OnLoss,
}

impl<G: AnyGuard> Scope<G> {
    /// Begins it, unless the lock is lost already: no body starts under a lost lock.
    pub(crate) fn new(guard: G, on_loss: OnLoss) -> Result<Self> {
        let grants = guard.grants();
        match grants.lost_now() {
            Some(info) => Err(info.into()),
            None => Ok(Scope { guard: Some(guard), grants, on_loss }),
        }
    }

    /// Gives the guard away, once: to the body, which may release it, keep it or pass it on. Of what is
    /// to be done once in a period, the body has another one: how it ends must be known before the
    /// lock is let go.
    pub fn take_guard(&mut self) -> Option<G> {
        if self.grants.iter().any(|grant| grant.is_once()) {
            return self.guard.as_ref().and_then(G::another);
        }
        self.guard.take()
    }

    /// The body has done what was to be done once in a period. Inside another body under the same
    /// grant, that one's end decides; after a loss, somebody else's does.
    pub(crate) fn complete(&self) {
        let once = self.grants.iter().filter(|grant| grant.is_once() && !runs_under(grant));
        once.filter(|grant| !grant.is_lost()).for_each(|grant| grant.complete());
    }

    pub(crate) fn guard(&self) -> Option<&G> {
        self.guard.as_ref()
    }

    /// Runs the body as long as it may run, marked as running under the lock.
    pub(crate) async fn poll_body<F: Future>(&self, body: F) -> Option<F::Output> {
        match self.on_loss {
            OnLoss::Cancel => until_lost(&self.grants, body).await,
            OnLoss::Report | OnLoss::Ignore => Some(self.poll_to_end(body).await),
        }
    }

    /// Runs the body to its end, lost or not, marked as running under the lock.
    pub(crate) async fn poll_to_end<F: Future>(&self, body: F) -> F::Output {
        under(&self.grants, body).await
    }

    /// Lets go after the body, and waits for the server's confirmation.
    pub(crate) async fn finish<R>(mut self, output: Option<R>) -> End<R> {
        let lost = self.grants.is_lost();
        match self.guard.take() {
            Some(guard) => drop(guard.release().await),
            // The body has begun the release.
            None if self.grants.is_without_guards() => drop(self.grants.released().await),
            // The body has given the guard to somebody.
            None => {}
        }
        self.end(output, lost)
    }

    /// Runs a sync body, marked as running under the lock.
    pub(crate) fn call<R>(&self, body: impl FnOnce() -> R) -> R {
        let _mark = ScopeEntry::set(&self.grants);
        body()
    }

    /// [`Scope::finish`] without `await`.
    pub(crate) fn finish_blocking<R>(mut self, output: Option<R>) -> End<R> {
        let lost = self.grants.is_lost();
        match self.guard.take() {
            Some(guard) => drop(guard.release_blocking()),
            None if self.grants.is_without_guards() => {
                drop(block_for(LONGEST_RELEASE, self.grants.released()));
            }
            None => {}
        }
        self.end(output, lost)
    }

    /// Lets go after the body, and goes on. Not async, so that a future that ends with this is
    /// `Send` when the body's output is not.
    pub(crate) fn finish_background<R>(mut self, output: Option<R>) -> End<R> {
        let lost = self.grants.is_lost();
        drop(self.guard.take());
        self.end(output, lost)
    }

    /// What counts is whether the lock was lost before the body ended. A release that fails after
    /// that is logged, and no matter of the body's; but one that is told that there was nothing to
    /// release has learned of a loss.
    fn end<R>(self, output: Option<R>, lost: bool) -> End<R> {
        let info = self.grants.lost_info();
        let info = info.filter(|info| lost || info.reason == LostReason::NotHeld);
        let lost = match self.on_loss {
            OnLoss::Ignore => None,
            OnLoss::Cancel | OnLoss::Report => info.map(Error::from),
        };
        End { output, lost }
    }
}

/// Runs a future, marked as running under the lock; an error when the lock was lost before its end.
pub(crate) async fn protect<F: Future>(grants: &Grants, body: F) -> Result<F::Output> {
    match until_lost(grants, body).await {
        Some(output) if !grants.is_lost() => Ok(output),
        _ => Err(grants.lost_info().map_or(Error::Closed, Error::from)),
    }
}

/// Runs a future until it ends or the lock is lost, marked as running under the lock.
async fn until_lost<F: Future>(grants: &Grants, body: F) -> Option<F::Output> {
    let mut lost = pin!(grants.lost());
    let mut body = pin!(under(grants, body));
    let output = poll_fn(|cx| {
        // Asked at every poll: a process that was frozen must not go on with the body first.
        if grants.is_lost() || lost.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        body.as_mut().poll(cx).map(Some)
    });
    output.await
}

/// Marks every poll of the body as running under the lock.
async fn under<F: Future>(grants: &Grants, body: F) -> F::Output {
    let mut body = pin!(body);
    poll_fn(|cx| {
        let _mark = ScopeEntry::set(grants);
        body.as_mut().poll(cx)
    })
    .await
}

thread_local! {
    /// The locks that the code now running on this thread runs under.
    static UNDER: RefCell<Vec<Arc<Grant>>> = const { RefCell::new(Vec::new()) };
}

/// How many there were before.
struct ScopeEntry(usize);

impl ScopeEntry {
    fn set(grants: &Grants) -> Self {
        // A thread that is ending, where destructors of thread-locals run, has none any more: code
        // there is not marked.
        let before = UNDER.try_with(|under| {
            let mut under = under.borrow_mut();
            let before = under.len();
            under.extend(grants.iter().cloned());
            before
        });
        ScopeEntry(before.unwrap_or(0))
    }
}

impl Drop for ScopeEntry {
    fn drop(&mut self) {
        let _ = UNDER.try_with(|under| under.borrow_mut().truncate(self.0));
    }
}

/// The grant of this lock that the code now running on this thread runs under, if it does: then
/// waiting for it would be waiting for itself.
pub(crate) fn is_under(engine: u64, native: &NativeKey) -> Option<Arc<Grant>> {
    let is_it = |grant: &&Arc<Grant>| {
        grant.engine == engine && grant.is_of(native) && !grant.is_without_guards()
    };
    UNDER.try_with(|under| under.borrow().iter().find(is_it).cloned()).ok().flatten()
}

/// The keys that the code now running on this thread runs under, and whether each is lost.
#[cfg(feature = "test-util")]
pub(crate) fn all_under() -> Vec<(crate::spec::key::Key, bool)> {
    let state = |grant: &Arc<Grant>| (grant.key.clone(), grant.is_lost());
    let held = |grant: &&Arc<Grant>| !grant.is_without_guards();
    UNDER
        .try_with(|under| under.borrow().iter().filter(held).map(state).collect())
        .unwrap_or_default()
}

/// Whether the code now running on this thread runs under this very grant.
fn runs_under(grant: &Arc<Grant>) -> bool {
    UNDER
        .try_with(|under| under.borrow().iter().any(|one| Arc::ptr_eq(one, grant)))
        .unwrap_or(false)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use crate::lock::guard::Guard;
    use crate::spec::key::Key;

    /// What a body comes to whose release, already under way, ends like this.
    async fn released(reason: LostReason) -> End<u8> {
        let grant = Arc::new(Grant::unlocked(Key::from("k"), crate::Mode::Exclusive));
        let guard = Guard::new(Arc::clone(&grant), None);
        let mut scope = Scope::new(guard, OnLoss::Report).unwrap();
        drop(scope.take_guard());
        grant.remove_guard();
        let (end, _) = tokio::join!(scope.finish(Some(7)), async { grant.lose(reason) });
        end
    }

    #[tokio::test]
    async fn a_release_that_fails_is_no_matter_of_the_body() {
        let end = released(LostReason::SessionEnded).await;
        assert!(end.output == Some(7) && end.lost.is_none());
        let end = released(LostReason::NotHeld).await;
        assert!(end.lost.is_some_and(|error| error.is_lost()));
    }

    #[test]
    fn no_body_starts_under_a_lock_that_is_lost_already() {
        for on_loss in [OnLoss::Cancel, OnLoss::Report, OnLoss::Ignore] {
            let grant = Arc::new(Grant::unlocked(Key::from("k"), crate::Mode::Exclusive));
            grant.lose(LostReason::SessionEnded);
            let begun = Scope::new(Guard::new(grant, None), on_loss);
            assert!(begun.is_err_and(|error| error.is_lost()));
        }
    }
}
