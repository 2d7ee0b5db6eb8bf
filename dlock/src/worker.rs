//! Worker: a thread that runs code of the user's, away from the engine.
//!
//! Such code may block, panic, or have captured something whose drop does. So it neither runs nor is dropped
//! on the engine's thread, nor on one that only drops a guard. The thread starts when it is first needed and
//! ends with its worker.

use std::mem::forget;
use std::sync::OnceLock;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

/// More than this do not wait for one that does not end.
pub(crate) const QUEUED_MAX: usize = 10_000;

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
    tasks: OnceLock<Option<SyncSender<T>>>,
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
        match tasks.try_send(task) {
            Ok(()) => true,
            Err(error) => {
                forget(error);
                false
            }
        }
    }
}

fn start<T: Task>() -> Option<SyncSender<T>> {
    let (tasks, queue) = sync_channel::<T>(QUEUED_MAX);
    let work = move || queue.into_iter().for_each(T::run);
    match thread::Builder::new().name(T::THREAD.into()).spawn(work) {
        Ok(_) => Some(tasks),
        Err(error) => {
            tracing::error!(target: "dlock", %error, thread = T::THREAD,
                "a thread cannot be started; what it should call is not called");
            None
        }
    }
}
