//! Before there is an engine at work: it is opened at once, or when it is first of use.
//!
//! One that is opened at once is whoever connects waiting for. Else (it is to be lazy, or locking is
//! switched off) callers have it before there is a connection: the first who needs one has it made,
//! and all who come meanwhile wait with that one, each no longer than its own time. If it cannot be
//! made, they are told why, and the next one tries anew.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};

use super::call_clock::on_our_clock;
use super::inbox::Inbox;
use super::message::Message;
use super::spawn_boxed;
use super::timer::Timer;
use super::unwind::catch_panic;
use crate::error::{Error, Result};
use crate::switch;

/// Makes an executor's first connection. One type for all databases, so that what opens is compiled once.
pub(crate) type Open<E> = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<E>> + Send>> + Send>;

/// What makes the first connection, as [`Open`].
pub(crate) fn opens<E, O>(open: impl Fn() -> O + Send + 'static) -> Open<E>
where
    O: Future<Output = Result<E>> + Send + 'static,
{
    Box::new(move || Box::pin(open()))
}

/// Where an executor is put when it has opened.
pub(super) type Place<E> = Arc<Mutex<Option<E>>>;

/// The same where what it opens is put into a place: all that opens is compiled once then, and not for
/// each kind of executor.
pub(super) fn into_place<E: Send + 'static>(open: Open<E>) -> (Open<()>, Place<E>) {
    let place = Place::default();
    let into = Arc::clone(&place);
    let open: Open<()> = Box::new(move || {
        let (opened, into) = (open(), Arc::clone(&into));
        Box::pin(async move {
            let executor = opened.await?;
            *into.lock().unwrap_or_else(PoisonError::into_inner) = Some(executor);
            Ok(())
        })
    });
    (open, place)
}

/// An engine that is to be opened.
pub(super) struct Opening {
    /// Makes the first connection, in so much time.
    pub(super) open: Open<()>,
    pub(super) limit: Duration,
    /// The database and its address.
    pub(super) label: String,
    /// Tells whoever connects.
    pub(super) ready: watch::Sender<Option<Result<()>>>,
    /// Nobody waits for it, or no more.
    pub(super) lazy: bool,
    /// Whoever waits for the first connection.
    pub(super) callers: Vec<Message>,
}

/// What is to be done after a message.
#[derive(PartialEq, Eq)]
enum Next {
    Wait,
    Connect,
    End,
}

impl Opening {
    /// Ends when it has opened, or is not to be opened any more (`None`). Who has come meanwhile is in
    /// the inbox then.
    pub(super) async fn opened(mut self, inbox: &mut Inbox) -> Option<()> {
        self.lazy |= !switch::enabled();
        if self.lazy {
            self.ready.send_replace(Some(Ok(())));
        }
        loop {
            if self.lazy && !self.is_wanted(inbox).await {
                return None;
            }
            match self.attempt(inbox).await? {
                Ok(()) => {
                    inbox.put_back(self.callers.drain(..));
                    self.ready.send_replace(Some(Ok(())));
                    return Some(());
                }
                Err(error) if self.lazy => {
                    tracing::debug!(target: "dlock", %error, "not connected yet");
                    self.callers.drain(..).for_each(|message| message.fail(&error));
                }
                Err(error) => {
                    self.ready.send_replace(Some(Err(error)));
                    return None;
                }
            }
        }
    }

    /// Ends when a connection is needed; `false`: none ever will be.
    async fn is_wanted(&mut self, inbox: &mut Inbox) -> bool {
        loop {
            match self.receive(inbox).await {
                Next::Wait => {}
                next => return next == Next::Connect,
            }
        }
    }

    /// Tries once to open it; `None`: it is not to be opened any more.
    async fn attempt(&mut self, inbox: &mut Inbox) -> Option<Result<()>> {
        // The timer is made inside, for a runtime without timers panics at that.
        let (open, limit) = ((self.open)(), self.limit);
        let mut open = Box::pin(catch_panic(async move { timeout(limit, open).await }));
        let mut timer = Timer::default();
        let opened = loop {
            let until = self.callers.iter().filter_map(end).min().map(on_our_clock);
            tokio::select! {
                biased;
                opened = &mut open => break opened,
                next = self.receive(inbox) => if next == Next::End { return None },
                () = timer.until(until) => self.give_up(),
            }
        };
        let label = &self.label;
        let opened = opened.unwrap_or_else(|panicked| {
            let error = panicked.of_the_runtime();
            Ok(Err(error.unwrap_or_else(|| Error::unavailable(label, panicked))))
        });
        Some(opened.unwrap_or_else(|late| Err(Error::unavailable(label, late))))
    }

    /// Takes messages in. Cancel-safe.
    async fn receive(&mut self, inbox: &mut Inbox) -> Next {
        let mut message = Vec::new();
        if !inbox.recv(&mut message).await {
            return Next::End;
        }
        let mut next = Next::Wait;
        for message in message.into_iter().flat_map(Message::parts) {
            match message {
                Message::Close { .. } => {
                    // Who comes later is told so by the closed mailbox.
                    self.callers.drain(..).for_each(|message| message.fail(&Error::Closed));
                    return Next::End;
                }
                Message::Abandon(id) => {
                    let abandoned =
                        |message: &Message| matches!(message, Message::Acquire(r) if r.id == id);
                    self.callers.retain(|message| !abandoned(message));
                }
                Message::Wake { at, reply, .. } => spawn_boxed(Box::pin(async move {
                    sleep_until(on_our_clock(at)).await;
                    let _ = reply.send(());
                })),
                Message::Acquire(request) if !switch::enabled() => request.let_pass(),
                // Nothing is held.
                Message::ReportIdle(done) => drop(done),
                Message::Switched(true) => next = Next::Connect,
                Message::Switched(false) => {
                    self.lazy = true;
                    self.ready.send_replace(Some(Ok(())));
                    let is_request = |message: &mut Message| matches!(message, Message::Acquire(_));
                    for message in self.callers.extract_if(.., is_request) {
                        if let Message::Acquire(request) = message {
                            request.let_pass();
                        }
                    }
                }
                message => {
                    next = Next::Connect;
                    self.callers.push(message);
                }
            }
        }
        next
    }

    /// Answers those whose time is up.
    fn give_up(&mut self) {
        let now = Instant::now();
        let late = |message: &mut Message| end(message).is_some_and(|end| end <= now);
        for message in self.callers.extract_if(.., late) {
            message.fail(&Error::unavailable(&self.label, NotYet));
        }
    }
}

/// When somebody is to have an answer, by the callers' clock.
fn end(message: &Message) -> Option<Instant> {
    match message {
        Message::Acquire(request) => request.end.map(|end| end.into_std()),
        _ => None,
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the first connection was not made in time")]
struct NotYet;
