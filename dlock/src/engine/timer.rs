//! A timer that is set again and again, mostly to later.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

use super::source::{Source, WaitingTask};

/// To set a timer of the runtime costs more than to find, once in a while, that it rings too early.
pub(super) struct Timer {
    set: Option<(Instant, Pin<Box<Sleep>>)>,
    task: WaitingTask,
    source: Source,
}

impl Default for Timer {
    fn default() -> Self {
        let task = WaitingTask::default();
        Timer { set: None, source: task.source(), task }
    }
}

impl Timer {
    /// Ends then; without a time, never. Cancel-safe.
    pub(super) async fn until(&mut self, time: Option<Instant>) {
        poll_fn(|cx| self.poll(cx, time)).await;
    }

    /// [`until`](Self::until) as a poll function.
    pub(super) fn poll(&mut self, cx: &Context<'_>, time: Option<Instant>) -> Poll<()> {
        let Some(time) = time else { return Poll::Pending };
        self.task.note(cx.waker());
        let (set, sleep) = self.set.get_or_insert_with(|| (time, Box::pin(sleep_until(time))));
        loop {
            // One that has rung does not ring again by itself.
            if time < *set || sleep.is_elapsed() {
                sleep.as_mut().reset(time);
                *set = time;
                self.source.poll_next_time();
            }
            if self.source.poll(|cx| sleep.as_mut().poll(cx)).is_pending() {
                return Poll::Pending;
            }
            if time <= Instant::now() {
                return Poll::Ready(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn it_never_rings_early_whatever_it_was_set_to_before() {
        let mut timer = Timer::default();
        for after in [30, 10, 0, 20, 5] {
            let at = Instant::now() + Duration::from_millis(after);
            // Somebody else had something to say first.
            let until = timer.until(Some(at + Duration::from_millis(after)));
            tokio::select! { biased; () = until => {}, () = std::future::ready(()) => {} }
            timer.until(Some(at)).await;
            assert!(Instant::now() >= at, "{after}");
        }
    }
}
