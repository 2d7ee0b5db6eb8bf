//! The named lockers of this process.

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
use crate::sorted_map::SortedMap;
use crate::switch;
use crate::worker::Work;

/// What `#[locked]` uses when it is not told otherwise.
pub(crate) const DEFAULT: &str = "default";
/// Where [`init_from_env`] looks.
const URL: &str = "DLOCK_URL";

/// How long [`shutdown`] takes at most.
const SHUTDOWN_MAX: Duration = Duration::from_secs(10);

static LOCKERS: RwLock<Lockers> = RwLock::new(Lockers::new());

/// By their names.
type Lockers = SortedMap<String, Locker>;

/// The locker that [`init`] connects, so that two of them at once make one.
static CONNECTING: Mutex<Weak<Connecting>> = Mutex::new(Weak::new());

/// A locker that is to be the default when it has opened.
///
/// Its engine opens by itself, whichever of those who wait for it goes on: they may be on one thread,
/// and one of them may block it. The first to go on installs it.
struct Connecting {
    locker: Locker,
    opened: Opened,
}

/// Installs a locker under a name.
///
/// # Errors
/// [`Error::AlreadyInstalled`] if the name is taken.
pub fn install(name: &str, locker: Locker) -> Result<()> {
    let mut lockers = write();
    if lockers.get(name).is_some() {
        return Err(Error::AlreadyInstalled { name: name.into() });
    }
    close_at_the_end(|| Box::new(close_all(false)));
    lockers.insert(name.to_owned(), locker);
    Ok(())
}

