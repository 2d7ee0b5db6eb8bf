//! The engine's loop: messages, reports of the database and timers go into the table, and what the
//! table decides is carried out. One pass is a turn.

use std::future::{Future, pending, poll_fn};
use std::mem::take;
use std::pin::pin;
use std::task::Poll;

use super::actor::Actor;
use super::executor::{Executor, Report};
use super::inbox::Inbox;
use super::lock_table::Event;
use super::message::Message;
use super::status_file::StatusFile;
use super::timer::Timer;

/// An engine at work.
pub(super) struct Turns<E> {
    pub(super) actor: Actor<E>,
    pub(super) inbox: Inbox,
    pub(super) file: Option<StatusFile>,
    /// It has a thread of its own.
    owns_thread: bool,
    timer: Timer,
    messages: Vec<Message>,
    reports: Vec<Report>,
    /// There is something to be done that nobody has sent a message for.
    is_due: bool,
    /// The last turn was about several callers.
    is_crowded: bool,
}

impl<E: Executor> Turns<E> {
    pub(super) fn new(
        actor: Actor<E>,
        inbox: Inbox,
        file: Option<StatusFile>,
        owns_thread: bool,
    ) -> Self {
        let (messages, reports) = (Vec::new(), Vec::new());
        let timer = Timer::default();
        let (is_due, is_crowded) = (false, false);
        Turns { actor, inbox, file, owns_thread, timer, messages, reports, is_due, is_crowded }
    }

    /// Whether a caller's thread is to ask the database. If several callers ask, or if the engine is a
    /// task of their runtime, its task gathers what they ask into one statement.
    pub(super) fn may_be_callers(&self) -> bool {
        self.owns_thread && !self.is_crowded && !self.actor.executor.is_in_batch()
    }

    /// Has the next turn begin with this.
    pub(super) fn add(&mut self, message: Message) {
        self.messages.push(message);
        self.is_due = true;
    }

    /// Has the next turn begin at once.
    pub(super) fn be_due(&mut self) {
        self.is_due = true;
    }

    /// Waits for what the next turn is about; `false`: nobody will ever want anything. Cancel-safe.
    pub(super) async fn news(&mut self) -> bool {
        if take(&mut self.is_due) {
            return true;
        }
        let next_deadline = self.actor.next_deadline();
        let next_look = self.file.as_ref().and_then(StatusFile::next);
        let search = self.actor.lookups.next();
        let wake = next_deadline.into_iter().chain(next_look).chain(search).min();
        let Turns { actor, inbox, file, timer, messages, reports, .. } = self;
        let mut reported = pin!(actor.executor.recv(reports));
        let mut written = pin!(written(file));
        poll_fn(|cx| {
            if reported.as_mut().poll(cx).is_ready() {
                return Poll::Ready(true);
            }
            if let Poll::Ready(more) = inbox.poll(cx, messages) {
                return Poll::Ready(more);
            }
            let is_time = timer.poll(cx, wake).is_ready();
            if is_time || written.as_mut().poll(cx).is_ready() {
                return Poll::Ready(true);
            }
            Poll::Pending
        })
        .await
    }

    /// Takes in what has come, and does what follows. After the last turn it returns whether somebody
    /// waits for the engine's end.
    pub(super) fn turn(&mut self) -> Option<bool> {
        self.is_crowded = self.messages.len() > 1 || self.reports.len() > 1;
        let Turns { actor, inbox, messages, reports, .. } = self;
        let quiet = messages.is_empty() && reports.is_empty() && actor.next_deadline().is_none();
        if self.owns_thread && !messages.is_empty() && messages.iter().all(Message::may_wait) {
            // Whoever released has probably something to ask: then it shares the statement.
            std::thread::yield_now();
            inbox.more(messages);
        }
        if messages.iter().any(|message| matches!(message, Message::All(_))) {
            *messages = messages.drain(..).flat_map(Message::parts).collect();
        }
        if reports.iter().any(|report| matches!(report.event, Event::Ended { .. })) {
            // The server keeps time better than the runtime's timers: without this, a wait that it
            // has ended in time would be begun again.
            actor.ring(false);
        }
        for Report { event, reason } in reports.drain(..) {
            actor.step(event, reason);
        }
        for message in messages.extract_if(.., |message| message.comes_first()) {
            // It does not end by these.
            let _ = actor.receive(message);
        }
        let mut rest = messages.drain(..);
        while let Some(message) = rest.next() {
            if let Some(patient) = actor.receive(message) {
                inbox.put_back(rest);
                return Some(patient);
            }
        }
        drop(rest);
        // What was granted just in time is handed out before its time is up.
        actor.confirm();
        actor.ring(true);
        actor.confirm();
        actor.settle_doubts();
        actor.search_later();
        actor.executor.flush();
        if let Some(file) = &mut self.file {
            if !quiet {
                file.touch();
            }
            file.update(&actor.callers);
        }
        if self.file.as_ref().is_none_or(StatusFile::is_written) {
            actor.report_idle();
        }
        None
    }
}

/// Ends when the status file has been written; without one, never.
async fn written(file: &mut Option<StatusFile>) {
    match file {
        Some(file) => file.written().await,
        None => pending().await,
    }
}
