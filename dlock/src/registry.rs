//! The lockers of this process, by name.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use once_cell::sync::Lazy;
use tokio::sync::Mutex;

use crate::blocking::block_on;
use crate::error::{Error, Result};
use crate::locker::Locker;

/// What `#[locked]` uses when it is not told otherwise.
const DEFAULT: &str = "default";
/// Where [`init_from_env`] looks.
const URL: &str = "DLOCK_URL";

static LOCKERS: RwLock<BTreeMap<String, Locker>> = RwLock::new(BTreeMap::new());
/// Held while `init` connects, so that two of them at once make one locker.
static CONNECTING: Lazy<Mutex<()>> = Lazy::new(Mutex::default);

/// Makes a locker known under a name.
///
/// # Errors
/// [`Error::AlreadyInstalled`] when the name is taken.
pub fn install(name: &str, locker: Locker) -> Result<()> {
    let mut lockers = write();
    if lockers.contains_key(name) {
        return Err(Error::AlreadyInstalled { name: name.into() });
    }
    lockers.insert(name.to_owned(), locker);
    Ok(())
}

/// The locker of that name.
///
/// # Errors
/// [`Error::NotInstalled`], with the names there are.
pub fn get(name: &str) -> Result<Locker> {
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
/// Called again with the same URL, it gives the locker that is there.
///
/// # Errors
/// As [`Locker::connect`]; [`Error::AlreadyInstalled`] when there is one for another URL.
///
/// # Cancel safety
/// Nothing is installed when the future is dropped.
pub async fn init(url: &str) -> Result<Locker> {
    let _one = CONNECTING.lock().await;
    if let Ok(locker) = default() {
        return if locker.is_for(url) {
            Ok(locker)
        } else {
            Err(Error::AlreadyInstalled { name: DEFAULT.into() })
        };
    }
    let locker = Locker::connect(url).await?;
    install(DEFAULT, locker.clone())?;
    Ok(locker)
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
