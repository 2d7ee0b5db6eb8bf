//! MultiGuard: several locks are held while it lives.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::blocking::block_for;
use crate::engine::{Engine, Grants};
use crate::error::{Error, Result};
use crate::lock::Lock;
use crate::lock::guard::Guard;
use crate::lock::join::join_all;
use crate::lock::scope::{self, AnyGuard, LONGEST_RELEASE};
use crate::spec::key::Key;
use crate::spec::mode::Mode;
use crate::status::lost::LostInfo;

/// Several held locks, which are held and lost as one. It is lost when any of them is lost.
///
/// Dropping it releases all of them in the background, as for [`Guard`].
#[must_use = "the locks are released at once when the guard is not kept: bind it to a name, as in \
              `let _guard = …` (`let _ = …` drops it at once), or use `run`"]
#[clippy::has_significant_drop]
pub struct MultiGuard {
    guards: Vec<Guard>,
    grants: Grants,
}

impl MultiGuard {
    pub(super) fn new(guards: Vec<Guard>) -> Self {
        let grants: Arc<[_]> = guards.iter().map(|guard| Arc::clone(guard.grant())).collect();
        MultiGuard { guards, grants: Grants::Many(grants) }
    }

    /// A guard of nothing: locking is switched off.
    pub(crate) fn unlocked(keys: Vec<Key>) -> Self {
        let unlocked = |key| Guard::while_off(key, Mode::Exclusive, false);
        MultiGuard::new(keys.into_iter().map(unlocked).collect())
    }

    /// The caller has them now, after this wait. `locks`: what they are of, in their order.
    pub(super) fn claimed(mut self, locks: &[Lock], waited: Duration) -> Self {
        let guards = std::mem::take(&mut self.guards).into_iter().zip(locks);
        self.guards =
            guards.map(|(guard, lock)| guard.claimed(lock.subject().label, waited)).collect();
        self
    }

    /// Returns the keys in the order in which they were acquired.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.guards.iter().map(Guard::key)
    }

    /// Releases all of the locks and waits for the server's confirmation, as [`Guard::release`]
    /// does.
    ///
    /// # Errors
    /// [`Error::Lost`] if one of the locks was lost before. The others are still released.
    ///
    /// # Cancel safety
    /// A release that has begun continues. If it has not begun, the drop does it.
    pub async fn release(self) -> Result<()> {
        let engine = self.engine().cloned();
        let releases = self.guards.into_iter().map(Guard::release);
        let released = join_all(engine.as_ref(), releases).await;
        released.into_iter().collect()
    }

    /// Does the same as [`release`](MultiGuard::release), and blocks the thread instead of
    /// awaiting.
    ///
    /// # Errors
    /// Those of [`release`](MultiGuard::release) and [`Guard::release_blocking`].
    pub fn release_blocking(self) -> Result<()> {
        self.engine().map_or(Ok(()), Engine::check_blocking)?;
        block_for(LONGEST_RELEASE, self.release()).unwrap_or(Err(Error::Closed))
    }

    fn engine(&self) -> Option<&Engine> {
        self.guards.first().and_then(Guard::engine)
    }

    /// Waits until one of the locks is lost, as [`Guard::lost`] does.
    pub fn lost(&self) -> impl Future<Output = LostInfo> + Send + 'static + use<> {
        self.grants.lost()
    }

    /// Returns `true` if one of the locks is lost, as far as this process can know. See
    /// [`Guard::is_lost`].
    pub fn is_lost(&self) -> bool {
        self.grants.is_lost()
    }

    /// Returns the shortest [`Guard::valid_for`] of all of the locks.
    pub fn valid_for(&self) -> Duration {
        self.guards.iter().map(Guard::valid_for).min().unwrap_or(Duration::MAX)
    }

    /// Asks the server whether all of the locks are held, as [`Guard::verify`] does.
    ///
    /// # Errors
    /// [`Error::Lost`] if one of them is not held.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn verify(&self) -> Result<()> {
        let verified = join_all(self.engine(), self.guards.iter().map(Guard::verify)).await;
        verified.into_iter().collect()
    }

    /// Runs a future while all of the locks are held, as [`Guard::protect`] does.
    ///
    /// # Errors
    /// [`Error::Lost`] if one of the locks was lost before the future ended.
    ///
    /// # Cancel safety
    /// The same as the future.
    pub async fn protect<F: Future>(&self, body: F) -> Result<F::Output> {
        scope::protect(&self.grants, body).await
    }
}

impl AnyGuard for MultiGuard {
    fn grants(&self) -> Grants {
        self.grants.clone()
    }

    fn release(self) -> impl Future<Output = Result<()>> + Send {
        MultiGuard::release(self)
    }

    fn release_blocking(self) -> Result<()> {
        MultiGuard::release_blocking(self)
    }

    fn another(&self) -> Option<Self> {
        let guards = self.guards.iter().map(AnyGuard::another).collect::<Option<_>>()?;
        Some(MultiGuard { guards, grants: self.grants.clone() })
    }
}

impl fmt::Debug for MultiGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MultiGuard").field("guards", &self.guards).finish_non_exhaustive()
    }
}
