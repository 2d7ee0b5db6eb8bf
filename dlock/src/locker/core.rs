//! Core: what a locker shares with its locks: the engine, and what is known of the database.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::backend::{BackendInfo, normal};
use crate::blocking::block_for;
#[cfg(feature = "test-util")]
use crate::engine::Inline;
use crate::engine::{Engine, Message, Reply};
use crate::error::{Error, Result, Source};
use crate::spec::key::Key;
use crate::spec::mode::Mode;
use crate::spec::native::{Naming, NativeKey};
use crate::spec::options::LockOptions;
use crate::spec::scheme::KeyScheme;
use crate::spec::wait::Wait;
use crate::status::holder::{Holder, KEPT};
use crate::status::rows::{Names, statuses};
use crate::status::{Explained, LockStatus};

/// How long a question that its session does not survive is asked again on others: they may have
/// ended with it, which the engine knows within milliseconds.
const ASK_AGAIN_TIME_MAX: Duration = Duration::from_secs(1);
/// The pause before the first time; each further one is twice as long.
const ASK_AGAIN_PAUSE_MIN: Duration = Duration::from_millis(5);
/// A blocking question waits no longer than this for an engine, which has its own, shorter times: it
/// may be on a runtime that is stuck.
const ASK_TIME_MAX: Duration = Duration::from_secs(60);

/// What all clones of a locker, and its locks, have in common. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Core(Arc<Inner>);

/// What a core is made of.
pub(crate) struct Inner {
    pub(crate) engine: Engine,
    pub(crate) about: BackendInfo,
    pub(crate) scheme: KeyScheme,
    pub(crate) namespace: Box<str>,
    pub(crate) wait: Wait,
    pub(crate) retry_every: Option<Duration>,
    /// A fingerprint, not the URL: that has the password in it.
    pub(crate) url: Option<i64>,
}

impl Core {
    pub(crate) fn new(inner: Inner) -> Self {
        Core(Arc::new(inner))
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// The database and its address.
    pub(crate) fn backend(&self) -> &str {
        &self.0.about.label
    }

    pub(crate) fn naming(&self) -> Naming {
        self.0.about.naming
    }

    pub(crate) fn retry_every(&self) -> Option<Duration> {
        self.0.retry_every
    }

    pub(crate) fn native(&self, key: &Key) -> Result<NativeKey> {
        self.0.scheme.native(self.0.about.naming, key, &self.0.namespace)
    }

    /// An error if the database has no such locks.
    pub(crate) fn check_mode(&self, mode: Mode) -> Result<()> {
        let BackendInfo { label, modes, .. } = &self.0.about;
        if modes.contains(&mode) {
            return Ok(());
        }
        let modes: Vec<String> = modes.iter().map(Mode::to_string).collect();
        Err(Error::Unsupported {
            backend: label.clone(),
            what: format!("{mode} locks").into(),
            instead: format!("it has {} ones", modes.join(" and ")).into(),
        })
    }

    /// An error if locks cannot be taken on these options.
    pub(crate) fn check_options(&self, options: &LockOptions, mode: Mode) -> Result<()> {
        let BackendInfo { label, leases, fences, .. } = &self.0.about;
        let unsupported = |what: &str, instead: &str| Error::Unsupported {
            backend: label.clone(),
            what: what.into(),
            instead: instead.into(),
        };
        // What the database does not have at all is not a matter of its size.
        if let (None, Some(what)) = (leases, options.of_leases()) {
            return Err(unsupported(
                what,
                "leases have: use sqlite://, or put lease+ before a server's url",
            ));
        }
        options.check()?;
        leases.as_ref().map_or(Ok(()), |lease| lease.check_options(options))?;
        if options.fenced && mode.is_compatible_with(mode) {
            return Err(Error::config(format!(
                "a fencing token tells the later of two holders, and {mode} locks have many at \
                 once; leave out fenced() or the mode"
            )));
        }
        if options.fenced && !fences {
            return Err(unsupported("fencing tokens", "leases have: put lease+ before the url"));
        }
        Ok(())
    }

    /// An error where a blocking call would wait for itself.
    pub(crate) fn may_block(&self) -> Result<()> {
        if crate::switch::enabled() { self.0.engine.check_blocking() } else { Ok(()) }
    }

    /// What to say when the engine has not even kept the time.
    pub(crate) fn does_not_run(&self) -> Error {
        let source: Source = Arc::from(Box::from("the locker's engine does not run"));
        Error::away(self.backend(), source)
    }

    /// The error that a test wants the next question to fail with.
    pub(crate) fn fail_as_planned(&self) -> Result<()> {
        #[cfg(feature = "test-util")]
        if let Some(error) = self.0.engine.for_tests().and_then(Inline::planned_failure) {
            return Err(error);
        }
        Ok(())
    }

    /// Has the engine ask the server. A session that ends over the question says nothing of the
    /// server: while others may have ended with it, it is asked again.
    pub(crate) async fn ask<T>(&self, message: impl Fn(Reply<T>) -> Message) -> Result<T> {
        let began = Instant::now();
        let mut pause = ASK_AGAIN_PAUSE_MIN;
        loop {
            let answer = self.ask_once(&message).await;
            let again = answer.as_ref().is_err_and(Error::is_retryable);
            if !again || began.elapsed() + pause > ASK_AGAIN_TIME_MAX {
                return answer;
            }
            self.0.engine.sleep(pause).await?;
            pause *= 2;
        }
    }

    pub(crate) async fn ask_once<T>(&self, message: impl FnOnce(Reply<T>) -> Message) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.0.engine.send(message(reply))?;
        answer.await.unwrap_or_else(|_| {
            let source = Arc::from(Box::from("the connection was lost over the question"));
            Err(Error::away(self.backend(), source))
        })
    }

