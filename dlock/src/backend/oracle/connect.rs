//! Where a server is, how it is connected to, and the thread that a connection lives on.
//!
//! The driver is synchronous, and even the drop of a connection speaks with the server. So each
//! connection has a thread of its own: nobody else ever waits for the network. A call that has no end
//! keeps that thread and nothing else; the one who asked has gone on by then.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use oracledb::{Config, Connection as Driver, Error as DriverError};
use tokio::sync::oneshot;

use super::errors::{Ended, Said, Stuck, error_of, is_fatal, kind_of, number};
use crate::backend::bounds::TooLong;
use crate::backend::errors::ErrorKind;
use crate::backend::url::{Parts, unreadable};
use crate::error::{Error, Result, Source};

/// How long a goodbye may take.
pub(super) const GOODBYE: Duration = Duration::from_secs(1);
/// How many threads a locker may have, those included that hang in a call which has no end.
const THREADS_MAX: usize = 64;

/// A server, and how to log in there.
#[derive(Clone)]
pub(crate) struct Target {
    config: Config,
    label: Arc<str>,
    /// One more for each thread that is alive.
    threads: Arc<()>,
}

impl Target {
    /// Reads a URL: `oracle://user:password@host:1521/service`.
    pub(crate) fn of_url(url: &str, application: Option<&str>) -> Result<Self> {
        let parts = Parts::of(url, 1521).ok_or_else(|| unreadable("oracle", "1521"))?;
        let (host, port) = (parts.host, parts.port);
        if host.contains(',') {
            return Err(Error::config(
                "the oracle:// url has several hosts, and locks are those of one database: name one, \
                 or the SCAN listener of the cluster",
            ));
        }
        let mut settings = Settings::default();
        for (name, value) in &parts.parameters {
            settings.set(name, value)?;
        }
        let service = &*parts.database;
        let place = match (&settings.sid, service) {
            (Some(sid), _) => format!("(SID={})", checked("sid", sid)?),
            (None, "") => {
                return Err(Error::config(
                    "the oracle:// url names no service; write oracle://user@host:1521/service",
                ));
            }
            (None, service) => format!("(SERVICE_NAME={})", checked("service", service)?),
        };
        // A shared server that waits for a lock serves nobody else, and a pooled one keeps no locks.
        let descriptor = format!(
            "(DESCRIPTION=(ADDRESS=(PROTOCOL={})(HOST={})(PORT={port}))\
             (CONNECT_DATA=(SERVER=dedicated){place}))",
            if settings.tls { "tcps" } else { "tcp" },
            checked("host", host)?,
        );
        let application = application.or(settings.application.as_deref()).unwrap_or("dlock");
        // What the driver lets through.
        let application = application.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let wrong = |error: DriverError| {
            Error::config(format!("the oracle:// url cannot be used: {error}"))
        };
        let mut config = Config::default()
            .set_credentials(&parts.user, &parts.password)
            .set_connect_string(&descriptor)
            .and_then(|config| config.set_program(application))
            .map_err(wrong)?;
        if let Some(wallet) = settings.wallet {
            config = config.set_wallet_location(wallet);
        }
        if let Some(password) = settings.wallet_password {
            config = config.set_wallet_password(&password);
        }
        let label = format!("oracle ({host}:{port}/{service})");
        Ok(Target { config, label: label.into(), threads: Arc::new(()) })
    }

    /// The server and its address, for messages.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// Connects and logs in, on a thread of its own. Dropped before it is done, it has the thread
    /// disconnect when it is.
    pub(super) async fn connect(&self, limit: Duration) -> Result<Connection> {
        if Arc::strong_count(&self.threads) > THREADS_MAX {
            return Err(Error::unavailable(&self.label, Stuck(THREADS_MAX)));
        }
        let config = self.config.clone().set_transport_connect_timeout(Some(limit));
        let (jobs, queue) = mpsc::channel::<Job>();
        let (opened, answer) = oneshot::channel();
        let (alive, ended) = oneshot::channel();
        let thread = Arc::clone(&self.threads);
        let run = move || {
            match open(config) {
                Ok((driver, birth)) => {
                    if opened.send(Ok(birth)).is_ok() {
                        serve(&driver, &queue);
                    }
                    say_goodbye(driver);
                }
                Err(error) => drop(opened.send(Err(error))),
            }
            drop((alive, thread));
        };
        let spawned = thread::Builder::new().name("dlock-oracle".into()).spawn(run);
        spawned.map_err(|error| Error::unavailable(&self.label, error))?;
        let (sid, serial) = answer
            .await
            .map_err(|_| Error::unavailable(&self.label, Ended))?
            .map_err(|error| error_of(&self.label, error))?;
        Ok(Connection { jobs, ended, sid, serial })
    }
}

