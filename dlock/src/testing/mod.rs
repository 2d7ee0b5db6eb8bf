//! Tools for tests: a locker in memory that the test controls,
//! [`assert_locked!`](crate::assert_locked), and checks for a locker with your own set-up
//! ([`conformance`](conformance())).
//!
//! They need the feature `test-util`, which is best enabled under `dev-dependencies`. [The
//! guide](crate::guide::testing) has an example of each.

mod assert;
pub mod conformance;
mod history;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

#[doc(hidden)]
pub use self::assert::assert_locked;
pub use self::conformance::conformance;
pub use self::history::{Event, What};
use crate::backend::BackendInfo;
use crate::backend::lease::LeaseOptions;
use crate::engine::{Engine, Inline};
use crate::error::Error;
use crate::locker::core::Inner;
use crate::locker::registry::DEFAULT;
use crate::locker::scoped;
pub use crate::locker::scoped::Scoped;
use crate::spec::key::IntoKey;
use crate::spec::mode::Mode;
use crate::spec::native::Naming;
use crate::spec::scheme::KeyScheme;
use crate::spec::wait::Wait;

/// How long [`Locker::lose`] waits for callbacks.
const CALLBACKS_TIME_MAX: Duration = Duration::from_secs(1);

/// A locker for tests: in memory, with all features of leases and all modes, and with a clock of
/// its own.
///
/// It derefs to a real [`dlock::Locker`](crate::Locker). For code that needs to own one,
/// [`locker`](Locker::locker) returns it. This locker needs neither a database nor a thread, and
/// each call decides at once. So tests may run in parallel, each with a locker of its own. Clones
/// are the same locker.
///
/// # Its clock
/// All times of this locker (waits, `ttl`, `min_hold`, `once_per`, [`delay`](Locker::delay)) follow
/// the clock of the tokio runtime in which the locker is made or first used, plus the time that was
/// [added](Locker::advance). So under `#[tokio::test(start_paused = true)]` a timeout of one hour
/// takes no time. A *blocking* call follows real time, because its thread cannot move a paused
/// clock. See [`skip_waits`](Locker::skip_waits).
///
/// # Examples
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// #[dlock::locked(key = "user:<id>", timeout = 10)]
/// async fn rename(id: i64) -> dlock::Result<()> {
///     Ok(())
/// }
///
/// # tokio::time::pause();
/// let dlock = dlock::testing::Locker::new();
/// let _default = dlock.install_scoped();
/// rename(7).await.unwrap();
///
/// dlock.busy("user:7");
/// assert!(rename(7).await.unwrap_err().is_timeout()); // at once, where the clock is paused
/// # }
/// ```
#[derive(Clone)]
pub struct Locker {
    locker: crate::Locker,
    inline: Arc<Inline>,
}

impl Locker {
    /// Creates a locker whose locks are held by nobody else.
    pub fn new() -> Self {
        let (engine, inline) = Engine::inline();
        let about = BackendInfo {
            label: "testing".into(),
            naming: Naming::Name,
            modes: &Mode::ALL,
            leases: Some(LeaseOptions::default()),
            fences: true,
            explain: Box::new(|_| "-- testing: there is nothing to ask but this test".into()),
        };
        let locker = crate::Locker::from_inner(Inner {
            engine,
            about,
            scheme: KeyScheme::default(),
            namespace: "".into(),
            wait: Wait::DEFAULT,
            retry_every: None,
            url: None,
        });
        Locker { locker, inline }
    }

    /// Returns the real locker behind this one, for code that needs to own it.
    pub fn locker(&self) -> crate::Locker {
        self.locker.clone()
    }

    /// Makes this the default locker of this test until the guard is dropped. It applies to
    /// `#[locked]`, [`registry::default`](crate::registry::default) and
    /// [`registry::get`](crate::registry::get) on this thread and, inside a tokio runtime, in
    /// everything that runs on that runtime: spawned tasks, `spawn_blocking`, all workers. Other
    /// tests have other runtimes, because `#[tokio::test]` makes one for each test.
    ///
    /// A thread that the code starts itself does not see it: call this there too. Tests that share
    /// one runtime use [`scope`](Locker::scope). The locker that was installed last counts. It
    /// comes before a locker that the process has installed with [`init`](crate::init).
    pub fn install_scoped(&self) -> Scoped {
        self.install_scoped_as(DEFAULT)
    }

