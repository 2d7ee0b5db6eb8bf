//! A pause between two tries, on whatever executor the caller has.

use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::error::{Error, Result};
use crate::wait_group::wait_group;
use crate::worker::Work;

/// Ends after this time. A thread keeps the time, and ends early when the future is dropped: tokio's
/// timers panic where there is no runtime of tokio's, or one without timers.
pub(super) async fn sleep(time: Duration) -> Result<()> {
    let (wake, woken) = oneshot::channel();
    let (_wanted, gone) = wait_group();
    let work: Work = Box::new(move || {
        gone.wait(time);
        let _ = wake.send(());
    });
    let sleeper = thread::Builder::new().name("dlock-pause".into()).spawn(work);
    sleeper.map_err(|error| {
        Error::config(format!("a thread for the pause between two tries cannot be had: {error}; look at the limit of threads"))
    })?;
    woken.await.map_err(|_| Error::Closed)
}
