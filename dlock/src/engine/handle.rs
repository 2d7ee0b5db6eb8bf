//! What callers hold of an engine: the way to its mailbox, and what is to be known of it without a
//! question.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};

#[cfg(feature = "test-util")]
use super::callbacks::wait_for;
use super::callbacks::{CallbackThread, Function, OnLost};
use super::delivery::TakeBack;
use super::direct::Direct;
use super::end::{EngineEnd, Farewell};
#[cfg(feature = "test-util")]
use super::inline::{Blocks, Inline};
use super::lock_table::{GrantId, RequestId};
use super::message::Message;
use super::message_batch;
use super::threads::OnlyThread;
use crate::engine::call_clock::Watch;
use crate::engine::call_deadline::Deadline;
use crate::error::{Error, Result};
#[cfg(feature = "test-util")]
use crate::observe::Settings;
use crate::observe::Telemetry;
use crate::spec::wait::Wait;
use crate::status::lost::LostInfo;

/// The way to an engine. Cheap to clone; the engine ends when the last one is gone.
///
/// The engine itself holds none, so it is always a user's thread that drops the last one: that is
/// where its end can be waited for.
#[derive(Clone)]
pub(crate) struct Engine(Arc<Shared>);

struct Shared {
    /// Tells lockers apart.
    id: u64,
    /// Threads do not survive a fork: in the child, nobody would answer.
    process: u32,
    requests: AtomicU64,
    callbacks: Arc<CallbackThread>,
    only_thread: Option<OnlyThread>,
    /// It is one for tests, which has no mailbox.
    #[cfg(feature = "test-util")]
    inline: Option<Arc<Inline>>,
    telemetry: Arc<Telemetry>,
    direct: Arc<Direct<Message>>,
    // Dropped in this order: that the mailbox closes is what the engine ends by.
    mailbox: mpsc::UnboundedSender<Message>,
    end: Farewell,
}

impl Shared {
    fn new(
        mailbox: mpsc::UnboundedSender<Message>,
        end: Arc<EngineEnd>,
        only_thread: Option<OnlyThread>,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Shared {
            id: LAST.fetch_add(1, Ordering::Relaxed) + 1,
            process: std::process::id(),
            requests: AtomicU64::new(0),
            callbacks: Arc::new(CallbackThread::new()),
            only_thread,
            telemetry,
            direct: Arc::default(),
            #[cfg(feature = "test-util")]
            inline: None,
            mailbox,
            end: Farewell(end),
        }
    }
}

/// On the thread of the caller to whom it was on its way.
impl TakeBack for Shared {
    fn take_back(self: Arc<Self>, hold: GrantId) {
        // One that is closed holds nothing.
        let _ = Engine(self).send(Message::Release { hold, awaited: false });
    }
}

impl Engine {
    /// The way to the engine that reads this mailbox, and will tell its end so.
    pub(super) fn new(
        mailbox: mpsc::UnboundedSender<Message>,
        end: Arc<EngineEnd>,
        only_thread: Option<OnlyThread>,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        Engine(Arc::new(Shared::new(mailbox, end, only_thread, telemetry)))
    }

    /// An engine for tests.
    #[cfg(feature = "test-util")]
    pub(crate) fn inline() -> (Self, Arc<Inline>) {
        // Nobody reads it, and there is nothing to wait for at its end.
        let (mailbox, _) = mpsc::unbounded_channel();
        let telemetry = Telemetry::new("memory", false, Settings::default());
        let shared = Shared::new(mailbox, EngineEnd::ended_already(), None, telemetry);
        let inline = Inline::new();
        let engine = Engine(Arc::new(Shared { inline: Some(Arc::clone(&inline)), ..shared }));
        inline.is_of(engine.id(), engine.downgrade().way_back());
        (engine, inline)
    }

    /// Tells lockers apart.
    pub(crate) fn id(&self) -> u64 {
        self.0.id
    }

