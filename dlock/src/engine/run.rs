//! An engine at work: its task takes turns, and its callers decide meanwhile what needs neither the
//! database nor the task.
//!
//! Callers and the engine share the engine's state behind a lock. The engine holds it for one turn, in
//! which nothing is waited for. A caller never waits for it: where it cannot have it at once, where
//! the database has to be asked, or where a message is under way that came first, it sends a message
//! as for everything else. So the order in which one caller asks is the order in which it is served.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant as StdInstant};

use tokio::time::Instant;

use super::direct::{Decide, Direct};
use super::end::EngineEnd;
use super::executor::Executor;
use super::message::Message;
use super::turns::Turns;

/// Clocks that differ by more are not one.
const CLOCK_DIFFERENCE_MAX: Duration = Duration::from_millis(1);

/// Runs an engine until it is closed, or nobody has a handle of it any more.
pub(super) async fn run<E: Executor>(
    mut turns: Turns<E>,
    end: &EngineEnd,
    direct: &Direct<Message>,
) {
    // What callers do does not go into a file.
    let patient = if E::RECV_IS_RESUMED && turns.file.is_none() {
        let patient;
        (turns, patient) = run_shared(turns, direct).await;
        patient
    } else {
        loop {
            if !turns.news().await {
                break false;
            }
            if let Some(patient) = turns.turn() {
                break patient;
            }
        }
    };
    let Turns { actor, mut inbox, file, .. } = turns;
    let settling = actor.close(&mut inbox, end, patient).await;
    if let Some(file) = file {
        file.finish().await;
    }
    drop(settling);
}

/// Takes turns until the engine is to end, and lets callers decide meanwhile what they can.
async fn run_shared<E: Executor>(turns: Turns<E>, direct: &Direct<Message>) -> (Turns<E>, bool) {
    let state = State { turns, engine: None, is_on_real_clock: true };
    let owner = Owner(Arc::new(Shared(Mutex::new(Some(state)))));
    let weak = Arc::downgrade(&owner.0);
    direct.open(weak);
    poll_fn(|cx| owner.0.poll(cx)).await
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

impl<E: Executor> Decide<Message> for Shared<E> {
    fn decide(&self, message: Message) -> Option<Message> {
        if !matches!(message, Message::Acquire(_) | Message::Release { .. }) {
            return Some(message);
        }
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
