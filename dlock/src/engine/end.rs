//! The ends of engines and of the program, and how long who waits for them.

use std::any::Any;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};

use super::message::Message;
use crate::wait_group::wait_group;

/// How long whoever drops the last handle of an engine waits for it to let go, outside of a
/// runtime; and how long the end of the main thread waits for all engines together. A server that
/// answers needs milliseconds.
const FAREWELL_MAX: Duration = Duration::from_secs(1);

/// All engines that have been started and not been forgotten.
static ENGINES: Mutex<Vec<Weak<EngineEnd>>> = Mutex::new(Vec::new());

/// Begins to close the lockers of the registry, and returns them.
type CloseRegistered = fn() -> Box<dyn Any>;

/// What the end of the main thread closes, once something was installed.
static CLOSE_REGISTERED: OnceLock<CloseRegistered> = OnceLock::new();

/// Lets the end of the main thread close what is installed by then.
pub(crate) fn close_at_the_end(close: CloseRegistered) {
    let _ = CLOSE_REGISTERED.set(close);
}

/// Whether an engine has ended.
pub(super) struct EngineEnd {
    process: u32,
    mailbox: mpsc::WeakUnboundedSender<Message>,
    state: Mutex<State>,
    /// For threads,
    changed: Condvar,
    /// and for tasks.
    notify: Notify,
}

#[derive(Default)]
struct State {
    ended: bool,
    /// It is closed, but keeps something until then that nobody else is to have yet.
    keeps_until: Option<Instant>,
}

impl EngineEnd {
    /// That of a new engine, which the end of the program will wait for.
    pub(super) fn new(mailbox: &mpsc::UnboundedSender<Message>) -> Arc<Self> {
        let end = Arc::new(EngineEnd {
            process: std::process::id(),
            mailbox: mailbox.downgrade(),
            state: Mutex::default(),
            changed: Condvar::new(),
            notify: Notify::new(),
        });
        let mut engines = lock(&ENGINES);
        engines.retain(|engine| engine.strong_count() > 0);
        engines.push(Arc::downgrade(&end));
        end
    }

    /// That of an engine that has nothing to end.
    #[cfg(feature = "test-util")]
    pub(super) fn ended_already() -> Arc<Self> {
        let (mailbox, _) = mpsc::unbounded_channel();
        Arc::new(EngineEnd {
            process: std::process::id(),
            mailbox: mailbox.downgrade(),
            state: Mutex::new(State { ended: true, keeps_until: None }),
            changed: Condvar::new(),
            notify: Notify::new(),
        })
    }

    /// It keeps something until then.
    pub(super) fn keep_until(&self, at: Instant) {
        lock(&self.state).keeps_until = Some(at);
        self.changed.notify_all();
    }

    pub(super) fn keeps_for(&self) -> Duration {
        let until = lock(&self.state).keeps_until;
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }

    pub(super) async fn ended(&self) {
        loop {
            let mut notified = std::pin::pin!(self.notify.notified());
            notified.as_mut().enable();
            if lock(&self.state).ended {
                return;
            }
            notified.await;
        }
    }

    /// Blocks the thread until it has ended, but no longer than this, and not for what it keeps longer
    /// than that anyway.
    fn wait(&self, longest: Duration) {
        let until = Instant::now() + longest;
        let goes_on =
            |state: &mut State| !state.ended && state.keeps_until.is_none_or(|at| at <= until);
        let waited = self.changed.wait_timeout_while(lock(&self.state), longest, goes_on);
        drop(waited);
    }
}

/// Tells the end of an engine, however it comes: the engine has this as long as it runs.
pub(super) struct Ends(pub(super) Arc<EngineEnd>);

impl Drop for Ends {
    fn drop(&mut self) {
        lock(&self.0.state).ended = true;
        self.0.changed.notify_all();
        self.0.notify.notify_waiters();
    }
}

/// Waits for the end of the engine when the last handle is dropped, where a thread may be blocked:
/// a program that ends then leaves nothing behind.
pub(super) struct Farewell(pub(super) Arc<EngineEnd>);

impl Drop for Farewell {
    fn drop(&mut self) {
        // In the child of a fork there is no engine.
        if self.0.process == std::process::id() && Handle::try_current().is_err() {
            self.0.wait(FAREWELL_MAX);
        }
    }
}

/// Tells all engines of this process that locking was switched on, or off.
pub(crate) fn tell_all_switched(on: bool) {
    #[cfg(feature = "test-util")]
    if !on {
        super::inline::let_all_pass();
    }
    let engines: Vec<_> = lock(&ENGINES).iter().filter_map(Weak::upgrade).collect();
    for end in engines.iter().filter(|end| end.process == std::process::id()) {
        if let Some(mailbox) = end.mailbox.upgrade() {
            // One that has ended has nobody who waits.
            let _ = mailbox.send(Message::Switched(on));
        }
    }
}

thread_local! {
    static MAIN_THREAD: MainThread = const { MainThread };
}

struct MainThread;

/// Has the end of the main thread wait until all engines have let go, if this is the main thread.
pub(super) fn watch_main_thread() {
    if is_main_thread() {
        // A thread that is ending already waits no more.
        let _ = MAIN_THREAD.try_with(|_| ());
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_main_thread() -> bool {
    let thread = rustix::thread::gettid().as_raw_nonzero().get();
    u32::try_from(thread) == Ok(std::process::id())
}

// At the end of a process on Windows, other threads are gone before the main thread's values.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_main_thread() -> bool {
    cfg!(unix) && std::thread::current().name() == Some("main")
}

impl Drop for MainThread {
    /// The program ends, and its other threads with it: what is in the registry is closed, and what
    /// was let go everywhere is waited for.
    fn drop(&mut self) {
        let until = Instant::now() + FAREWELL_MAX;
        let left = || until.saturating_duration_since(Instant::now());
        // The lockers live until all is over, or each would be waited for by itself.
        let lockers = CLOSE_REGISTERED.get().map(|close| close());
        let engines: Vec<_> = lock(&ENGINES).iter().filter_map(Weak::upgrade).collect();
        let (settled, all_idle) = wait_group();
        let mut closing = Vec::new();
        for end in engines.into_iter().filter(|end| end.process == std::process::id()) {
            let told = end
                .mailbox
                .upgrade()
                .is_some_and(|mailbox| mailbox.send(Message::ReportIdle(settled.clone())).is_ok());
            if !told {
                closing.push(end);
            }
        }
        drop(settled);
        all_idle.wait(left());
        closing.iter().for_each(|end| end.wait(left()));
        std::mem::forget(lockers);
    }
}

// What they guard is whole at every point where a panic could come from.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
