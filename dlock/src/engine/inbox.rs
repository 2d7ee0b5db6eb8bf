//! The engine's end of its mailbox.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::thread::yield_now;

use tokio::sync::mpsc;
use tokio::task::unconstrained;

use super::message::Message;
use super::source::{Source, WaitingTask};

/// How many messages one poll takes at most.
const RECV_MAX: usize = 1024;

/// What callers have posted.
pub(super) struct Inbox {
    receiver: mpsc::UnboundedReceiver<Message>,
    /// Taken out, and not looked at yet.
    rest: Vec<Message>,
    task: WaitingTask,
    source: Source,
}

impl Inbox {
    pub(super) fn new(receiver: mpsc::UnboundedReceiver<Message>) -> Self {
        let task = WaitingTask::default();
        Inbox { receiver, rest: Vec::new(), source: task.source(), task }
    }

    /// These come next.
    pub(super) fn put_back(&mut self, rest: impl Iterator<Item = Message>) {
        self.rest.extend(rest);
    }

    /// Appends what has come, or waits for it; `false`: nobody will post anything any more.
    /// Cancel-safe.
    pub(super) async fn recv(&mut self, messages: &mut Vec<Message>) -> bool {
        poll_fn(|cx| self.poll(cx, messages)).await
    }

    /// [`recv`](Self::recv) as a poll function.
    pub(super) fn poll(&mut self, cx: &Context<'_>, messages: &mut Vec<Message>) -> Poll<bool> {
        if !self.rest.is_empty() {
            messages.append(&mut self.rest);
            return Poll::Ready(true);
        }
        self.task.note(cx.waker());
        let received = self.source.poll(|cx| self.receiver.poll_recv_many(cx, messages, RECV_MAX));
        received.map(|count| count > 0)
    }

    /// Whether nothing has come that was not taken out.
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty() && self.receiver.is_empty()
    }

    /// Appends what is there.
    pub(super) fn more(&mut self, message: &mut Vec<Message>) {
        while let Ok(more) = self.receiver.try_recv() {
            message.push(more);
        }
    }

    /// Takes no more messages, and all that were posted before: also those that had been accepted
    /// but were not in the queue yet.
    pub(super) async fn drain(&mut self) -> Vec<Message> {
        self.receiver.close();
        let mut message = std::mem::take(&mut self.rest);
        while let Some(one) = self.receiver.recv().await {
            message.extend(one.parts());
        }
        message
    }
}

/// The engine may end in any way, also with its runtime: a message that is left in the queue would
/// keep whoever waits for its answer waiting for ever.
impl Drop for Inbox {
    fn drop(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        let mut rest = pin!(unconstrained(self.drain()));
        // A sender that was accepted is about to put its message into the queue.
        while rest.as_mut().poll(&mut cx).is_pending() {
            yield_now();
        }
    }
}
