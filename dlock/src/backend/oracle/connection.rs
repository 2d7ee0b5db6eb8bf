//! A connection, and the thread that it lives on.
//!
//! The driver is synchronous, and even the drop of a connection speaks with the server. So each
//! connection has a thread of its own: nobody else ever waits for the network. A call that has no end
//! keeps that thread and nothing else; the one who asked has gone on by then.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use oracledb::{Config, Connection as Driver, Error as DriverError};
use tokio::sync::oneshot;

use super::errors::{Ended, Said, error_of, is_fatal, kind_of, number};
use crate::backend::bounds::TooLong;
use crate::backend::errors::ErrorKind;
use crate::error::{Error, Result, Source};

/// How long a goodbye may take.
pub(super) const GOODBYE: Duration = Duration::from_secs(1);

/// Something to be done on the connection's thread. Returns `false` if that was the last.
type Job = Box<dyn FnOnce(&Driver) -> bool + Send>;

/// A connection, whose driver is on a thread of its own. Dropped, it is closed there.
pub(crate) struct Connection {
    jobs: mpsc::Sender<Job>,
    /// Ends with the thread.
    ended: oneshot::Receiver<()>,
    /// The server's number of the session.
    pub(super) sid: i64,
    /// Tells it from others that had, or will have, the number.
    pub(super) serial: i64,
}

impl Connection {
    /// Connects and logs in, on a thread of its own, which drops `alive` at its end. Dropped before it is done, it
    /// has the thread disconnect when it is.
    pub(super) async fn open(config: Config, label: &str, alive: Arc<()>) -> Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let (opened, answer) = oneshot::channel();
        let (running, ended) = oneshot::channel();
        let run = move || {
            match log_in(config) {
                Ok((driver, birth)) => {
                    if opened.send(Ok(birth)).is_ok() {
                        serve(&driver, &queue);
                    }
                    say_goodbye(driver);
                }
                Err(error) => drop(opened.send(Err(error))),
            }
            drop((running, alive));
        };
        let spawned = thread::Builder::new().name("dlock-oracle".into()).spawn(run);
        spawned.map_err(|error| Error::unavailable(label, error))?;
        let (sid, serial) = answer
            .await
            .map_err(|_| Error::unavailable(label, Ended))?
            .map_err(|error| error_of(label, error))?;
        Ok(Connection { jobs, ended, sid, serial })
    }

    /// Asks this on the connection's thread; one call to the server may take `limit`.
    ///
    /// # Cancel safety
    /// When the future is dropped, the connection is closed after the call: what came of that,
    /// nobody knows.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        limit: Duration,
        question: impl FnOnce(&Driver) -> Result<T, DriverError> + Send + 'static,
    ) -> Result<T, Unanswered> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |driver| {
            let answer = driver.set_call_timeout(Some(limit)).and_then(|()| question(driver));
            let goes_on = answer.as_ref().err().is_none_or(|error| !is_fatal(error));
            reply.send(answer).is_ok() && goes_on
        });
        self.jobs.send(job).map_err(|_| Unanswered::Ended)?;
        match answer.await {
            Ok(answer) => answer.map_err(Unanswered::Driver),
            Err(_) => Err(Unanswered::Ended),
        }
    }

    /// Disconnects. The server has let go of everything when it is done.
    pub(super) async fn close(self) {
        drop(self.jobs);
        // The ping before the goodbye, and the goodbye.
        let _ = tokio::time::timeout(2 * GOODBYE, self.ended).await;
    }
}

/// Why there is no answer.
pub(super) enum Unanswered {
    Driver(DriverError),
    /// It goes on and on: what comes after that is nobody's answer.
    TooLong(TooLong),
    /// The thread has ended.
    Ended,
}

impl Unanswered {
    /// The server's number, if the server has answered, and the session is as it was.
    pub(super) fn number(&self) -> Option<usize> {
        match self {
            Unanswered::Driver(error) => number(error),
            Unanswered::TooLong(_) | Unanswered::Ended => None,
        }
    }

    pub(super) fn kind(&self) -> ErrorKind {
        match self {
            Unanswered::Driver(error) => kind_of(error),
            Unanswered::TooLong(_) | Unanswered::Ended => ErrorKind::Ended,
        }
    }

    /// What was said.
    pub(super) fn into_source(self) -> Source {
        match self {
            Unanswered::Driver(error) => Arc::new(Said::of(&error)),
            Unanswered::TooLong(error) => Arc::new(error),
            Unanswered::Ended => Arc::new(Ended),
        }
    }

    pub(super) fn into_error(self, label: &str) -> Error {
        match self {
            Unanswered::Driver(error) => error_of(label, error),
            other => Error::away(label, other.into_source()),
        }
    }
}

/// Logs in; the session's number and what tells it from others of that number.
fn log_in(config: Config) -> Result<(Driver, (i64, i64)), DriverError> {
    let driver = oracledb::connect(config)?;
    let number = |number: usize| i64::try_from(number).unwrap_or(-1);
    let birth = (number(driver.session_id()?), number(driver.serial_num()?));
    Ok((driver, birth))
}

fn serve(driver: &Driver, queue: &mpsc::Receiver<Job>) {
    while let Ok(job) = queue.recv() {
        if !job(driver) {
            return;
        }
    }
}

/// Disconnects. The driver waits without end for the answer to its goodbye, so a server that does
/// not answer any more is not told: its connection is closed.
fn say_goodbye(driver: Driver) {
    // One that fails has closed the connection.
    let _ = driver.set_call_timeout(Some(GOODBYE)).and_then(|()| driver.ping());
    drop(driver);
}
