//! Runs the users' `on_lost` callbacks on a [`Worker`], away from the engine: each locker has one.

use std::mem::forget;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
#[cfg(feature = "test-util")]
use std::sync::mpsc::{SyncSender, sync_channel};

use crate::status::lost::LostInfo;
use crate::worker::{self, QUEUED_MAX, Worker};

/// What the user has given to be called.
pub(super) struct Function {
    function: Box<dyn Fn(&LostInfo) + Send + Sync>,
    /// To drop it may run the user's code.
    needs_drop: bool,
}

impl Function {
    pub(super) fn new<F: Fn(&LostInfo) + Send + Sync + 'static>(function: F) -> Arc<Self> {
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
            post(&self.thread, Task::Call(Arc::clone(function), info));
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
            post(&self.thread, Task::Drop(last));
        }
    }
}

pub(super) enum Task {
    #[cfg(feature = "test-util")]
    Tell(SyncSender<()>),
    Call(Arc<Function>, LostInfo),
    Drop(Function),
}

/// The thread on which a locker's callbacks run, one after the other.
pub(super) type CallbackThread = Worker<Task>;

impl worker::Task for Task {
    const THREAD: &'static str = "dlock-on-lost";

    fn run(self) {
        let what = match &self {
            Task::Call(_, info) => Some(info.key.clone()),
            _ => None,
        };
        let done = catch_unwind(AssertUnwindSafe(|| match self {
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

/// Has this done on the thread.
fn post(thread: &CallbackThread, task: Task) {
    let undone = match &task {
        Task::Drop(_) => "what an on_lost callback had captured is not dropped",
        _ => "a lock was lost and its on_lost callback is not called",
    };
    if !thread.run(task) {
        tracing::error!(target: "dlock",
            "{undone}: {QUEUED_MAX} others wait for one that does not end; let callbacks be short");
    }
}

/// Waits until all have run that were called before, but no longer than this.
#[cfg(feature = "test-util")]
pub(super) fn wait_for(thread: &CallbackThread, longest: std::time::Duration) {
    if thread.has_started() {
        let (done, all_done) = sync_channel(1);
        if thread.run(Task::Tell(done)) {
            // A callback that does not end is not waited for.
            let _ = all_done.recv_timeout(longest);
        }
    }
}
