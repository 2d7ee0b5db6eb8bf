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

/// No test takes this long, whatever else the machine has to do.
const LIMIT: Duration = Duration::from_secs(60);
/// But those of many random rounds, which have their own measure.
const PATIENT: Duration = Duration::from_secs(12 * 60);
/// Unless it is to take long.
const LONG: Duration = Duration::from_secs(20 * 60);

/// Runs a behaviour on a backend, as the test of that name.
pub fn check<F: Future<Output = ()>>(
    suite: &str,
    backend: Backend,
    name: &'static str,
    behaviour: impl FnOnce(Site) -> F + Send + 'static,
) {
    let suite = format!("{suite} on {backend}");
    // By its threads' name, `not_run` knows which test it is in.
    let limit = match name.contains("::random::") {
        _ if is_long() => LONG,
        true => PATIENT,
        false => LIMIT,
    };
    limited_as(name, limit, move || match Site::on(backend) {
        Ok(site) => {
            let mut runtime = Builder::new_multi_thread();
            let runtime = runtime.worker_threads(2).thread_name(name).enable_all().build();
            runtime.unwrap().block_on(behaviour(site));
        }
        Err(why) => not_run(&suite, &why),
    });
}

/// Whether `tests/run --long` wants more of those tests that can go on for as long as one likes.
pub fn is_long() -> bool {
    std::env::var_os("DLOCK_TEST_LONG").is_some()
}

/// Says, also for the summary of `tests/run`, that something was not tested.
pub fn not_run(what: &str, why: &str) {
    eprintln!("NOT RUN: {what}: {why}");
    tell("DLOCK_TEST_NOT_RUN", &format!("{what}: {why}"));
    if let Some(test) = thread::current().name().filter(|name| name.contains("::")) {
        tell("DLOCK_TEST_SKIPPED", test);
    }
}

/// Adds a line to a table in the summary of `tests/run`.
pub fn tabulate(line: &str) {
    eprintln!("{line}");
    tell("DLOCK_TEST_TABLES", line);
}

/// Adds a line to the file of that variable, if `tests/run` has made one.
pub fn tell(variable: &str, line: &str) {
    if let Ok(file) = std::env::var(variable) {
        let mut file = OpenOptions::new().create(true).append(true).open(file).unwrap();
        // One write, so that lines of several processes do not mix.
        file.write_all(format!("{line}\n").as_bytes()).unwrap();
    }
}

/// Runs a test's body; that it does not end is a failure.
pub fn limited<T: Send + 'static>(limit: Duration, body: impl FnOnce() -> T + Send + 'static) -> T {
    limited_as("test", limit, body)
}

/// The same of a body that needs a runtime.
pub fn limited_in_runtime<F: Future<Output = ()>>(
    limit: Duration,
    body: impl FnOnce() -> F + Send + 'static,
) {
    limited(limit, || {
        let mut runtime = Builder::new_multi_thread();
        runtime.worker_threads(2).enable_all().build().unwrap().block_on(body());
    });
}

fn limited_as<T: Send + 'static>(
    name: &str,
    limit: Duration,
    body: impl FnOnce() -> T + Send + 'static,
) -> T {
    let (ended, end) = mpsc::channel::<()>();
    let body = move || {
        let _ended = ended;
        body()
    };
    let body = thread::Builder::new().name(name.to_owned()).spawn(body).unwrap();
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