    pub(crate) fn ask_blocking<T>(&self, answer: impl Future<Output = Result<T>>) -> Result<T> {
        self.0.engine.check_blocking()?;
        #[cfg(feature = "test-util")]
        let _blocks = self.0.engine.blocks();
        block_for(ASK_TIME_MAX, answer).unwrap_or_else(|| Err(self.does_not_run()))
    }

    /// Asks who holds this, as the server sees it.
    pub(crate) async fn holders(&self, native: &NativeKey) -> Result<Vec<Holder>> {
        let rows = self.ask(Message::Status).await?;
        let of_key = rows.into_iter().filter(|row| row.native == *native);
        Ok(of_key.flat_map(|row| row.holders).collect())
    }

    /// Whether nobody holds this and nobody is to have it yet either.
    pub(crate) async fn is_kept(&self, native: &NativeKey) -> Result<bool> {
        Ok(self.holders(native).await?.iter().any(|holder| holder.who == KEPT))
    }

    /// Begins to close the locker. `patient`: somebody waits for that.
    pub(crate) fn begin_close(&self, patient: bool) {
        self.0.engine.begin_close(patient);
    }

    /// Ends when it is closed, by this handle or by another one.
    pub(crate) async fn closed(&self) {
        self.0.engine.closed().await;
    }

    /// It is not closed, and not that of the process that this one was forked from.
    pub(crate) fn is_open(&self) -> bool {
        self.0.engine.is_open()
    }

    pub(crate) fn is_for(&self, url: &str) -> bool {
        self.0.url == Some(Key::from(&*normal(url)).id(""))
    }

    /// How long its locks wait that do not say so themselves.
    pub(crate) fn wait(&self) -> Wait {
        self.0.wait
    }

    /// Asks who holds and who waits, for all locks.
    pub(crate) async fn statuses(&self) -> Result<Vec<LockStatus>> {
        let rows = self.ask(Message::Status).await?;
        let (scheme, namespace) = (&self.0.scheme, &*self.0.namespace);
        Ok(statuses(rows, Names { scheme, naming: self.0.about.naming, namespace }))
    }

    /// The database's name for a key, and a statement that finds its holders by hand.
    pub(crate) fn explain(&self, key: &Key) -> Explained {
        match self.native(key) {
            Ok(native) => Explained { sql: (self.0.about.explain)(&native), native },
            Err(error) => Explained {
                native: self.0.about.naming.native(key, &self.0.namespace),
                sql: format!("-- {error}"),
            },
        }
    }

    /// What is told of it to those who debug.
    pub(crate) fn described(&self) -> (&str, &str, &KeyScheme) {
        (&self.0.about.label, &self.0.namespace, &self.0.scheme)
    }
}
