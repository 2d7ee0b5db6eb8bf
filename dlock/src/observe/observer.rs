//! Observer: the application's own listener.

use std::mem::forget;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Event, SessionState, Subject};
use crate::error::Error;
use crate::spec::key::Key;
use crate::spec::mode::Mode;
use crate::status::holder::Holder;
use crate::status::lost::LostInfo;
use crate::text::Text;
use crate::worker::{QUEUED_MAX, Task, Worker};

/// The locker that an [`Observer`] is told about.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ObservedLocker {
    /// The name of the locker: see the [guide](crate::guide::observing).
    pub name: Text,
    /// The kind of the database, as in the URL: `postgres`, `lease+mysql`.
    pub backend: Text,
    /// The database and its address.
    pub server: Text,
}

/// The lock that an [`Observer`] is told about.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ObservedLock {
    /// The key of the lock.
    pub key: Key,
    /// The name of the lock: [`Lock::label`](crate::Lock::label), or the text of the template of
    /// `#[locked]`. Empty if it has none.
    pub label: Text,
    /// The mode in which the lock was held or requested.
    pub mode: Mode,
    /// The locker of the lock.
    pub locker: ObservedLocker,
}

/// A listener for what happens to the locks of a locker:
/// [`LockerBuilder::observer`](crate::LockerBuilder::observer). Every method does nothing by
/// default.
///
/// The methods run on a separate thread of the locker, one at a time, in the order of the events.
/// So they may block and take locks. If one does not end, up to 10,000 events wait. Further events
/// are left out, which is logged once at ERROR. A panic is caught and logged. In the child of a
/// fork nothing is called. Events at the very end of a program may be left out.
pub trait Observer: Send + Sync + 'static {
    /// Is called when a caller has got the lock, after waiting this long.
    fn acquired(&self, lock: &ObservedLock, waited: Duration) {
        let _ = (lock, waited);
    }

    /// Is called when a caller that does not wait has found the lock taken.
    fn busy(&self, lock: &ObservedLock, holder: Option<&Holder>) {
        let _ = (lock, holder);
    }

    /// Is called when a caller has waited for the lock in vain.
    fn timed_out(&self, lock: &ObservedLock, waited: Duration, holder: Option<&Holder>) {
        let _ = (lock, waited, holder);
    }

    /// Is called when a caller did not get the lock for another reason.
    fn failed(&self, lock: &ObservedLock, error: &Error) {
        let _ = (lock, error);
    }

    /// Is called when a caller has waited for the lock longer than
    /// [`slow_wait`](crate::LockerBuilder::slow_wait), and still waits.
    fn slow_wait(&self, lock: &ObservedLock, waited: Duration, holder: Option<&Holder>) {
        let _ = (lock, waited, holder);
    }

    /// Is called when the lock has been held longer than
    /// [`max_hold`](crate::LockerBuilder::max_hold), and still is.
    fn long_hold(&self, lock: &ObservedLock, held: Duration) {
        let _ = (lock, held);
    }

    /// Is called when the holder has changed the lock's mode. `from` is the earlier mode.
    fn converted(&self, lock: &ObservedLock, from: Mode) {
        let _ = (lock, from);
    }

    /// Is called when the guard has released the lock.
    fn released(&self, lock: &ObservedLock, held: Duration) {
        let _ = (lock, held);
    }

    /// Is called when the guard has released the lock, and the database did not confirm that.
    /// Others get the lock when the session or the lease ends.
    fn release_failed(&self, lock: &ObservedLock, held: Duration) {
        let _ = (lock, held);
    }

    /// Is called when the lock was lost while it was held.
    fn lost(&self, lock: &ObservedLock, info: &LostInfo) {
        let _ = (lock, info);
    }

    /// Is called when the database has confirmed that the locker still holds its locks: it has
    /// renewed leases, or answered a heartbeat. `took` is how long the answer took.
    fn renewed(&self, locker: &ObservedLocker, took: Duration) {
        let _ = (locker, took);
    }

    /// Is called when a connection to the database was opened.
    fn session_opened(&self, locker: &ObservedLocker) {
        let _ = locker;
    }

    /// Is called when a connection to the database was closed or has broken.
    fn session_closed(&self, locker: &ObservedLocker) {
        let _ = locker;
    }
}

/// What an observer is to be told.
type Tell = Box<dyn FnOnce(&dyn Observer) + Send>;

