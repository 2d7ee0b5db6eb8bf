//! The clock of a locker for tests: that of the runtime it is used in, which a test may have paused,
//! and what the test has added to it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

/// The clocks there are, by number.
static CLOCKS: Mutex<BTreeMap<u64, Weak<TestClock>>> = Mutex::new(BTreeMap::new());

/// The time on the clock of that number.
pub(crate) fn test_clock(id: u64) -> Option<Instant> {
    let clock = lock(&CLOCKS).get(&id).and_then(Weak::upgrade);
    clock.map(|clock| clock.now())
}

pub(super) struct TestClock {
    pub(super) id: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Whose clock it follows; without one, the standard library's.
    runtime: Option<Handle>,
    /// By how much it is ahead of that.
    ahead: Duration,
    /// Since when it is looked whether that clock stands still: by the real clock, and by that one.
    watched: Option<(Instant, Instant)>,
}

impl TestClock {
    pub(super) fn new() -> Arc<Self> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let id = LAST.fetch_add(1, Ordering::Relaxed) + 1;
        let clock = Arc::new(TestClock { id, state: Mutex::default() });
        lock(&CLOCKS).insert(id, Arc::downgrade(&clock));
        clock
    }

    pub(super) fn now(&self) -> Instant {
        lock(&self.state).now()
    }

    /// Sets it forward.
    pub(super) fn advance(&self, time: Duration) {
        let mut state = lock(&self.state);
        state.ahead = state.ahead.saturating_add(time);
    }

    /// Follows the clock of this runtime, unless it follows one already; returns `true` if it does
    /// from now on. It never goes back.
    pub(super) fn follow(&self, runtime: &Handle) -> bool {
        let mut state = lock(&self.state);
        let first = state.runtime.is_none();
        if first {
            state.change(Some(runtime.clone()));
        }
        first
    }

    /// Follows the real clock again.
    pub(super) fn unfollow(&self) {
        lock(&self.state).change(None);
    }

    pub(super) fn follows_runtime(&self) -> bool {
        lock(&self.state).runtime.is_some()
    }

    /// What the clock that it follows shows at this time.
    pub(super) fn behind(&self, at: Instant) -> Instant {
        at.checked_sub(lock(&self.state).ahead).unwrap_or(at)
    }

    /// Goes on by the real clock where the runtime's stands still: a thread is blocked, which the runtime
    /// does not know. To be called again and again meanwhile.
    pub(super) fn go_on(&self) {
        let mut state = lock(&self.state);
        let (real, followed) = (Instant::now(), state.read());
        if let Some((real_before, before)) = state.watched
            && before == followed
        {
            state.ahead += real.saturating_duration_since(real_before);
        }
        state.watched = Some((real, followed));
    }

    /// No thread is blocked any more.
    pub(super) fn stop_going_on(&self) {
        lock(&self.state).watched = None;
    }
}

impl State {
    fn now(&self) -> Instant {
        let now = self.read();
        now.checked_add(self.ahead).unwrap_or(now)
    }

    fn read(&self) -> Instant {
        let ends = Handle::try_current().is_err_and(|error| error.is_thread_local_destroyed());
        match &self.runtime {
            // A thread that is ending cannot enter a runtime any more.
            Some(runtime) if !ends => {
                let _entered = runtime.enter();
                tokio::time::Instant::now().into_std()
            }
            _ => Instant::now(),
        }
    }

    fn change(&mut self, runtime: Option<Handle>) {
        let before = self.now();
        self.runtime = runtime;
        self.watched = None;
        self.ahead += before.saturating_duration_since(self.now());
    }
}

impl Drop for TestClock {
    fn drop(&mut self) {
        lock(&CLOCKS).remove(&self.id);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
