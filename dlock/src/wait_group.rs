//! Waiting until others have dropped their share of something.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// A group and the first share of it. A channel of the standard library's would do, in ten times the code.
pub(crate) fn wait_group() -> (Share, WaitGroup) {
    let signal = Arc::new(Signal::default());
    (Share { _all: Arc::new(All(Arc::clone(&signal))) }, WaitGroup(signal))
}

/// Whoever has a clone of it is waited for.
#[derive(Clone)]
pub(crate) struct Share {
    _all: Arc<All>,
}

/// All shares: it is dropped with the last one.
struct All(Arc<Signal>);

impl Drop for All {
    fn drop(&mut self) {
        *self.0.are_dropped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.changed.notify_all();
    }
}

/// Waits for all shares to be dropped.
pub(crate) struct WaitGroup(Arc<Signal>);

#[derive(Default)]
struct Signal {
    are_dropped: Mutex<bool>,
    changed: Condvar,
}

impl WaitGroup {
    /// Blocks the thread until the last share is dropped, but not longer than this.
    pub(crate) fn wait(&self, longest: Duration) {
        let are_dropped = self.0.are_dropped.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.changed.wait_timeout_while(are_dropped, longest, |dropped| !*dropped);
        drop(waited);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn the_last_share_ends_the_wait() {
        let (share, group) = wait_group();
        let other = share.clone();
        drop(share);
        let begun = Instant::now();
        group.wait(Duration::from_millis(20));
        assert!(begun.elapsed() >= Duration::from_millis(20));
        let waits = std::thread::spawn(move || group.wait(Duration::MAX));
        drop(other);
        assert!(waits.join().is_ok());
    }
}
