//! Wake-ups: those of one turn of the engine that are for tasks of one runtime cost that runtime one.
//!
//! To wake a task from a thread that is not its runtime's is mostly a system call, for each task. So
//! the engine gathers whom a turn wakes, and gives a runtime that has several of them one task, which
//! wakes them from inside.

use std::cell::RefCell;
use std::sync::Arc;
use std::task::Waker;

use tokio::runtime::Handle;

thread_local! {
    /// Whom the engine on this thread has woken in this turn, while it gathers them.
    static GATHERED: RefCell<Gathered> = const { RefCell::new(Gathered { open: false, woken: Vec::new() }) };
}

struct Gathered {
    open: bool,
    woken: Vec<Sleeper>,
}

/// Somebody who waits for the engine.
pub(super) struct Sleeper {
    who: Who,
    /// The runtime whose task it is. `None`: it is no task of tokio's.
    runtime: Option<Handle>,
}

enum Who {
    Waker(Waker),
    Crowd(Arc<dyn Waiters>),
}

/// Something that tasks wait for.
pub(super) trait Waiters: Send + Sync {
    /// Wakes all of them.
    fn wake_all(&self);
}

impl Sleeper {
    /// Whoever is polled on this thread, with this waker.
    pub(super) fn here(waker: &Waker) -> Self {
        Sleeper { who: Who::Waker(waker.clone()), runtime: task_runtime() }
    }

    /// Those who wait for this, which are mostly one task of that runtime.
    pub(super) fn all(waiters: Arc<dyn Waiters>, runtime: Option<Handle>) -> Self {
        Sleeper { who: Who::Crowd(waiters), runtime }
    }

    /// Whether this waker wakes it.
    pub(super) fn is_woken_by(&self, waker: &Waker) -> bool {
        matches!(&self.who, Who::Waker(own) if own.will_wake(waker))
    }

    /// Wakes it: at the end of the turn if this is the engine, else now.
    pub(super) fn wake(self) {
        let mut sleeper = Some(self);
        // A thread that is ending gathers nothing any more.
        let _ = GATHERED.try_with(|gathered| {
            let mut gathered = gathered.borrow_mut();
            if gathered.open {
                gathered.woken.extend(sleeper.take());
            }
        });
        if let Some(sleeper) = sleeper {
            sleeper.who.wake();
        }
    }
}

impl Who {
    fn wake(self) {
        match self {
            Who::Waker(waker) => waker.wake(),
            Who::Crowd(waiters) => waiters.wake_all(),
        }
    }
}

/// The runtime whose task waits, and which another task of it can wake. It is never known: what waits
/// may block its runtime's thread in the middle of a task, and then no task of it runs.
pub(super) fn task_runtime() -> Option<Handle> {
    None
}

/// While it lives, whom this thread wakes is gathered.
pub(super) struct WakeBatch(());

impl WakeBatch {
    pub(super) fn new() -> Self {
        let _ = GATHERED.try_with(|gathered| gathered.borrow_mut().open = true);
        WakeBatch(())
    }
}

impl Drop for WakeBatch {
    fn drop(&mut self) {
        let here = Handle::try_current().ok().map(|here| here.id());
        let mut groups: Vec<(Handle, Crowd)> = Vec::new();
        // In the order in which they had their answers.
        let _ = GATHERED.try_with(|gathered| gathered.borrow_mut().woken.reverse());
        // One by one: to wake somebody may run code that comes here again.
        while let Ok(Some(sleeper)) = GATHERED.try_with(take_last) {
            match sleeper.runtime {
                Some(runtime) if Some(runtime.id()) != here => {
                    let group = groups.iter_mut().find(|(other, _)| other.id() == runtime.id());
                    match group {
                        Some((_, crowd)) => crowd.0.push(sleeper.who),
                        None => groups.push((runtime, Crowd(vec![sleeper.who]))),
                    }
                }
                _ => sleeper.who.wake(),
            }
        }
        for (runtime, crowd) in groups {
            if crowd.0.len() > 1 {
                // A runtime that has been shut down drops it at once.
                drop(runtime.spawn(async move { drop(crowd) }));
            }
        }
    }
}

/// The next to be woken; when there is none, nobody is gathered any more.
fn take_last(gathered: &RefCell<Gathered>) -> Option<Sleeper> {
    let mut gathered = gathered.borrow_mut();
    let last = gathered.woken.pop();
    gathered.open &= last.is_some();
    last
}

/// Several tasks of one runtime, which are woken when this is dropped: also by a runtime that ends.
struct Crowd(Vec<Who>);

impl Drop for Crowd {
    fn drop(&mut self) {
        self.0.drain(..).for_each(Who::wake);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use std::sync::Mutex;
    use std::task::Wake;
    use std::thread::{self, ThreadId};

    use super::*;

    /// Notes on which threads it is woken.
    #[derive(Default)]
    struct Noted(Mutex<Vec<ThreadId>>);

    impl Wake for Noted {
        fn wake(self: Arc<Self>) {
            self.0.lock().unwrap().push(thread::current().id());
        }
    }

    fn sleepers(count: usize, noted: &Arc<Noted>) -> Vec<Sleeper> {
        (0..count).map(|_| Sleeper::here(&Arc::clone(noted).into())).collect()
    }

    #[test]
    fn others_are_woken_at_once() {
        let noted = Arc::<Noted>::default();
        sleepers(2, &noted).into_iter().for_each(Sleeper::wake);
        assert_eq!(noted.0.lock().unwrap().len(), 2);
    }
}
