//! An engine at work: its task takes turns, and so do its callers in its place.
//!
//! Callers and the engine share the engine's state behind a lock. The engine holds it for one turn, in
//! which nothing is waited for. A caller never waits for it: where it cannot have it at once, or where
//! a message is under way that came first, it sends a message. So the order in which one caller asks
//! is the order in which it is served.
//!
//! A caller that has the state decides what needs no database (a refused try, a hand-off) and is done.
//! If the database has to be asked, nobody else is asking it, and the engine has a thread of its own,
//! the caller takes the turn as well: the statement goes out on the caller's thread, and the engine's
//! thread wakes up for the answer. Where several callers ask, and on the caller's own runtime, the
//! caller sends a message: the engine's task finds together what they have asked.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::{Context, Poll, Waker};

use tokio::runtime::Handle;
use tokio::task::unconstrained;

use super::direct::{Decide, Direct};
use super::end::EngineEnd;
use super::executor::Executor;
use super::message::Message;
use super::turns::Turns;

/// A caller takes no more turns than that one after the other: the rest is the engine's task's.
const CALLERS_TURNS_MAX: usize = 4;

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
    let state = State { turns, engine: None, ended: None };
    let owner = Owner(Arc::new(Shared(Mutex::new(Some(state)))));
    let weak = Arc::downgrade(&owner.0);
    direct.open(weak);
    poll_fn(|cx| owner.0.poll(cx)).await
}

struct State<E> {
    turns: Turns<E>,
    /// `None`: the engine's task has not waited yet, or is on no runtime of tokio's.
    engine: Option<EngineTask>,
    /// A caller's turn was the last one, and this came of it: the engine's task is to end.
    ended: Option<Result<bool, Panic>>,
}

type Panic = Box<dyn Any + Send>;

/// What a caller needs in order to act in its place.
struct EngineTask {
    waker: Waker,
    /// Its runtime has the sockets, the timers and the clock of the engine: that of the caller may be
    /// paused by a test.
    runtime: Handle,
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

/// Takes turns as long as there is something to do, but not more than this many.
fn poll<E: Executor>(turns: &mut Turns<E>, cx: &mut Context<'_>, turns_max: usize) -> Poll<bool> {
    for _ in 0..turns_max {
        match pin!(turns.news()).poll(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(false) => return Poll::Ready(false),
            Poll::Ready(true) => {}
        }
        if let Some(patient) = turns.turn() {
            return Poll::Ready(patient);
        }
    }
    turns.be_due();
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// Takes turns on the caller's thread, in place of the engine's task: what is asked of the database goes
/// out before that has woken up. Whatever comes later wakes the engine's task. Returns how the engine
/// has ended, if it has.
fn poll_for_caller<E: Executor>(
    turns: &mut Turns<E>,
    message: Message,
    engine: &Waker,
) -> Option<Result<bool, Panic>> {
    turns.add(message);
    // The budget of the caller's task is not the engine's: once it is used up, what is to wake the
    // engine would be put off until the caller returns, who may block.
    let mut polling = pin!(unconstrained(poll_fn(|cx| poll(turns, cx, CALLERS_TURNS_MAX))));
    let poll = || polling.as_mut().poll(&mut Context::from_waker(engine));
    let ended = match catch_unwind(AssertUnwindSafe(poll)) {
        Ok(Poll::Pending) => return None,
        Ok(Poll::Ready(patient)) => Ok(patient),
        Err(panic) => Err(panic),
    };
    engine.wake_by_ref();
    Some(ended)
}

impl<E: Executor> Shared<E> {
    fn poll(&self, cx: &mut Context<'_>) -> Poll<(Turns<E>, bool)> {
        let mut shared = self.lock();
        let Some(state) = &mut *shared else { return Poll::Pending };
        let patient = match state.ended.take() {
            Some(Ok(patient)) => patient,
            // As if it had been this task's own.
            Some(Err(panic)) => resume_unwind(panic),
            // Its runtime's budget ends it.
            None => match poll(&mut state.turns, cx, usize::MAX) {
                Poll::Ready(patient) => patient,
                Poll::Pending => {
                    state.note_task(cx);
                    return Poll::Pending;
                }
            },
        };
        match shared.take() {
            Some(state) => Poll::Ready((state.turns, patient)),
            None => Poll::Pending,
        }
    }
}

impl<E> State<E> {
    /// Remembers how to take turns in place of this task.
    fn note_task(&mut self, cx: &Context<'_>) {
        if !self.engine.as_ref().is_some_and(|task| task.waker.will_wake(cx.waker())) {
            let runtime = Handle::try_current().ok();
            self.engine = runtime.map(|runtime| EngineTask { waker: cx.waker().clone(), runtime });
        }
    }
}

impl<E: Executor> Decide<Message> for Shared<E> {
    fn decide(&self, message: Message) -> Option<Message> {
        if !matches!(message, Message::Acquire(_) | Message::Release { .. }) || is_ending() {
            return Some(message);
        }
        let mut shared = match self.0.try_lock() {
            Ok(shared) => shared,
            Err(TryLockError::WouldBlock | TryLockError::Poisoned(_)) => return Some(message),
        };
        let Some(State { turns, engine: Some(engine), ended: ended @ None }) = &mut *shared else {
            return Some(message);
        };
        // One that came first has woken the engine's task: this shares its turn.
        if !turns.inbox.is_empty() {
            return Some(message);
        }
        let entered = engine.runtime.enter();
        let is_for_task = message.may_wait() || !turns.may_be_callers();
        let actor = &mut turns.actor;
        actor.executor.new_turn();
        let before = actor.next_deadline();
        if let Some(message) = actor.decide_alone(message) {
            if is_for_task {
                return Some(message);
            }
            *ended = poll_for_caller(turns, message, &engine.waker);
            return None;
        }
        actor.confirm();
        actor.report_idle();
        let next = actor.next_deadline();
        let is_earlier = next.is_some_and(|next| before.is_none_or(|before| next < before));
        if is_earlier || actor.callers.granted.has_unconfirmed() {
            turns.be_due();
            let waker = engine.waker.clone();
            drop(entered);
            drop(shared);
            waker.wake();
        }
        None
    }
}

/// This thread ends: what runs in the destructors of its thread-locals may enter no runtime, which
/// panics.
fn is_ending() -> bool {
    Handle::try_current().is_err_and(|error| error.is_thread_local_destroyed())
}