    pub(crate) fn next_request(&self) -> RequestId {
        self.0.requests.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The same, without keeping the engine alive.
    pub(super) fn downgrade(&self) -> WeakEngine {
        WeakEngine {
            id: self.id(),
            shared: Arc::downgrade(&self.0),
            mailbox: self.0.mailbox.downgrade(),
        }
    }

    /// What is told of its locks.
    pub(crate) fn telemetry(&self) -> &Arc<Telemetry> {
        &self.0.telemetry
    }

    /// Has this called when a lock of this engine is lost.
    pub(crate) fn on_lost(&self, function: impl Fn(&LostInfo) + Send + Sync + 'static) -> OnLost {
        OnLost::new(Function::new(function), Arc::clone(&self.0.callbacks))
    }

    /// Posts a message; an error when there is nobody to read it.
    pub(crate) fn send(&self, message: Message) -> Result<()> {
        if !self.is_of_this_process() {
            return Err(Error::Closed);
        }
        let Some(message) = message_batch::gather(self.0.id, message) else { return Ok(()) };
        #[cfg(feature = "test-util")]
        if let Some(inline) = &self.0.inline {
            return inline.receive(message);
        }
        match self.0.direct.decide(message) {
            Some(message) => self.0.mailbox.send(message).map_err(|_| Error::Closed),
            None => Ok(()),
        }
    }

    /// How its callers decide what they can without it.
    pub(super) fn direct(&self) -> Arc<Direct<Message>> {
        Arc::clone(&self.0.direct)
    }

    /// `false` in the child of a fork: its engine, and what that holds, are the parent's.
    pub(crate) fn is_of_this_process(&self) -> bool {
        self.0.process == std::process::id()
    }

    /// Whether it takes messages: it is neither closed nor that of another process.
    pub(crate) fn is_open(&self) -> bool {
        #[cfg(feature = "test-util")]
        if let Some(inline) = &self.0.inline {
            return self.is_of_this_process() && inline.is_open();
        }
        self.is_of_this_process() && !self.0.mailbox.is_closed()
    }

    /// What the time of calls is read from.
    pub(crate) fn watch(&self) -> Watch {
        #[cfg(feature = "test-util")]
        if let Some(inline) = &self.0.inline {
            return inline.watch();
        }
        Watch::default()
    }

    /// The deadline of a call that is made now and waits this long.
    pub(crate) fn deadline(&self, wait: Wait) -> Deadline {
        Deadline::after(wait, self.watch())
    }

    /// The engine for tests that it is, if it is one.
    #[cfg(feature = "test-util")]
    pub(crate) fn for_tests(&self) -> Option<&Inline> {
        self.0.inline.as_deref()
    }

    /// Says that a call blocks this thread, as long as that lives: the clock of a locker for tests is to
    /// go on.
    #[cfg(feature = "test-util")]
    pub(crate) fn blocks(&self) -> Option<Blocks> {
        self.for_tests().map(Inline::blocks)
    }

    /// Waits until the callbacks of losses have run that are known already, but no longer than this.
    #[cfg(feature = "test-util")]
    pub(crate) fn wait_for_callbacks(&self, longest: Duration) {
        wait_for(&self.0.callbacks, longest);
    }

    /// An error where a blocking call would wait for itself: on the only thread that the engine can
    /// run on.
    pub(crate) fn check_blocking(&self) -> Result<()> {
        self.0.only_thread.as_ref().map_or(Ok(()), OnlyThread::check)
    }

    /// The same before there is an engine.
    pub(crate) fn check_not_inside(runtime: Option<&Handle>) -> Result<()> {
        runtime.and_then(OnlyThread::of).map_or(Ok(()), |only| only.check())
    }

    /// Ends after this time, by the engine's timers: the caller may have none.
    pub(crate) async fn sleep(&self, time: Duration) -> Result<()> {
        let (reply, woken) = oneshot::channel();
        let id = self.next_request();
        self.send(Message::Wake { id, at: self.watch().now() + time, reply })?;
        woken.await.map_err(|_| Error::Closed)
    }

    /// Has the engine end; [`closed`](Self::closed) waits for it.
    pub(crate) fn begin_close(&self, patient: bool) {
        // One that is closed already has begun.
        let _ = self.send(Message::Close { patient });
    }

    /// Ends when everything is released and disconnected.
    pub(crate) async fn closed(&self) {
        if self.is_of_this_process() {
            self.0.end.0.ended().await;
        }
    }

    /// How long it will go on at least, after it was closed, to keep what nobody else is to have yet.
    pub(crate) fn keeps_for(&self) -> Duration {
        self.0.end.0.keeps_for()
    }
}

/// The way to an engine for the engine itself, and for what is under way to its callers.
#[derive(Clone)]
pub(super) struct WeakEngine {
    pub(super) id: u64,
    shared: Weak<Shared>,
    mailbox: mpsc::WeakUnboundedSender<Message>,
}

impl WeakEngine {
    /// Posts a message, if anybody still has the engine.
    pub(super) fn send(&self, message: Message) {
        if let Some(mailbox) = self.mailbox.upgrade() {
            // Who has ended does not want to know.
            let _ = mailbox.send(message);
        }
    }

    /// Where grants go back to that do not arrive.
    pub(super) fn way_back(&self) -> Weak<dyn TakeBack> {
        self.shared.clone()
    }
}

/// Whether an engine has opened, for all who wait for it.
#[derive(Clone)]
pub(crate) struct Opened(pub(super) watch::Receiver<Option<Result<()>>>);

impl Opened {
    /// Ends when the first connection was made, or could not be.
    pub(crate) async fn wait(&mut self) -> Result<()> {
        match self.0.wait_for(Option::is_some).await {
            Ok(opened) => opened.clone().unwrap_or(Err(Error::Closed)),
            // The runtime that it was to run on is gone.
            Err(_) => Err(Error::Closed),
        }
    }
}
