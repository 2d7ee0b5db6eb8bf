//! What tests need: a locker in memory that they steer, [`assert_locked!`](crate::assert_locked), and checks
//! for a locker of one's own ([`conformance`](conformance())).
//!
//! With the feature `test-util`, best among the `dev-dependencies`. [The guide](crate::guide::testing) has an
//! example of each.

mod assert;
pub mod conformance;
mod history;
mod scoped;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

#[doc(hidden)]
pub use self::assert::assert_locked;
pub use self::conformance::conformance;
pub use self::history::{Event, What};
pub use self::scoped::Scoped;
pub(crate) use self::scoped::scoped;
use crate::backend::BackendInfo;
use crate::backend::lease::LeaseOptions;
use crate::engine::{Engine, Inline};
use crate::error::Error;
use crate::locker::Inner;
use crate::spec::key::IntoKey;
use crate::spec::mode::Mode;
use crate::spec::native::Naming;
use crate::spec::scheme::KeyScheme;
use crate::spec::wait::Wait;

/// How long [`Locker::lose`] waits for callbacks.
const CALLBACKS_TIME_MAX: Duration = Duration::from_secs(1);

/// A locker for tests: in memory, with everything that leases have and all modes, with a clock of its own.
///
/// It derefs to a real [`dlock::Locker`](crate::Locker), and [`locker`](Locker::locker) gives one to code
/// that wants to own it. What belongs to it needs neither a database nor a thread: a call decides at once,
/// so tests may run in parallel, each with a locker of its own. Clones are the same locker.
///
/// # Its clock
/// All that takes time here (waits, `ttl`, `min_hold`, `once_per`, [`delay`](Locker::delay)) goes by the
/// clock of the tokio runtime in which the locker is made or first used, plus what was
/// [added](Locker::advance). So under `#[tokio::test(start_paused = true)]` a timeout of an hour takes no
/// time. A *blocking* call goes by real time: its thread cannot move a paused clock. See
/// [`skip_waits`](Locker::skip_waits).
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
    /// A locker whose locks nobody else has.
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

    /// The real locker that this is, for code that wants to own one.
    pub fn locker(&self) -> crate::Locker {
        self.locker.clone()
    }

    /// Makes this the default locker of this test, until the guard is dropped: for `#[locked]`,
    /// [`registry::default`](crate::registry::default) and [`registry::get`](crate::registry::get) on this
    /// thread and, inside a tokio runtime, in everything that runs on that runtime: spawned tasks,
    /// `spawn_blocking`, all workers. Other tests have others: `#[tokio::test]` makes a runtime for each.
    ///
    /// Not seen by a thread that the code starts itself: call this there too. Tests that share one runtime
    /// use [`scope`](Locker::scope). The latest one that is installed counts. It comes before what the
    /// process has installed by [`init`](crate::init).
    pub fn install_scoped(&self) -> Scoped {
        self.install_scoped_as(crate::locker::registry::DEFAULT)
    }

    /// The same by another name than "default": for `#[locked(locker = "billing")]`.
    pub fn install_scoped_as(&self, name: &str) -> Scoped {
        Scoped::new(name, self.locker())
    }

    /// Runs a future with this as its default locker, on whatever thread it is polled. What it spawns is
    /// not in the scope: wrap that in `scope` too.
    ///
    /// # Cancel safety
    /// As the future's.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let dlock = dlock::testing::Locker::new();
    /// dlock.scope(async { assert!(dlock::registry::default().is_ok()) }).await;
    /// # }
    /// ```
    pub async fn scope<F: Future>(&self, body: F) -> F::Output {
        scoped::scope(self, body).await
    }

    /// Somebody else has the lock from now on, until [`free`](Locker::free). If somebody holds it here, that
    /// holder keeps it; when it is released, nobody here gets it. Of [`permits`](crate::Lock::permits), all
    /// are taken.
    pub fn busy(&self, key: impl IntoKey) {
        self.set_busy(key, true);
    }

    /// Whoever had the lock by [`busy`](Locker::busy) releases it: the first who waits gets it.
    pub fn free(&self, key: impl IntoKey) {
        self.set_busy(key, false);
    }

    fn set_busy(&self, key: impl IntoKey, busy: bool) {
        let lock = self.locker.lock(key);
        if let Ok(native) = lock.native() {
            self.inline.set_busy(native, lock.key(), busy);
        }
    }

    /// Whoever holds the lock loses it now, as if the database had ended the session: all who share it, and
    /// all who have a permit. Returns how many lost it. Waits until their
    /// [`on_lost`](crate::Lock::on_lost) callbacks have run, a second at most.
    pub fn lose(&self, key: impl IntoKey) -> usize {
        let lock = self.locker.lock(key);
        let lost = lock.native().as_ref().map_or(0, |native| self.inline.lose(native));
        self.locker.engine().wait_for_callbacks(CALLBACKS_TIME_MAX);
        lost
    }

    /// The next call that takes a lock, or asks this locker something ([`ping`](crate::Locker::ping),
    /// [`Guard::verify`](crate::Guard::verify), …), fails with this. Several are used in their order.
    pub fn fail_next(&self, error: Error) {
        self.inline.fail_next(error);
    }

    /// From now on, each answer takes this long, as with a slow database: of an acquire, a release that is
    /// waited for, a question. A call whose time ends before is [`Error::Unavailable`].
    pub fn delay(&self, delay: Duration) {
        self.inline.delay(delay);
    }

    /// Sets the locker's clock forward: waits time out, leases without renewal run out, periods of
    /// [`once_per`](crate::Lock::once_per) and [`min_hold`](crate::Lock::min_hold) pass. tokio's clock stays:
    /// under a paused clock, await `tokio::time::sleep` to move both.
    pub fn advance(&self, time: Duration) {
        self.inline.advance(time);
    }

    /// Whether a call that would have to wait is refused at once, and the clock set forward by its timeout.
    /// For tests of sync code, whose waits take real time otherwise. A wait without an end waits.
    pub fn skip_waits(&self, skip: bool) {
        self.inline.skip_waits(skip);
    }

    /// What has happened to the locks of this locker, in order. Of each call it has one
    /// [`Taken`](What::Taken) or [`Refused`](What::Refused), and before that a [`Waited`](What::Waited) if
    /// it had to wait; of each lock that was taken, a [`Released`](What::Released) or a
    /// [`Lost`](What::Lost). What [`busy`](Locker::busy) does is not in it.
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