    /// Makes this the locker with this name, as [`install_scoped`](Locker::install_scoped) does for
    /// "default": for `#[locked(locker = "billing")]`.
    pub fn install_scoped_as(&self, name: &str) -> Scoped {
        Scoped::new(name, self.locker())
    }

    /// Runs a future with this as its default locker, on any thread that polls it. Tasks that the
    /// future spawns are not in the scope: wrap them in `scope` too.
    ///
    /// # Cancel safety
    /// The same as the future.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let dlock = dlock::testing::Locker::new();
    /// dlock.scope(async { assert!(dlock::registry::default().is_ok()) }).await;
    /// # }
    /// ```
    pub async fn scope<F: Future>(&self, body: F) -> F::Output {
        scoped::scope(DEFAULT, &self.locker, body).await
    }

    /// Makes somebody else hold the lock until [`free`](Locker::free). A holder in this test keeps
    /// the lock. When that holder releases it, nobody in this test gets it. Of
    /// [`permits`](crate::Lock::permits), all are taken.
    pub fn busy(&self, key: impl IntoKey) {
        self.set_busy(key, true);
    }

    /// Releases the lock that [`busy`](Locker::busy) has taken. The first waiter gets it.
    pub fn free(&self, key: impl IntoKey) {
        self.set_busy(key, false);
    }

    fn set_busy(&self, key: impl IntoKey, busy: bool) {
        let lock = self.locker.lock(key);
        if let Ok(native) = lock.native() {
            self.inline.set_busy(native, lock.key(), busy);
        }
    }

    /// Makes all holders lose the lock now, as if the database had ended their session: all that
    /// share it, and all that have a permit. Returns how many lost it. Waits at most one second
    /// until their [`on_lost`](crate::Lock::on_lost) callbacks have run.
    pub fn lose(&self, key: impl IntoKey) -> usize {
        let lock = self.locker.lock(key);
        let lost = lock.native().as_ref().map_or(0, |native| self.inline.lose(native));
        self.locker.core().engine().wait_for_callbacks(CALLBACKS_TIME_MAX);
        lost
    }

    /// Makes the next call fail with this error: one that takes a lock, or asks this locker
    /// something ([`ping`](crate::Locker::ping), [`Guard::verify`](crate::Guard::verify), …).
    /// Several errors are used in their order.
    pub fn fail_next(&self, error: Error) {
        self.inline.fail_next(error);
    }

    /// Makes each answer take this long from now on, as with a slow database: the answer to an
    /// acquire, to an awaited release, and to a query. A call whose time ends before that returns
    /// [`Error::Unavailable`].
    pub fn delay(&self, delay: Duration) {
        self.inline.delay(delay);
    }

    /// Sets the locker's clock forward. Waits time out, leases without renewal expire, and periods
    /// of [`once_per`](crate::Lock::once_per) and [`min_hold`](crate::Lock::min_hold) pass. tokio's
    /// clock does not move: under a paused clock, await `tokio::time::sleep` to move both.
    pub fn advance(&self, time: Duration) {
        self.inline.advance(time);
    }

    /// Sets whether a call that would have to wait is refused at once, and the clock set forward by
    /// its timeout. Use it in tests of sync code, whose waits otherwise take real time. A wait
    /// without a timeout still waits.
    pub fn skip_waits(&self, skip: bool) {
        self.inline.skip_waits(skip);
    }

    /// Returns the events of the locks of this locker, in order. Each call has one
    /// [`Taken`](What::Taken) or [`Refused`](What::Refused), and before that a
    /// [`Waited`](What::Waited) if it had to wait. Each lock that was taken has a
    /// [`Released`](What::Released) or a [`Lost`](What::Lost). What [`busy`](Locker::busy) does is
    /// not included.
    pub fn history(&self) -> Vec<Event> {
        self.inline.history()
    }
}

impl Default for Locker {
    fn default() -> Self {
        Locker::new()
    }
}

impl Deref for Locker {
    type Target = crate::Locker;

    fn deref(&self) -> &crate::Locker {
        &self.locker
    }
}

impl From<&Locker> for crate::Locker {
    fn from(testing: &Locker) -> Self {
        testing.locker()
    }
}

impl std::fmt::Debug for Locker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("testing::Locker").finish_non_exhaustive()
    }
}