/// The same in the place of one that is closed, or is of the process that this one was forked from.
pub(crate) fn install_open(name: &str, locker: Locker) -> Result<()> {
    let mut lockers = write();
    if lockers.get(name).is_some_and(|locker| locker.core().is_open()) {
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
    match read().get(name).is_some_and(|locker| locker.core().is_open()) {
        true => Err(Error::AlreadyInstalled { name: name.into() }),
        false => Ok(()),
    }
}

/// Returns the locker of this name.
///
/// # Errors
/// [`Error::NotInstalled`] if there is none. The error lists the installed names.
pub fn get(name: &str) -> Result<Locker> {
    #[cfg(feature = "test-util")]
    if let Some(locker) = super::scoped::scoped(name) {
        return Ok(locker);
    }
    let lockers = read();
    lockers
        .get(name)
        .cloned()
        .ok_or_else(|| Error::NotInstalled { name: name.into(), installed: names_of(&lockers) })
}

/// Returns the locker that [`init`] has installed: `get("default")`.
///
/// # Errors
/// Those of [`get`].
pub fn default() -> Result<Locker> {
    get(DEFAULT)
}

/// Removes a name and returns its locker, or `None` if the name is not installed. The locker itself
/// stays open for everybody who has a handle of it.
pub fn remove(name: &str) -> Option<Locker> {
    write().remove(name)
}

/// Returns the installed names, sorted.
pub fn names() -> Vec<String> {
    names_of(&read())
}

fn names_of(lockers: &Lockers) -> Vec<String> {
    lockers.iter().map(|(name, _)| name.clone()).collect()
}

/// Connects to a database and installs the locker as "default", which `#[locked]` uses.
///
/// If called again with the same URL, it returns the installed locker. It replaces a locker that
/// was closed, or that belongs to the process that this one was forked from.
///
/// # Errors
/// Those of [`Locker::connect`], and [`Error::AlreadyInstalled`] if a locker for another URL is
/// installed.
///
/// # Cancel safety
/// Nothing is installed when the future is dropped.
pub async fn init(url: &str) -> Result<Locker> {
    loop {
        if let Some(locker) = default().ok().filter(|locker| locker.core().is_open()) {
            return if locker.core().is_for(url) {
                Ok(locker)
            } else {
                Err(Error::AlreadyInstalled { name: DEFAULT.into() })
            };
        }
        let connecting = connecting(url)?;
        let opened = connecting.opened.clone().wait().await;
        forget(&connecting);
        match opened {
            Ok(()) if connecting.locker.core().is_open() => {
                // Another one that was faster is seen in the next round.
                let _ = install_open(DEFAULT, connecting.locker.clone());
            }
            Err(error) if connecting.locker.core().is_for(url) => return Err(error),
            // It was closed meanwhile, or another's URL failed.
            _ => {}
        }
    }
}

/// The locker that is being connected, or a new one for this URL.
fn connecting(url: &str) -> Result<Arc<Connecting>> {
    let mut current = CONNECTING.lock().unwrap_or_else(PoisonError::into_inner);
    // In the child of a fork, that of the parent never opens.
    if let Some(connecting) = current.upgrade().filter(|c| c.locker.core().is_open()) {
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

/// Closes all lockers of the registry, at the end of a program. Nothing is granted any more. Held
/// locks are released, after their guards were told of the loss. Connections are ended, and status
/// files say `idle`. Takes at most 10 s.
///
/// Callers that wait for a lock get [`Error::Closed`]. The closed lockers stay in the registry, and
/// acquiring their locks returns [`Error::Closed`]. A second call has nothing to do. [`init`]
/// connects again.
///
/// On a signal, first end the work, then call this. `examples/stop.rs` shows it for a web server
/// and for a worker.
///
/// Where dlock can detect the end of the main thread, the same happens there, but waits at most one
/// second. [`Locker`](Locker#the-end-of-a-program) says where.
///
/// # Cancel safety
/// Once polled, it continues when the future is dropped.
pub async fn shutdown() {
    let lockers = close_all(true);
    let (done, waited) = oneshot::channel::<()>();
    // The caller's executor may have no timers, and the engines end by their own.
    let wait: Work = Box::new(move || {
        wait_for_all(&lockers);
        drop(done);
    });
    if thread::Builder::new().name("dlock-shutdown".into()).spawn(wait).is_ok() {
        let _ = waited.await;
    }
}

/// Does the same as [`shutdown`], and blocks the thread instead of awaiting. If this is called
/// inside a current-thread runtime, it does not wait for the lockers that were told to run on that
/// runtime.
pub fn shutdown_blocking() {
    let mut lockers = close_all(true);
    lockers.retain(|locker| locker.core().engine().check_blocking().is_ok());
    wait_for_all(&lockers);
}

fn wait_for_all(lockers: &[Locker]) {
    let until = Instant::now() + SHUTDOWN_MAX;
    for locker in lockers {
        let left = until.saturating_duration_since(Instant::now());
        if block_for(left, pin!(locker.core().closed())).is_none() {
            tracing::warn!(target: "dlock", backend = %locker.core().backend(), longest = ?SHUTDOWN_MAX,
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
    let lockers: Vec<_> = lockers.iter().map(|(_, locker)| locker.clone()).collect();
    lockers.iter().for_each(|locker| locker.core().begin_close(patient));
    lockers
}

/// Switches all locking of this process off (`false`) or on again (`true`, the state at the start).
///
/// While locking is off, every lock is granted at once without a database, even if no locker is
/// installed. This is for tests, and for the day when the database is down and the work must
/// continue by hand. Existing guards keep their locks. A change logs one warning.
///
/// When locking is switched off, callers that wait for a lock are granted it within milliseconds.
/// Nothing is sent to the database, which may be down. There is one exception: a statement that
/// already waits on the caller's own connection ([`on`](crate::on), [`within`](crate::within))
/// waits until its timeout.
///
/// While locking is off, `connect` and [`init`](crate::init) check the settings and succeed at
/// once, whatever the state of the server. The connection is made when locking is switched on
/// again. If that fails, the first acquire makes the connection, and returns the error if it fails
/// again.
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

/// Does the same as [`init`], and blocks the thread instead of awaiting.
///
/// # Errors
/// Those of [`init`].
pub fn init_blocking(url: &str) -> Result<Locker> {
    block_on(init(url))
}

/// Does the same as [`init`], with the URL from the environment variable `DLOCK_URL`.
///
/// # Errors
/// Those of [`init`], and [`Error::Config`] if the variable is not set.
///
/// # Cancel safety
/// The same as [`init`].
pub async fn init_from_env() -> Result<Locker> {
    match std::env::var(URL) {
        Ok(url) if !url.is_empty() => init(&url).await,
        _ => Err(Error::config(format!(
            "the environment variable {URL} is not set; set it to the database's url, \
             for example postgres://user@host/database or sqlite://locks.db"
        ))),
    }
}

/// Does the same as [`init_from_env`], and blocks the thread instead of awaiting.
///
/// # Errors
/// Those of [`init_from_env`].
pub fn init_from_env_blocking() -> Result<Locker> {
    block_on(init_from_env())
}

// The map is whole at every point where a panic could come from.
fn read() -> RwLockReadGuard<'static, Lockers> {
    LOCKERS.read().unwrap_or_else(PoisonError::into_inner)
}

fn write() -> RwLockWriteGuard<'static, Lockers> {
    LOCKERS.write().unwrap_or_else(PoisonError::into_inner)
}
