//! What wakes an engine for tests when something is due: a task on the runtime whose clock it follows,
//! so that a paused clock moves on to that, and a thread where there is no runtime, or where a caller
//! blocks it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::sleep_until;

use super::Inline;
use crate::engine::unwind::catch_panic;

#[derive(Default)]
pub(super) struct Ticker {
    state: Mutex<State>,
    /// For the thread,
    changed: Condvar,
    /// and for the task.
    notify: Notify,
}

#[derive(Default)]
struct State {
    /// When the next thing is due.
    next: Option<Instant>,
    has_thread: bool,
    /// How often something has changed.
    changes: u64,
    /// Nobody has the engine any more.
    ended: bool,
    /// How many threads are blocked by calls.
    blocked: usize,
    /// The last runtime had no timers.
    has_no_timers: bool,
}

impl Ticker {
    /// The next thing is due then.
    pub(super) fn set(&self, next: Option<Instant>, engine: &Inline) {
        let mut state = self.lock();
        state.next = next;
        self.wake(state, engine);
    }

    pub(super) fn block(&self, engine: &Inline) {
        let mut state = self.lock();
        state.blocked += 1;
        engine.clock.go_on();
        self.wake(state, engine);
    }

    pub(super) fn unblock(&self, engine: &Inline) {
        let mut state = self.lock();
        state.blocked -= 1;
        if state.blocked == 0 {
            engine.clock.stop_going_on();
        }
    }

    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
        self.notify.notify_one();
    }

    fn wake(&self, mut state: MutexGuard<'_, State>, engine: &Inline) {
        let by_thread = state.blocked > 0 || !engine.clock.follows_runtime();
        let starts = by_thread && state.next.is_some() && !state.has_thread;
        state.has_thread |= starts;
        state.changes += 1;
        drop(state);
        if starts {
            engine.ticker_thread();
        }
        self.changed.notify_all();
        self.notify.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has the clock follow the runtime that this is called in, unless it follows one already.
pub(super) fn follow(engine: &Inline) {
    if let Ok(runtime) = Handle::try_current()
        && !engine.ticker.lock().has_no_timers
        && engine.clock.follow(&runtime)
    {
        let (engine, ticker) = (engine.me.clone(), Arc::clone(&engine.ticker));
        let following = Following(engine.clone());
        drop(runtime.spawn(async move {
            let _following = following;
            run(engine, &ticker).await;
        }));
    }
}

/// The runtime still runs.
struct Following(Weak<Inline>);

impl Drop for Following {
    fn drop(&mut self) {
        if let Some(engine) = self.0.upgrade() {
            engine.clock.unfollow();
            let next = engine.ticker.lock().next;
            engine.ticker.set(next, &engine);
        }
    }
}

async fn run(engine: Weak<Inline>, ticker: &Ticker) {
    loop {
        let Some(alive) = engine.upgrade() else { return };
        let next = alive.tick().map(|at| alive.clock.behind(at));
        drop(alive);
        let due = async {
            match next {
                Some(at) => sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = ticker.notify.notified() => {}
            // A runtime without timers panics.
            rung = catch_panic(due) => if rung.is_err() {
                ticker.lock().has_no_timers = true;
                return;
            },
        }
    }
}

/// Runs the thread.
fn run_in_real_time(engine: &Weak<Inline>, ticker: &Ticker) {
    loop {
        let Some(alive) = engine.upgrade() else { return };
        let state = ticker.lock();
        let (blocked, changes) = (state.blocked > 0, state.changes);
        drop(state);
        if blocked {
            alive.clock.go_on();
        }
        let by_thread = blocked || !alive.clock.follows_runtime();
        let next = if by_thread { alive.tick() } else { None };
        let left = next.map(|at| at.saturating_duration_since(alive.clock.now()));
        // Its end is told here.
        drop(alive);
        let unchanged = |state: &mut State| !state.ended && state.changes == changes;
        let left = left.unwrap_or(IDLE_TIME_MAX);
        let waited = ticker.changed.wait_timeout_while(ticker.lock(), left, unchanged);
        if waited.map_or(true, |(state, _)| state.ended) {
            return;
        }
    }
}

/// With nothing to do, the thread looks no more often.
const IDLE_TIME_MAX: Duration = Duration::from_secs(3600);

/// Starts the thread.
pub(super) fn start(engine: Weak<Inline>, ticker: Arc<Ticker>) {
    let run = move || run_in_real_time(&engine, &ticker);
    if let Err(error) = thread::Builder::new().name("dlock-testing".into()).spawn(run) {
        tracing::error!(target: "dlock", %error,
            "the thread of a locker for tests cannot be started; blocking waits do not end");
    }
}
