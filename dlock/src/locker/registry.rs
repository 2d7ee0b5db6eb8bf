//! The lockers of this process, by name.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{
    Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError, Weak,
};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::blocking::{block_for, block_on};
use crate::engine::{Opened, close_at_the_end, tell_all_switched};
use crate::error::{Error, Result};
use crate::locker::Locker;
use crate::switch;

/// What `#[locked]` uses when it is not told otherwise.
pub(crate) const DEFAULT: &str = "default";
/// Where [`init_from_env`] looks.
const URL: &str = "DLOCK_URL";

/// How long [`shutdown`] takes at most.
const SHUTDOWN_MAX: Duration = Duration::from_secs(10);

static LOCKERS: RwLock<BTreeMap<String, Locker>> = RwLock::new(BTreeMap::new());
/// The locker that [`init`] connects, so that two of them at once make one.
static CONNECTING: Mutex<Weak<Connecting>> = Mutex::new(Weak::new());

/// A locker that is to be the default when it has opened.
///
/// Its engine opens by itself, whoever of those who wait for it goes on: they may be on one thread,
/// and one of them may block it. The first to go on installs it.
struct Connecting {
    locker: Locker,
    opened: Opened,
}

/// Makes a locker known under a name.
///
/// # Errors
/// [`Error::AlreadyInstalled`] when the name is taken.
pub fn install(name: &str, locker: Locker) -> Result<()> {
    let mut lockers = write();
    if lockers.contains_key(name) {
        return Err(Error::AlreadyInstalled { name: name.into() });
    }
    close_at_the_end(|| Box::new(close_all(false)));
    lockers.insert(name.to_owned(), locker);
    Ok(())
}

/// The same in the place of one that is closed, or is of the process that this one was forked from.
pub(crate) fn install_open(name: &str, locker: Locker) -> Result<()> {
    let mut lockers = write();
    if lockers.get(name).is_some_and(Locker::is_open) {
        return Err(Error::AlreadyInstalled { name: name.into() });
    }
    // Dropped outside of the lock: it may be the last of what was closed.
    close_at_the_end(|| Box::new(close_all(false)));
    let closed = lockers.insert(name.to_owned(), locker);
    drop(lockers);
    drop(closed);
    Ok(())
}

/// An error if there is a locker of that name that is not closed.
pub(crate) fn check_free(name: &str) -> Result<()> {
    match read().get(name).is_some_and(Locker::is_open) {
        true => Err(Error::AlreadyInstalled { name: name.into() }),
        false => Ok(()),
    }
}

/// The locker of that name.
///
/// # Errors
/// [`Error::NotInstalled`], with the names there are.
pub fn get(name: &str) -> Result<Locker> {
    #[cfg(feature = "test-util")]
    if let Some(locker) = crate::testing::scoped(name) {
        return Ok(locker);
    }
    let lockers = read();
    lockers.get(name).cloned().ok_or_else(|| Error::NotInstalled {
        name: name.into(),
        installed: lockers.keys().cloned().collect(),
    })
}

/// The locker that [`init`] has installed: `get("default")`.
///
/// # Errors
/// As [`get`].
pub fn default() -> Result<Locker> {
    get(DEFAULT)
}

/// Forgets a name. The locker itself goes on for whoever has it.
pub fn remove(name: &str) -> Option<Locker> {
    write().remove(name)
}

/// The names there are, sorted.
pub fn names() -> Vec<String> {
    read().keys().cloned().collect()
}

/// Connects to a database and installs the locker as "default", for `#[locked]` to use.
///
/// Called again with the same URL, it gives the locker that is there; one that was closed, or is of
/// the process that this one was forked from, it replaces.
///
/// # Errors
/// As [`Locker::connect`]; [`Error::AlreadyInstalled`] when there is one for another URL.
///
/// # Cancel safety
/// Nothing is installed when the future is dropped.
pub async fn init(url: &str) -> Result<Locker> {
    loop {
        if let Some(locker) = default().ok().filter(Locker::is_open) {
            return if locker.is_for(url) {
                Ok(locker)
            } else {
                Err(Error::AlreadyInstalled { name: DEFAULT.into() })
            };
        }
        let connecting = connecting(url)?;
        let opened = connecting.opened.clone().wait().await;
        forget(&connecting);
        match opened {
            Ok(()) if connecting.locker.is_open() => {
                // Another one that was faster is seen in the next round.
                let _ = install_open(DEFAULT, connecting.locker.clone());
            }
            Err(error) if connecting.locker.is_for(url) => return Err(error),
            // It was closed meanwhile, or another's URL failed.
            _ => {}
        }
    }
}

/// The locker that is being connected, or a new one for this URL.
fn connecting(url: &str) -> Result<Arc<Connecting>> {
    let mut current = CONNECTING.lock().unwrap_or_else(PoisonError::into_inner);
    // In the child of a fork, that of the parent never opens.
    if let Some(connecting) = current.upgrade().filter(|c| c.locker.is_open()) {
        return Ok(connecting);
    }
    let (locker, opened) = Locker::builder(url).installed_as(DEFAULT).begin(false)?;
    let connecting = Arc::new(Connecting { locker, opened });
    *current = Arc::downgrade(&connecting);
    Ok(connecting)
}

