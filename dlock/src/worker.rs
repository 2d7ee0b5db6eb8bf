//! Worker: a thread that runs code of the user's, away from the engine.
//!
//! Such code may block, panic, or have captured something whose drop does. So it neither runs nor is dropped
//! on the engine's thread, nor on one that only drops a guard. The thread starts when it is first needed and
//! ends with its worker.

use std::collections::VecDeque;
use std::mem::forget;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

/// More than this do not wait for one that does not end.
pub(crate) const QUEUED_MAX: usize = 10_000;

/// What a thread does, as one type: what starts threads is compiled once for each.
pub(crate) type Work = Box<dyn FnOnce() + Send>;

/// What a worker does, one after the other.
pub(crate) trait Task: Send + 'static {
    /// The name of the thread.
    const THREAD: &'static str;

    /// Does it. A panic of the user's code is caught inside.
    fn run(self);
}

/// A thread that runs code of the user's.
pub(crate) struct Worker<T> {
    /// Threads do not survive a fork: in the child nothing is run.
    process: u32,
    tasks: OnceLock<Option<Arc<Queue<T>>>>,
}

impl<T: Task> Worker<T> {
    pub(crate) fn new() -> Self {
        Worker { process: std::process::id(), tasks: OnceLock::new() }
    }

    /// Returns `true` if something was done, or will be.
    #[cfg(feature = "test-util")]
    pub(crate) fn has_started(&self) -> bool {
        self.tasks.get().is_some_and(Option::is_some)
    }

    /// Has this done, soon. Returns `false` if too many wait already: then it is not.
    pub(crate) fn run(&self, task: T) -> bool {
        if self.process != std::process::id() {
            // What it has captured is not the child's to drop.
            forget(task);
            return true;
        }
        let Some(tasks) = self.tasks.get_or_init(start) else {
            forget(task);
            return true;
        };
        tasks.add(task)
    }
}

impl<T> Drop for Worker<T> {
    fn drop(&mut self) {
        // In the child of a fork, the thread may have had the lock.
        if self.process == std::process::id()
            && let Some(Some(tasks)) = self.tasks.get()
        {
            tasks.lock().is_closed = true;
            tasks.changed.notify_one();
        }
    }
}

fn start<T: Task>() -> Option<Arc<Queue<T>>> {
    let tasks =
        Arc::new(Queue::<T> { state: Mutex::new(State::default()), changed: Condvar::new() });
    let queue = Arc::clone(&tasks);
    let work: Work = Box::new(move || {
        while let Some(task) = queue.next() {
            task.run();
        }
    });
    match thread::Builder::new().name(T::THREAD.into()).spawn(work) {
        Ok(_) => Some(tasks),
        Err(error) => {
            tracing::error!(target: "dlock", %error, thread = T::THREAD,
                "a thread cannot be started; what it should call is not called");
            None
        }
    }
}

/// What a worker is to do. A channel of the standard library's is ten times the code, for each type.
struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    tasks: VecDeque<T>,
    /// Nothing will be added.
    is_closed: bool,
}

impl<T> Default for State<T> {
    fn default() -> Self {
        State { tasks: VecDeque::new(), is_closed: false }
    }
}

impl<T> Queue<T> {
    // What it guards is whole at every point where a panic could come from.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns `false` if it is full.
    fn add(&self, task: T) -> bool {
        let mut state = self.lock();
        if state.tasks.len() >= QUEUED_MAX {
            drop(state);
            forget(task);
            return false;
        }
        state.tasks.push_back(task);
        drop(state);
        self.changed.notify_one();
        true
    }

    /// Waits for the next one; `None`: there will be none.
    fn next(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if let Some(task) = state.tasks.pop_front() {
                return Some(task);
            }
            if state.is_closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
