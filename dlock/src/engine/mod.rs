//! One engine for each Locker: it owns every connection and answers every caller.

mod actor;
mod alarms;
mod callbacks;
mod callers;
mod cork;
mod doubts;
mod executor;
mod hold;
mod holds;
mod inquiry;
#[cfg(any(feature = "mysql", feature = "postgres", feature = "sqlite"))]
mod leases;
mod mail;
mod map;
mod recent;
mod sessions;
mod status_file;
pub mod table;
mod threads;
mod timer;
mod unwind;
mod verdict;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use self::actor::run;
use self::callbacks::CallbackThread;
pub(crate) use self::callbacks::{Function, OnLost};
pub(crate) use self::cork::Cork;
#[cfg(test)]
pub(crate) use self::executor::Report;
pub(crate) use self::executor::{Executor, Reply};
pub use self::hold::Hold;
pub use self::holds::Holds;
#[cfg(any(feature = "mysql", feature = "postgres", feature = "sqlite"))]
pub(crate) use self::leases::Leases;
pub(crate) use self::mail::{Mail, Request};
pub(crate) use self::sessions::{Limits, Sessions};
pub(crate) use self::status_file::StatusFile;
use self::table::RequestId;
use self::threads::OnlyThread;
use self::unwind::catch_panic;
use crate::error::{Error, Result};

/// The way to an engine. Cheap to clone; the engine ends when the last one is gone.
#[derive(Clone)]
pub(crate) struct Engine {
    mailbox: mpsc::UnboundedSender<Mail>,
    shared: Arc<Shared>,
}

struct Shared {
    /// Tells lockers apart.
    id: u64,
    /// Threads do not survive a fork: in the child, nobody would answer.
    process: u32,
    requests: AtomicU64,
    callbacks: Arc<CallbackThread>,
    only_thread: Option<OnlyThread>,
}

impl Engine {
    /// Starts an engine: on a thread of its own, or on the given runtime. `limit`: how long opening
    /// it may take. `file`: where it is to write what it does.
    pub(crate) fn start<E: Executor>(
        runtime: Option<Handle>,
        (limit, label): (Duration, &str),
        file: Option<StatusFile>,
        open: impl Future<Output = Result<E>> + Send + 'static,
    ) -> Result<(Engine, oneshot::Receiver<Result<()>>)> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let (mailbox, mail) = mpsc::unbounded_channel();
        let (ready, opened) = oneshot::channel();
        let leisure = runtime.is_none();
        let label = label.to_owned();
        let main = async move {
            // The timer is made inside, for a runtime without timers panics at that.
            let open = catch_panic(async { timeout(limit, open).await }).await;
            let open = open.unwrap_or_else(|panicked| {
                Ok(Err(panicked
                    .of_the_runtime()
                    .unwrap_or_else(|| Error::unavailable(&label, panicked))))
            });
            match open.unwrap_or_else(|late| Err(Error::unavailable(&label, late))) {
                Ok(executor) => {
                    let _ = ready.send(Ok(()));
                    run(executor, mail, leisure, file).await;
                }
                Err(error) => drop(ready.send(Err(error))),
            }
        };
        let only_thread = runtime.as_ref().and_then(OnlyThread::of);
        match (runtime, only_thread.clone()) {
            (Some(handle), Some(only)) => drop(handle.spawn(only.watch(main))),
            (Some(handle), None) => drop(handle.spawn(main)),
            (None, _) => on_a_thread(main)?,
        }
        let shared = Shared {
            id: LAST.fetch_add(1, Ordering::Relaxed) + 1,
            process: std::process::id(),
            requests: AtomicU64::new(0),
            callbacks: Arc::new(CallbackThread::new()),
            only_thread,
        };
        Ok((Engine { mailbox, shared: Arc::new(shared) }, opened))
    }

    /// Tells lockers apart.
    pub(crate) fn id(&self) -> u64 {
        self.shared.id
    }

    pub(crate) fn next_request(&self) -> RequestId {
        self.shared.requests.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Has this called when a lock of this engine is lost.
    pub(crate) fn on_lost(&self, function: &Arc<Function>) -> OnLost {
        OnLost::new(Arc::clone(function), Arc::clone(&self.shared.callbacks))
    }

    /// Posts a message; an error when there is nobody to read it.
    pub(crate) fn post(&self, mail: Mail) -> Result<()> {
        if self.shared.process != std::process::id() {
            return Err(Error::Closed);
        }
        match cork::gather(self.shared.id, mail) {
            Some(mail) => self.mailbox.send(mail).map_err(|_| Error::Closed),
            None => Ok(()),
        }
    }

    /// An error where a blocking call would wait for itself: on the only thread that the engine can
    /// run on.
    pub(crate) fn check_blocking(&self) -> Result<()> {
        self.shared.only_thread.as_ref().map_or(Ok(()), OnlyThread::check)
    }

    /// The same before there is an engine.
    pub(crate) fn check_not_inside(runtime: Option<&Handle>) -> Result<()> {
        runtime.and_then(OnlyThread::of).map_or(Ok(()), |only| only.check())
    }

    /// Ends after this time, by the engine's timers: the caller may have none.
    pub(crate) async fn sleep(&self, time: Duration) -> Result<()> {
        let (reply, woken) = oneshot::channel();
        let id = self.next_request();
        self.post(Mail::Wake { id, at: Instant::now() + time, reply })?;
        woken.await.map_err(|_| Error::Closed)
    }

    /// Ends the engine; done when everything is released and disconnected.
    pub(crate) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.post(Mail::Close { done }).is_ok() {
            let _ = closed.await;
        }
    }
}

/// The thread owns its runtime and is never joined: dropping a runtime inside another one panics.
fn on_a_thread(main: impl Future<Output = ()> + Send + 'static) -> Result<()> {
    let failed = |what: &str, error: std::io::Error| {
        Error::config(format!("the locker's own {what} could not be started: {error}"))
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed("runtime", error))?;
    std::thread::Builder::new()
        .name("dlock-engine".into())
        .spawn(move || {
            // A task of its own: whatever wakes the future of `block_on` itself goes through the
            // kernel, even from this thread.
            let main = runtime.spawn(main);
            let _ = runtime.block_on(main);
            // What is left is a connection on its way out; it gets a moment.
            runtime.shutdown_timeout(Duration::from_secs(1));
        })
        .map_err(|error| failed("thread", error))?;
    Ok(())
}