/// This one has opened, or failed: who comes next does not wait for it.
fn forget(connecting: &Arc<Connecting>) {
    let mut current = CONNECTING.lock().unwrap_or_else(PoisonError::into_inner);
    if std::ptr::eq(current.as_ptr(), Arc::as_ptr(connecting)) {
        *current = Weak::new();
    }
}

/// Closes all lockers of the registry, at the end of a program: nothing is granted any more, what
/// is held is released (its guards are told first that it is lost), connections are ended, and
/// status files say `idle`. Takes 10 s at most.
///
/// Whoever waits for a lock gets [`Error::Closed`]. The lockers stay in the registry, closed: locks of
/// theirs are [`Error::Closed`] from now on. A second call has nothing to do. [`init`] connects anew.
///
/// On a signal, first end the work, then call this: `examples/stop.rs` does it for a web server and for a
/// worker.
///
/// The end of the main thread does the same, with less patience (a second), where it can be seen:
/// [`Locker`](Locker#the-end-of-a-program) says where.
///
/// # Cancel safety
/// Once polled, it goes on when the future is dropped.
pub async fn shutdown() {
    let lockers = close_all(true);
    let (done, waited) = oneshot::channel::<()>();
    // The caller's executor may have no timers, and the engines end by their own.
    let wait = move || {
        wait_for_all(&lockers);
        drop(done);
    };
    if thread::Builder::new().name("dlock-shutdown".into()).spawn(wait).is_ok() {
        let _ = waited.await;
    }
}

/// [`shutdown`] without `await`. A locker that was told to run on the very current-thread runtime
/// that this is called in is not waited for.
pub fn shutdown_blocking() {
    let mut lockers = close_all(true);
    lockers.retain(|locker| locker.engine().check_blocking().is_ok());
    wait_for_all(&lockers);
}

fn wait_for_all(lockers: &[Locker]) {
    let until = Instant::now() + SHUTDOWN_MAX;
    for locker in lockers {
        let left = until.saturating_duration_since(Instant::now());
        if block_for(left, pin!(locker.closed())).is_none() {
            tracing::warn!(target: "dlock", backend = %locker.backend(), longest = ?SHUTDOWN_MAX,
                "the locker has not ended yet, and is not waited for any longer");
        }
    }
}

/// Begins to close all that are of this process. `patient`: somebody waits for that.
fn close_all(patient: bool) -> Vec<Locker> {
    let lockers = match LOCKERS.try_read() {
        Ok(lockers) => lockers,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        // At the end of the main thread, nobody who holds it needs to go on.
        Err(TryLockError::WouldBlock) if !patient => return Vec::new(),
        Err(TryLockError::WouldBlock) => read(),
    };
    let lockers: Vec<_> = lockers.values().cloned().collect();
    lockers.iter().for_each(|locker| locker.begin_close(patient));
    lockers
}

/// Switches all locking of this process off (`false`) or on again (`true`, as it starts).
///
/// While it is off, every lock is granted at once without a database, also where no locker is
/// installed: for tests, and for the day when the database is down and the work must go on by hand.
/// It says so once, loudly, at WARN. Guards that are held already stay what they are.
///
/// Whoever waits for a lock is granted it when locking is switched off, within milliseconds, without
/// a word to the database, which may be down. Not so a wait on the caller's own connection
/// ([`on`](crate::on), [`within`](crate::within)) that a statement has begun: it has its timeout.
///
/// While locking is off, `connect` and [`init`](crate::init) check the settings and succeed at once,
/// whatever has become of the server. The connection is made when locking is switched on again; if
/// that fails, by the first lock that is taken, whose error it is.
pub fn set_enabled(on: bool) {
    if switch::set(on) {
        if on {
            tracing::warn!(target: "dlock", "locking is switched on again");
        } else {
            tracing::warn!(target: "dlock",
                "LOCKING IS SWITCHED OFF: every lock is granted, nothing excludes anything");
        }
        tell_all_switched(on);
    }
}

/// [`init`] without `await`.
///
/// # Errors
/// As [`init`].
pub fn init_blocking(url: &str) -> Result<Locker> {
    block_on(init(url))
}

/// [`init`] with the URL in the environment variable `DLOCK_URL`.
///
/// # Errors
/// As [`init`]; [`Error::Config`] when the variable is not set.
///
/// # Cancel safety
/// As [`init`].
pub async fn init_from_env() -> Result<Locker> {
    match std::env::var(URL) {
        Ok(url) if !url.is_empty() => init(&url).await,
        _ => Err(Error::config(format!(
            "the environment variable {URL} is not set; set it to the database's url, \
             for example postgres://user@host/database or sqlite://locks.db"
        ))),
    }
}

/// [`init_from_env`] without `await`.
///
/// # Errors
/// As [`init_from_env`].
pub fn init_from_env_blocking() -> Result<Locker> {
    block_on(init_from_env())
}

// The map is whole at every point where a panic could come from.
fn read() -> RwLockReadGuard<'static, BTreeMap<String, Locker>> {
    LOCKERS.read().unwrap_or_else(PoisonError::into_inner)
}

fn write() -> RwLockWriteGuard<'static, BTreeMap<String, Locker>> {
    LOCKERS.write().unwrap_or_else(PoisonError::into_inner)
}