/// The parameters of a URL.
#[derive(Default)]
struct Settings {
    tls: bool,
    wallet: Option<String>,
    wallet_password: Option<String>,
    sid: Option<String>,
    application: Option<String>,
}

impl Settings {
    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let value = value.to_owned();
        match (name.to_ascii_lowercase().as_str(), value.to_ascii_lowercase().as_str()) {
            ("protocol", "tcp") => self.tls = false,
            ("protocol", "tcps") => self.tls = true,
            ("protocol", _) => {
                return Err(Error::config(format!(
                    "protocol={value} in the url: it is tcp (default) or tcps"
                )));
            }
            ("wallet", _) => self.wallet = Some(value),
            ("wallet_password", _) => self.wallet_password = Some(value),
            ("sid", _) => self.sid = Some(value),
            ("application_name", _) => self.application = Some(value),
            ("server", "dedicated") => {}
            ("server", _) => {
                return Err(Error::config(format!(
                    "server={value} in the url: session locks need a dedicated server, for a pooled \
                     one (DRCP) is another session's next, and a shared one that waits serves nobody \
                     else; leave it out, or put lease+ before the url"
                )));
            }
            _ => {
                return Err(Error::config(format!(
                    "the url has a parameter {name:?}; there are protocol, wallet, wallet_password, \
                     sid, server and application_name"
                )));
            }
        }
        Ok(())
    }
}

/// Refuses what would be more than a name in a connect descriptor.
fn checked<'a>(what: &str, value: &'a str) -> Result<&'a str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-$#:".contains(c);
    if !value.is_empty() && value.chars().all(is_plain) {
        return Ok(value);
    }
    Err(Error::config(format!(
        "the {what} in the oracle:// url may have letters, digits and . _ - $ # in it, and no others"
    )))
}

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
fn open(config: Config) -> Result<(Driver, (i64, i64)), DriverError> {
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    #[test]
    fn set_up_that_cannot_be_is_refused_without_the_password() {
        for (url, part) in [
            ("oracle://u:secret@h/s?server=pooled", "dedicated"),
            ("oracle://u:secret@h/s?server=shared", "dedicated"),
            ("oracle://u:secret@h/s?wait=1", "wallet_password"),
            ("oracle://u:secret@h/s?protocol=http", "tcps"),
            ("oracle://u:secret@h", "names no service"),
            ("oracle://u:secret@a,b/s", "several hosts"),
            ("oracle://u:secret@h/s)(SERVER=pooled", "no others"),
            ("oracle://u:secret@h:x/s", "cannot be read"),
        ] {
            let text = Target::of_url(url, None).err().unwrap().to_string();
            assert!(text.contains(part) && !text.contains("secret"), "{url}: {text}");
        }
    }

    #[test]
    fn connects_to_a_dedicated_server() {
        let url = "oracle://scott:p%40ss@db:1522/app.example.com?protocol=tcps&wallet=/etc/w";
        let target = Target::of_url(url, Some("billing (eu)")).unwrap();
        assert_eq!(target.label(), "oracle (db:1522/app.example.com)");
        assert_eq!(target.config.program(), "billing--eu-");
        assert_eq!(target.config.wallet_location(), Some("/etc/w"));
        let descriptor = target.config.get_connect_descriptor();
        for part in ["(PROTOCOL=tcps)", "(PORT=1522)", "SERVER=dedicated", "app.example.com"] {
            assert!(descriptor.contains(part), "{descriptor}");
        }
        let target = Target::of_url("oracle://scott@[::1]/?sid=ORCL", None).unwrap();
        assert!(target.config.get_connect_descriptor().contains("(SID=ORCL)"));
    }
}