/// An observer, and the thread that it is told on.
pub(super) struct Listener {
    /// `None` only while it is dropped.
    observer: Option<Arc<dyn Observer>>,
    worker: Worker<News>,
    locker: ObservedLocker,
    /// Events are left out now, which has been said.
    is_full: AtomicBool,
}

/// What happened, for the thread of the observer.
enum News {
    Told(Arc<dyn Observer>, Tell),
    /// The last of it, to be dropped there.
    Gone(Arc<dyn Observer>),
}

impl Task for News {
    const THREAD: &'static str = "dlock-observer";

    fn run(self) {
        let done = catch_unwind(AssertUnwindSafe(|| match self {
            News::Told(observer, tell) => tell(&*observer),
            News::Gone(observer) => drop(observer),
        }));
        if let Err(panic) = done {
            tracing::error!(target: "dlock", "the observer of a locker has panicked");
            // Its payload is the user's as well, and may panic in turn.
            forget(panic);
        }
    }
}

impl Listener {
    pub(super) fn new(observer: Arc<dyn Observer>, locker: ObservedLocker) -> Self {
        let (worker, is_full) = (Worker::new(), AtomicBool::new(false));
        Listener { observer: Some(observer), worker, locker, is_full }
    }

    /// Has the observer told, soon.
    pub(super) fn tell(&self, event: &Event<'_>) {
        let (Some(observer), Some(tell)) = (&self.observer, self.translate(event)) else { return };
        let taken = self.worker.run(News::Told(Arc::clone(observer), tell));
        if !taken && !self.is_full.swap(true, Ordering::Relaxed) {
            tracing::error!(target: "dlock",
                "the observer of a locker is too slow: {QUEUED_MAX} events wait, further ones are left out");
        } else if taken {
            self.is_full.store(false, Ordering::Relaxed);
        }
    }

    /// The method that is to be called, with all that it is given. `None`: there is none for this.
    fn translate(&self, event: &Event<'_>) -> Option<Tell> {
        let lock = |of: Subject<'_>| ObservedLock {
            key: of.key.clone(),
            label: of.label.as_str().into(),
            mode: of.mode,
            locker: self.locker.clone(),
        };
        let locker = self.locker.clone();
        Some(match *event {
            Event::WaitBegan { .. } | Event::WaitEnded { .. } | Event::SessionBroken { .. } => {
                return None;
            }
            Event::Acquired { of, waited } => {
                let lock = lock(of);
                Box::new(move |to| to.acquired(&lock, waited))
            }
            Event::Busy { of, holder, .. } => {
                let (lock, holder) = (lock(of), holder.cloned());
                Box::new(move |to| to.busy(&lock, holder.as_ref()))
            }
            Event::TimedOut { of, waited, holder, .. } => {
                let (lock, holder) = (lock(of), holder.cloned());
                Box::new(move |to| to.timed_out(&lock, waited, holder.as_ref()))
            }
            Event::Failed { of, error, .. } => {
                let (lock, error) = (lock(of), error.clone());
                Box::new(move |to| to.failed(&lock, &error))
            }
            Event::SlowWait { of, waited, holder } => {
                let (lock, holder) = (lock(of), holder.cloned());
                Box::new(move |to| to.slow_wait(&lock, waited, holder.as_ref()))
            }
            Event::LongHold { of, held } => {
                let lock = lock(of);
                Box::new(move |to| to.long_hold(&lock, held))
            }
            Event::Converted { of, from } => {
                let lock = lock(of);
                Box::new(move |to| to.converted(&lock, from))
            }
            Event::Released { of, held } => {
                let lock = lock(of);
                Box::new(move |to| to.released(&lock, held))
            }
            Event::ReleaseFailed { of, held, .. } => {
                let lock = lock(of);
                Box::new(move |to| to.release_failed(&lock, held))
            }
            Event::Lost { of, info, .. } => {
                let (lock, info) = (lock(of), info.clone());
                Box::new(move |to| to.lost(&lock, &info))
            }
            Event::Renewed { took } => Box::new(move |to| to.renewed(&locker, took)),
            Event::SessionMoved { from: Some(SessionState::Connecting), to: Some(_) } => {
                Box::new(move |to| to.session_opened(&locker))
            }
            Event::SessionMoved {
                from: Some(SessionState::Open | SessionState::Waiting),
                to: None,
            } => Box::new(move |to| to.session_closed(&locker)),
            Event::SessionMoved { .. } => return None,
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(observer) = self.observer.take() {
            // Wherever this is, perhaps on the engine's thread, the user's code is not to run.
            self.worker.run(News::Gone(observer));
        }
    }
}
