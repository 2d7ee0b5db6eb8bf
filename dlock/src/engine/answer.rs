//! The answer to a caller: a channel for one value. Whom it wakes is [gathered](super::wakes).

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::task::coop::poll_proceed;

use super::wakes::Sleeper;

/// A channel for one answer.
pub(crate) fn channel<T>() -> (AnswerSender<T>, AnswerReceiver<T>) {
    let shared = Arc::new(Shared(Mutex::new(State::Waiting(None))));
    (AnswerSender(Arc::clone(&shared)), AnswerReceiver(shared))
}

struct Shared<T>(Mutex<State<T>>);

enum State<T> {
    /// There is no answer yet; who waits for it.
    Waiting(Option<Sleeper>),
    Sent(T),
    /// It has arrived, or one of the ends is gone.
    Over,
}

impl<T> Shared<T> {
    /// Puts the state into another one, and returns what it was. What was sent is never dropped here:
    /// that may run anything.
    fn replace(&self, state: State<T>) -> State<T> {
        // It is whole at every point where a panic could come from.
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut shared, state)
    }
}

/// Where the answer is given. Without one, its drop tells that there is none.
pub(crate) struct AnswerSender<T>(Arc<Shared<T>>);

impl<T> AnswerSender<T> {
    /// Gives the answer, or gives it back if nobody waits for it any more.
    pub(crate) fn send(self, value: T) -> Result<(), T> {
        let mut shared = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let State::Waiting(sleeper) = &mut *shared else { return Err(value) };
        let sleeper = sleeper.take();
        *shared = State::Sent(value);
        drop(shared);
        sleeper.into_iter().for_each(Sleeper::wake);
        Ok(())
    }

    /// Whether nobody waits for the answer any more.
    pub(crate) fn is_closed(&self) -> bool {
        let shared = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(*shared, State::Over)
    }
}

impl<T> Drop for AnswerSender<T> {
    fn drop(&mut self) {
        let mut shared = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Waiting(sleeper) = &mut *shared {
            let sleeper = sleeper.take();
            *shared = State::Over;
            drop(shared);
            sleeper.into_iter().for_each(Sleeper::wake);
        }
    }
}

/// Where the answer arrives.
pub(crate) struct AnswerReceiver<T>(Arc<Shared<T>>);

/// There will be no answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoAnswer;

impl<T> Future for AnswerReceiver<T> {
    type Output = Result<T, NoAnswer>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // A task that asks and asks, and always has its answer at once, must let others run.
        let coop = ready!(poll_proceed(cx));
        let mut shared = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Waiting(sleeper) = &mut *shared {
            if !sleeper.as_ref().is_some_and(|sleeper| sleeper.is_woken_by(cx.waker())) {
                *sleeper = Some(Sleeper::here(cx.waker()));
            }
            return Poll::Pending;
        }
        drop(shared);
        coop.made_progress();
        Poll::Ready(match self.0.replace(State::Over) {
            State::Sent(value) => Ok(value),
            State::Waiting(_) | State::Over => Err(NoAnswer),
        })
    }
}

impl<T> Drop for AnswerReceiver<T> {
    fn drop(&mut self) {
        drop(self.0.replace(State::Over));
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answer_arrives() {
        let (sender, receiver) = channel();
        let waiting = tokio::spawn(receiver);
        tokio::task::yield_now().await;
        assert!(!sender.is_closed());
        assert_eq!(sender.send(7), Ok(()));
        assert_eq!(waiting.await.unwrap(), Ok(7));
    }

    #[tokio::test]
    async fn each_end_learns_that_the_other_is_gone() {
        let (sender, receiver) = channel::<()>();
        let waiting = tokio::spawn(receiver);
        tokio::task::yield_now().await;
        drop(sender);
        assert_eq!(waiting.await.unwrap(), Err(NoAnswer));
        let (sender, receiver) = channel();
        drop(receiver);
        assert!(sender.is_closed());
        assert_eq!(sender.send(7), Err(7));
    }

    /// A grant that does not arrive is given back by its drop.
    #[test]
    fn answer_that_nobody_takes_is_dropped_with_the_receiver() {
        let (sender, receiver) = channel();
        let value = Arc::new(());
        assert!(sender.send(Arc::clone(&value)).is_ok());
        drop(receiver);
        assert_eq!(Arc::strong_count(&value), 1);
    }
}
