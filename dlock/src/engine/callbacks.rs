//! Runs the users' `on_lost` callbacks, away from the engine.
//!
//! A callback may block, panic, or have captured something whose drop does. So it neither runs nor
//! is dropped on the engine's thread, nor on one that only drops a guard: each locker has a thread
//! for that, which starts when it is first needed and ends with the locker and its last guard.

use std::mem::forget;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread;

use crate::status::lost::LostInfo;

/// More losses than this do not wait for a callback that does not end.
const QUEUED_MAX: usize = 10_000;

/// What the user has given to be called.
pub(crate) struct Function {
    function: Box<dyn Fn(&LostInfo) + Send + Sync>,
    /// To drop it may run the user's code.
    needs_drop: bool,
}

impl Function {
    pub(crate) fn new<F: Fn(&LostInfo) + Send + Sync + 'static>(function: F) -> Arc<Self> {
        let needs_drop = std::mem::needs_drop::<F>();
        Arc::new(Function { function: Box::new(function), needs_drop })
    }
}

/// A callback of one grant, or of one who waits for it.
pub(crate) struct OnLost {
    /// `None` only while it is dropped.
    function: Option<Arc<Function>>,
    thread: Arc<CallbackThread>,
}

impl OnLost {
    pub(super) fn new(function: Arc<Function>, thread: Arc<CallbackThread>) -> Self {
        OnLost { function: Some(function), thread }
    }

    /// Has it called, soon.
    pub(super) fn call(&self, info: LostInfo) {
        if let Some(function) = &self.function {
            self.thread.run(Task::Call(Arc::clone(function), info));
        }
    }
}

impl Clone for OnLost {
    fn clone(&self) -> Self {
        OnLost { function: self.function.clone(), thread: Arc::clone(&self.thread) }
    }
}

impl Drop for OnLost {
    fn drop(&mut self) {
        // Of those who drop their share at once, just one gets what is left.
        if let Some(last) = self.function.take().and_then(Arc::into_inner)
            && last.needs_drop
        {
            self.thread.run(Task::Drop(last));
        }
    }
}

enum Task {
    #[cfg(feature = "test-util")]
    Tell(SyncSender<()>),
    Call(Arc<Function>, LostInfo),
    Drop(Function),
}

/// The thread on which a locker's callbacks run, one after the other.
pub(super) struct CallbackThread {
    /// Threads do not survive a fork: in the child nothing is called, for nothing is lost there.
    process: u32,
    tasks: OnceLock<Option<SyncSender<Task>>>,
}

impl CallbackThread {
    pub(super) fn new() -> Self {
        CallbackThread { process: std::process::id(), tasks: OnceLock::new() }
    }

    /// Waits until all have run that were called before, but no longer than this.
    #[cfg(feature = "test-util")]
    pub(super) fn wait(&self, longest: std::time::Duration) {
        if let Some(Some(tasks)) = self.tasks.get() {
            let (done, all_done) = sync_channel(1);
            if tasks.try_send(Task::Tell(done)).is_ok() {
                // A callback that does not end is not waited for.
                let _ = all_done.recv_timeout(longest);
            }
        }
    }

    fn run(&self, task: Task) {
        if self.process != std::process::id() {
            // What the parent's callback has captured is not the child's to drop.
            return forget(task);
        }
        let Some(tasks) = self.tasks.get_or_init(start) else {
            return forget(task);
        };
        if let Err(error) = tasks.try_send(task) {
            tracing::error!(target: "dlock",
                "a lock was lost and its on_lost callback is not called: {QUEUED_MAX} others wait \
                 for one that does not end; let callbacks be short");
            forget(error);
        }
    }
}

fn start() -> Option<SyncSender<Task>> {
    let (tasks, queue) = sync_channel(QUEUED_MAX);
    let thread = thread::Builder::new().name("dlock-on-lost".into()).spawn(move || work(&queue));
    match thread {
        Ok(_) => Some(tasks),
        Err(error) => {
            tracing::error!(target: "dlock", %error,
                "the thread for on_lost callbacks cannot be started; they are not called");
            None
        }
    }
}

fn work(queue: &Receiver<Task>) {
    while let Ok(task) = queue.recv() {
        let what = match &task {
            Task::Call(_, info) => Some(info.key.clone()),
            _ => None,
        };
        let done = catch_unwind(AssertUnwindSafe(|| match task {
            Task::Call(function, info) => (function.function)(&info),
            Task::Drop(function) => drop(function),
            #[cfg(feature = "test-util")]
            Task::Tell(done) => drop(done.send(())),
        }));
        match (done, what) {
            (Ok(()), _) => {}
            (Err(panic), Some(key)) => {
                tracing::error!(target: "dlock", %key, "the on_lost callback has panicked");
                // Its payload is the user's as well, and may panic in turn.
                forget(panic);
            }
            (Err(panic), None) => {
                tracing::error!(target: "dlock",
                    "what an on_lost callback had captured has panicked when it was dropped");
                forget(panic);
            }
        }
    }
}
