//! The sessions' tasks. They run inside the engine's own task: what the engine asks goes straight to
//! the driver, and the answer comes straight back, without another task to be scheduled between.
//!
//! A session is polled when its driver, a timer or a new job wakes it, not whenever the engine is.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use super::core::{SessionEvent, SessionId};
use super::job::Order;
use crate::engine::source::{Source, WaitingTask};
use crate::error::Error;
use crate::sorted_map::SortedMap;

/// What a session runs.
pub(super) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A list that the engine and a session's task share, which run in turn: nobody ever waits for it.
struct Shared<T>(Arc<Mutex<T>>);

impl<T> Shared<T> {
    fn get(&self) -> MutexGuard<'_, T> {
        // It is whole at every point where a panic could come from.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Shared(Arc::clone(&self.0))
    }
}

impl<T: Default> Default for Shared<T> {
    fn default() -> Self {
        Shared(Arc::default())
    }
}

/// The jobs of a session, as its task sees them.
#[derive(Default)]
pub(super) struct Jobs(Shared<VecDeque<Order>>);

impl Jobs {
    /// Waits for the next job. Cancel-safe.
    pub(super) async fn recv(&mut self) -> Order {
        // Whoever adds one has the session polled.
        poll_fn(|_| self.0.get().pop_front().map_or(Poll::Pending, Poll::Ready)).await
    }
}

/// The way of a session's task to tell the engine something.
#[derive(Clone)]
pub(super) struct Events {
    id: SessionId,
    events: Shared<VecDeque<(SessionId, SessionEvent)>>,
}

impl Events {
    pub(super) fn send(&self, event: SessionEvent) {
        self.events.get().push_back((self.id, event));
    }
}

/// See the [module](self).
#[derive(Default)]
pub(super) struct SessionTasks {
    running: SortedMap<SessionId, Running>,
    events: Shared<VecDeque<(SessionId, SessionEvent)>>,
    waiting: WaitingTask,
}

struct Running {
    task: Task,
    jobs: Shared<VecDeque<Order>>,
    source: Source,
    /// It has been told to end.
    closing: bool,
}

impl SessionTasks {
    /// Runs a session from now on.
    pub(super) fn start(&mut self, id: SessionId, task: impl FnOnce(Jobs, Events) -> Task) {
        let jobs = Shared::default();
        let events = Events { id, events: self.events.clone() };
        let task = task(Jobs(jobs.clone()), events);
        let source = self.waiting.source();
        self.running.insert(id, Running { task, jobs, source, closing: false });
    }

    /// Gives a session a job, if it is still there.
    pub(super) fn send(&mut self, id: SessionId, job: Order) {
        if let Some(running) = self.running.get_mut(&id)
            && !running.closing
        {
            running.closing = matches!(job, Order::Close);
            running.jobs.get().push_back(job);
            // The engine polls it before it waits for anything.
            running.source.poll_next_time();
        }
    }

    /// Ends a session at once, whatever it is doing. One that has been told to end does so in peace.
    pub(super) fn abort(&mut self, id: SessionId) {
        if self.running.get(&id).is_some_and(|running| !running.closing) {
            self.running.remove(&id).into_iter().for_each(Running::end);
        }
    }

    /// Runs the sessions until one has something to tell. Cancel-safe.
    pub(super) async fn run(&mut self) -> (SessionId, SessionEvent) {
        poll_fn(|cx| self.poll(cx)).await
    }

    /// [`run`](Self::run) as a poll function.
    pub(super) fn poll(&mut self, cx: &Context<'_>) -> Poll<(SessionId, SessionEvent)> {
        self.poll_all(cx);
        self.take_event().map_or(Poll::Pending, Poll::Ready)
    }

    /// Runs the sessions until there is none.
    pub(super) async fn run_to_the_end(&mut self) {
        poll_fn(|cx| {
            self.poll_all(cx);
            // Nobody wants to know any more.
            self.events.get().clear();
            if self.running.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// What a session has told, if that is known without waiting.
    pub(super) fn take_event(&mut self) -> Option<(SessionId, SessionEvent)> {
        self.events.get().pop_front()
    }

    fn poll_all(&mut self, cx: &Context<'_>) {
        self.waiting.note(cx.waker());
        let mut ended = Vec::new();
        for (id, running) in self.running.iter_mut() {
            if running.poll(*id, &self.events).is_ready() {
                ended.push(*id);
            }
        }
        for id in ended {
            self.running.remove(&id).into_iter().for_each(Running::end);
        }
    }
}

impl Drop for SessionTasks {
    fn drop(&mut self) {
        std::mem::take(&mut self.running).into_iter().for_each(|(_, running)| running.end());
    }
}

impl Running {
    /// Ready: it has ended.
    fn poll(
        &mut self,
        id: SessionId,
        events: &Shared<VecDeque<(SessionId, SessionEvent)>>,
    ) -> Poll<()> {
        let Running { task, source, .. } = self;
        source.poll(|cx| {
            catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(cx))).unwrap_or_else(|_| {
                // The task catches panics of the driver itself; this one came while it ended.
                events.get().push_back((id, SessionEvent::Died(Error::Closed)));
                Poll::Ready(())
            })
        })
    }

    /// Drops it. What a driver does then must not end the engine.
    fn end(self) {
        let _ = catch_unwind(AssertUnwindSafe(|| drop(self)));
    }
}
