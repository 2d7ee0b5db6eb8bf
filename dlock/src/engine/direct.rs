//! What a process can decide alone is decided by the caller's own thread: that another task here has the
//! key, that a caller stands in line behind it, that the lock passes to the next one. The engine's
//! task is not woken for it.
//!
//! Callers and the engine share the engine's state behind a lock. The engine holds it for one turn, in
//! which nothing is waited for. A caller never waits for it: where it cannot have it at once, where
//! the database has to be asked, or where a message is under way that came first, it sends a message
//! as for everything else. So the order in which one caller asks is the order in which it is served.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant as StdInstant};

use tokio::time::Instant;

use super::executor::Executor;
use super::message::Message;
use super::turns::Turns;

/// Clocks that differ by more are not one.
const CLOCK_DIFFERENCE_MAX: Duration = Duration::from_millis(1);

/// A caller's way to the state of its engine.
#[derive(Default)]
pub(super) struct Direct(OnceLock<Weak<dyn Decide>>);

/// Decides what can be decided at once.
trait Decide: Send + Sync {
    /// Returns the message if it is to be sent.
    fn decide(&self, message: Message) -> Option<Message>;
}

impl Direct {
    /// Returns the message if it is to be sent: what it asks for is not decided yet.
    pub(super) fn decide(&self, message: Message) -> Option<Message> {
        if !matches!(message, Message::Acquire(_) | Message::Release { .. }) {
            return Some(message);
        }
        match self.0.get().and_then(Weak::upgrade) {
            Some(engine) => engine.decide(message),
            None => Some(message),
        }
    }

    /// Runs the engine until it is to end, and lets callers decide meanwhile what they can.
    pub(super) async fn run<E: Executor>(&self, turns: Turns<E>) -> (Turns<E>, bool) {
        let state = State { turns, engine: None, is_on_real_clock: true };
        let owner = Owner(Arc::new(Shared(Mutex::new(Some(state)))));
        let weak = Arc::downgrade(&owner.0);
        let _ = self.0.set(weak);
        poll_fn(|cx| owner.0.poll(cx)).await
    }
}

struct State<E> {
    turns: Turns<E>,
    /// Wakes the engine's task.
    engine: Option<Waker>,
    /// The engine's runtime has the clock that everybody has.
    is_on_real_clock: bool,
}

/// The state of an engine, for its task and its callers; `None` when it has ended.
struct Shared<E>(Mutex<Option<State<E>>>);

impl<E> Shared<E> {
    fn lock(&self) -> MutexGuard<'_, Option<State<E>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The engine's task. However it ends, the state goes with it, not with a caller who looks at it.
struct Owner<E>(Arc<Shared<E>>);

impl<E> Drop for Owner<E> {
    fn drop(&mut self) {
        let state = self.0.lock().take();
        drop(state);
    }
}

impl<E: Executor> Shared<E> {
    /// Takes turns as long as there is something to do.
    fn poll(&self, cx: &mut Context<'_>) -> Poll<(Turns<E>, bool)> {
        let mut shared = self.lock();
        let patient = loop {
            let Some(state) = &mut *shared else { return Poll::Pending };
            let Poll::Ready(more) = pin!(state.turns.news()).poll(cx) else {
                if !state.engine.as_ref().is_some_and(|engine| engine.will_wake(cx.waker())) {
                    state.engine = Some(cx.waker().clone());
                }
                state.is_on_real_clock = is_on_real_clock();
                return Poll::Pending;
            };
            if !more {
                break false;
            }
            if let Some(patient) = state.turns.turn() {
                break patient;
            }
        };
        match shared.take() {
            Some(state) => Poll::Ready((state.turns, patient)),
            None => Poll::Pending,
        }
    }
}

impl<E: Executor> Decide for Shared<E> {
    fn decide(&self, message: Message) -> Option<Message> {
        let mut shared = match self.0.try_lock() {
            Ok(shared) => shared,
            Err(TryLockError::WouldBlock | TryLockError::Poisoned(_)) => return Some(message),
        };
        let Some(State { turns, engine: Some(engine), is_on_real_clock: true }) = &mut *shared
        else {
            return Some(message);
        };
        let Turns { actor, inbox, .. } = turns;
        actor.executor.new_turn();
        if !inbox.is_empty() || !actor.decides_alone(&message) || !is_on_real_clock() {
            return Some(message);
        }
        let before = actor.next_deadline();
        // It does not end by this.
        let _ = actor.receive(message);
        actor.confirm();
        actor.report_idle();
        let next = actor.next_deadline();
        let is_earlier = next.is_some_and(|next| before.is_none_or(|before| next < before));
        if is_earlier || actor.callers.granted.has_unconfirmed() {
            turns.be_due();
            let engine = engine.clone();
            drop(shared);
            engine.wake();
        }
        None
    }
}

/// Whether this thread reads the clock that everybody has: a test may have paused that of its runtime.
fn is_on_real_clock() -> bool {
    let (ours, real) = (Instant::now().into_std(), StdInstant::now());
    let difference = ours.saturating_duration_since(real).max(real.saturating_duration_since(ours));
    difference <= CLOCK_DIFFERENCE_MAX
}
