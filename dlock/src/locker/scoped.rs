//! The lockers of a test, by name: others run in this process at the same time.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::thread::{self, ThreadId};

use tokio::runtime::{Handle, Id};

use super::Locker;

static INSTALLED: RwLock<Vec<Entry>> = RwLock::new(Vec::new());

struct Entry {
    id: u64,
    name: Box<str>,
    thread: ThreadId,
    /// `None`: only on that thread.
    runtime: Option<Id>,
    locker: Locker,
}

/// A name under which a locker is installed for this test. The name is removed when this is
/// dropped. Made by [`Locker::install_scoped`](crate::testing::Locker::install_scoped).
#[derive(Debug)]
#[must_use = "the locker is installed as long as this lives: bind it to a name, as in \
              `let _default = dlock.install_scoped();` (`let _ = …` ends it at once)"]
#[clippy::has_significant_drop]
pub struct Scoped(u64);

impl Scoped {
    pub(crate) fn new(name: &str, locker: Locker) -> Self {
        let runtime = Handle::try_current().ok().map(|runtime| runtime.id());
        Scoped::install(name, locker, runtime)
    }

    fn install(name: &str, locker: Locker, runtime: Option<Id>) -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let id = LAST.fetch_add(1, Ordering::Relaxed) + 1;
        let (name, thread) = (name.into(), thread::current().id());
        let entry = Entry { id, name, thread, runtime, locker };
        INSTALLED.write().unwrap_or_else(PoisonError::into_inner).push(entry);
        Scoped(id)
    }
}

impl Drop for Scoped {
    fn drop(&mut self) {
        let mut installed = INSTALLED.write().unwrap_or_else(PoisonError::into_inner);
        let place = installed.iter().position(|entry| entry.id == self.0);
        let gone = place.map(|place| installed.remove(place));
        drop(installed);
        // It may be the last of that locker.
        drop(gone);
    }
}

/// The locker that has this name here.
pub(crate) fn scoped(name: &str) -> Option<Locker> {
    let installed = INSTALLED.read().unwrap_or_else(PoisonError::into_inner);
    if installed.is_empty() {
        return None;
    }
    let runtime = Handle::try_current().ok().map(|runtime| runtime.id());
    let thread = thread::current().id();
    let is_here = |entry: &&Entry| {
        let same = entry.thread == thread || (entry.runtime.is_some() && entry.runtime == runtime);
        same && *entry.name == *name
    };
    installed.iter().rev().find(is_here).map(|entry| entry.locker.clone())
}

/// Runs a future with this as the locker of this name.
pub(crate) async fn scope<F: Future>(name: &str, locker: &Locker, body: F) -> F::Output {
    let mut body = pin!(body);
    poll_fn(|cx| {
        let _scoped = Scoped::install(name, locker.clone(), None);
        body.as_mut().poll(cx)
    })
    .await
}
