//! Runs a test: in its time, on its backend, or not at all but never silently.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::panic::resume_unwind;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;

use crate::backend::Backend;
use crate::site::Site;

/// No test takes so long, whatever else the machine has to do.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs a behaviour on a backend.
pub fn check<F: Future<Output = ()>>(
    suite: &str,
    backend: Backend,
    behaviour: impl FnOnce(Site) -> F + Send + 'static,
) {
    match Site::on(backend) {
        Ok(site) => limited(LIMIT, move || {
            let runtime =
                Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(behaviour(site));
        }),
        Err(why) => not_run(&format!("{suite} on {backend}"), &why),
    }
}

/// Says, to whoever looks and to the summary of `tests/run`, that something was not tested.
pub fn not_run(what: &str, why: &str) {
    eprintln!("NOT RUN: {what}: {why}");
    if let Ok(file) = std::env::var("DLOCK_TEST_NOT_RUN") {
        let mut file = OpenOptions::new().create(true).append(true).open(file).unwrap();
        // One write, so that lines of several processes do not mix.
        file.write_all(format!("{what}: {why}\n").as_bytes()).unwrap();
    }
}

/// Runs a test's body; that it does not end is a failure.
pub fn limited<T: Send + 'static>(limit: Duration, body: impl FnOnce() -> T + Send + 'static) -> T {
    let (ended, end) = mpsc::channel::<()>();
    let body = thread::spawn(move || {
        let _ended = ended;
        body()
    });
    // Whether the body returned or panicked, its end of the channel is dropped.
    if end.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("the test still runs after {limit:?}");
    }
    body.join().unwrap_or_else(|panic| resume_unwind(panic))
}

/// Runs this on a plain thread, outside of any runtime.
pub fn on_a_thread<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> T {
    thread::spawn(body).join().unwrap_or_else(|panic| resume_unwind(panic))
}
