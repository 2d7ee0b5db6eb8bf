//! Polls each thing that a task waits for only if its own waker was called.
//!
//! Mostly one of them has woken the task, and to poll the others costs more than to handle that one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// The task that waits.
#[derive(Default)]
pub(super) struct WaitingTask {
    /// Of its last poll.
    waker: Option<Waker>,
    shared: Arc<TaskWaker>,
}

impl WaitingTask {
    /// One more thing that it waits for, which has yet to be polled.
    pub(super) fn source(&self) -> Source {
        let task = Arc::clone(&self.shared);
        let woken = Arc::new(SourceWaker { woken: AtomicBool::new(true), task });
        Source { waker: Waker::from(Arc::clone(&woken)), woken }
    }

    /// This task waits. To be called before its sources are polled: one that is woken later wakes it.
    pub(super) fn note(&mut self, waker: &Waker) {
        if !self.waker.as_ref().is_some_and(|own| own.will_wake(waker)) {
            self.waker = Some(waker.clone());
            self.shared.set(waker);
        }
    }
}

/// One of the things that a task waits for.
pub(super) struct Source {
    woken: Arc<SourceWaker>,
    waker: Waker,
}

impl Source {
    /// Polls it, if it was woken. One that was ready may be so again.
    pub(super) fn poll<T>(&self, poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        let woken = &self.woken.woken;
        // Mostly it was not, and to look costs less than to take the mark away.
        if !woken.load(Ordering::Acquire) || !woken.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        let polled = poll(&mut Context::from_waker(&self.waker));
        if polled.is_ready() {
            self.poll_next_time();
        }
        polled
    }

    /// Marks it as woken, without waking the task: the caller must poll again before the task waits.
    pub(super) fn poll_next_time(&self) {
        self.woken.woken.store(true, Ordering::Release);
    }
}

/// Wakes the task, whichever thread that is on.
#[derive(Default)]
struct TaskWaker(Mutex<Option<Waker>>);

impl TaskWaker {
    fn set(&self, waker: &Waker) {
        let old = self.lock().replace(waker.clone());
        // That may run anything.
        drop(old);
    }

    fn wake(&self) {
        let waker = self.lock().clone();
        waker.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Waker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes the task when one of its sources is woken.
struct SourceWaker {
    woken: AtomicBool,
    task: Arc<TaskWaker>,
}

impl Wake for SourceWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Count(Mutex<u32>);

    impl Count {
        fn woken(&self) -> u32 {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        }
    }

    /// What a source that has nothing to tell is woken by.
    fn waker_of(source: &Source) -> Waker {
        let mut waker = Waker::noop().clone();
        let pending = source.poll::<()>(|cx| {
            waker = cx.waker().clone();
            Poll::Pending
        });
        assert!(pending.is_pending());
        waker
    }

    #[test]
    fn the_task_that_polled_last_is_woken() {
        let (first, second) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let mut task = WaitingTask::default();
        let source = task.source();
        task.note(&Waker::from(Arc::clone(&first)));
        let kept = waker_of(&source);
        task.note(&Waker::from(Arc::clone(&second)));
        kept.wake();
        assert_eq!((first.woken(), second.woken()), (0, 1));
    }

    #[test]
    fn it_is_polled_when_it_was_woken_and_wakes_the_task_once() {
        let (count, mut task) = (Arc::new(Count::default()), WaitingTask::default());
        let source = task.source();
        task.note(&Waker::from(Arc::clone(&count)));
        let kept = waker_of(&source);
        assert!(source.poll(|_| Poll::Ready(())).is_pending(), "nobody has woken it");
        for _ in 0..3 {
            kept.wake_by_ref();
        }
        assert_eq!(count.woken(), 1);
        assert!(source.poll(|_| Poll::Ready(())).is_ready());
        // It may have more to tell.
        assert!(source.poll(|_| Poll::<()>::Pending).is_pending());
        assert!(source.poll(|_| Poll::Ready(())).is_pending());
        source.poll_next_time();
        assert!(source.poll(|_| Poll::Ready(())).is_ready());
        assert_eq!(count.woken(), 1);
    }
}
