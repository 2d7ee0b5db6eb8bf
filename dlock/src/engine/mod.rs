//! One engine for each Locker: it owns every connection and answers every caller.

mod actor;
mod alone;
pub(crate) mod call_clock;
pub(crate) mod call_deadline;
mod callbacks;
mod callers;
mod closing;
mod conversion;
mod conversions;
mod deadlines;
mod delivery;
mod direct;
mod doubts;
mod end;
mod executor;
mod grant;
mod granted;
mod grants;
mod handle;
mod handover;
mod inbox;
#[cfg(feature = "test-util")]
mod inline;
#[cfg(feature = "_database")]
#[doc(hidden)]
pub mod lease;
pub mod lock_table;
mod lookup;
mod map;
mod message;
mod message_batch;
mod opening;
mod recent;
mod replies;
mod run;
mod search;
mod server_query;
mod session;
mod short_list;
mod source;
mod status_file;
mod threads;
mod timer;
mod turns;
mod unwind;

/// What goes into the cores and comes out, for simulation.
pub mod simulated {
    pub use super::executor::{Contact, Report};
    pub use super::grant::GrantInfo;
    pub use crate::clock::{Time, Validity, Wall};
    pub use crate::spec::lock_id::LockId;
    pub use crate::spec::options::LockOptions;
}

use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use self::actor::Actor;
pub(crate) use self::callbacks::OnLost;
pub(crate) use self::conversion::Conversion;
pub(crate) use self::delivery::Delivery;
use self::end::{Ends, EngineEnd};
pub(crate) use self::end::{close_at_the_end, tell_all_switched};
#[cfg(test)]
pub(crate) use self::executor::Report;
pub(crate) use self::executor::{Executor, HandedOver, Reply};
pub use self::grant::Grant;
pub use self::grants::Grants;
pub(crate) use self::handle::{Engine, Opened};
use self::inbox::Inbox;
#[cfg(feature = "test-util")]
pub(crate) use self::inline::{Inline, test_clock};
#[cfg(feature = "_database")]
pub(crate) use self::lease::Leases;
pub(crate) use self::message::{Adoption, Message, Request};
pub(crate) use self::message_batch::MessageBatch;
pub(crate) use self::opening::{Open, opens};
use self::opening::{Opening, into_place};
use self::run::run;
pub(crate) use self::session::{Limits, Sessions};
pub(crate) use self::status_file::StatusFile;
use self::threads::OnlyThread;
use self::turns::Turns;
use crate::error::{Error, Result};
use crate::observe::Telemetry;
use crate::worker::Work;

impl Engine {
    /// Starts an engine: on a thread of its own, or on the given runtime. `limit`: how long opening
    /// it may take. `file`: where it is to write what it does. `lazy`: it connects when it is first of
    /// use; so it does while locking is switched off.
    pub(crate) fn start<E: Executor>(
        runtime: Option<Handle>,
        (limit, label): (Duration, &str),
        telemetry: Arc<Telemetry>,
        file: Option<StatusFile>,
        lazy: bool,
        open: Open<E>,
    ) -> Result<(Engine, Opened)> {
        end::watch_main_thread();
        let (mailbox, message) = mpsc::unbounded_channel();
        let end = EngineEnd::new(&mailbox);
        let only_thread = runtime.as_ref().and_then(OnlyThread::of);
        let engine =
            Engine::new(mailbox, Arc::clone(&end), only_thread.clone(), Arc::clone(&telemetry));
        let (ready, opened) = watch::channel(None);
        let (owns_thread, label, weak) = (runtime.is_none(), label.to_owned(), engine.downgrade());
        let (ends, inbox, direct) = (Ends(end), Inbox::new(message), engine.direct());
        let (open, place) = into_place(open);
        let main: BoxedTask = Box::pin(async move {
            // Dropped last, in whatever way this ends.
            let ends = ends;
            let mut inbox = inbox;
            let opening = Opening { open, limit, label, ready, lazy, callers: Vec::new() };
            let opened = Box::pin(opening.opened(&mut inbox)).await;
            let executor = place.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let (Some(()), Some(executor)) = (opened, executor) {
                let actor = Actor::new(executor, weak, telemetry);
                run(Turns::new(actor, inbox, file, owns_thread), &ends.0, &direct).await;
            }
        });
        match (runtime, only_thread) {
            (Some(handle), Some(only)) => drop(handle.spawn(only.watch(main))),
            (Some(handle), None) => drop(handle.spawn(main)),
            (None, _) => on_a_thread(main)?,
        }
        Ok((engine, Opened(opened)))
    }
}

/// A task of one type, whatever its future is: tokio's code for tasks is compiled once for each type, and is
/// large.
type BoxedTask = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Spawns a task that is not hot, on the engine's runtime.
fn spawn_boxed(task: BoxedTask) {
    drop(tokio::spawn(task));
}

/// The thread owns its runtime and is never joined: dropping a runtime inside another one panics.
fn on_a_thread(main: BoxedTask) -> Result<()> {
    let failed = |what: &str, error: std::io::Error| {
        Error::config(format!(
            "the locker's own {what} could not be started: {error}; look at the limits of threads, files and memory"
        ))
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed("runtime", error))?;
    let work: Work = Box::new(move || {
        // A task of its own: whatever wakes the future of `block_on` itself goes through the kernel,
        // even from this thread.
        let main = runtime.spawn(main);
        let _ = runtime.block_on(main);
        // What is left is a connection on its way out; it gets a moment.
        runtime.shutdown_timeout(Duration::from_secs(1));
    });
    std::thread::Builder::new()
        .name("dlock-engine".into())
        .spawn(work)
        .map_err(|error| failed("thread", error))?;
    Ok(())
}
