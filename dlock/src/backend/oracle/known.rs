//! What a session knows of its locks.

use std::collections::HashMap;
use std::time::Duration;

use crate::clock::Time;
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;
use crate::spec::native::NativeKey;

/// How old a handle may be. The server may forget a name ten days after it was last allocated, and
/// would then give it another lock.
const HANDLE_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// How many handles of locks that are not held are kept.
const HANDLES_MAX: usize = 10_000;

/// See the [module](self).
#[derive(Default)]
pub(super) struct KnownLocks(HashMap<NativeKey, Known>);

/// What the session knows of a lock.
struct Known {
    /// What the server knows its name by, and since when. Every session has its own handles.
    handle: Option<(Box<str>, Time)>,
    /// How often it was granted, and how. The server does not count: it says that the session owns
    /// the lock already.
    times: u32,
    mode: Mode,
}

impl KnownLocks {
    /// Returns what the server knows a name by, unless it said so long ago: then it is asked by the name again. The
    /// new handle means the same lock as the old one.
    pub(super) fn handle(&self, key: &NativeKey, now: Time) -> Option<&str> {
        let (handle, since) = self.0.get(key)?.handle.as_ref()?;
        (now.since(*since) < HANDLE_AGE_MAX).then_some(&**handle)
    }

    /// Forgets all about it: the handle is wrong.
    pub(super) fn forget(&mut self, key: &NativeKey) {
        self.0.remove(key);
    }

    /// Notes what the server knows a name by, if it has just said so.
    pub(super) fn learn(&mut self, key: &NativeKey, handle: Option<&str>, now: Time) {
        let (Some(handle), NativeKey::Name(_)) = (handle, key) else { return };
        if self.0.len() > HANDLES_MAX {
            self.0.retain(|_, known| known.times > 0);
        }
        let none = || Known { handle: None, times: 0, mode: Mode::Exclusive };
        let known = self.0.entry(key.clone()).or_insert_with(none);
        known.handle = Some((handle.into(), now));
    }

    /// Notes that it was granted.
    pub(super) fn granted(&mut self, lock_id: &LockId) {
        let none = || Known { handle: None, times: 0, mode: lock_id.mode };
        let known = self.0.entry(lock_id.key.clone()).or_insert_with(none);
        (known.times, known.mode) = (1, lock_id.mode);
    }

    /// Notes that it was granted once more. Returns `false` if it was not known to be held in this mode.
    pub(super) fn granted_again(&mut self, lock_id: &LockId) -> bool {
        let known = self.0.get_mut(&lock_id.key);
        let known = known.filter(|known| known.times > 0 && known.mode == lock_id.mode);
        known.map(|known| known.times += 1).is_some()
    }

    /// Returns `true` if it stays held after this release, which is noted then.
    pub(super) fn is_kept_after(&mut self, lock_id: &LockId) -> bool {
        let known = self.0.get_mut(&lock_id.key).filter(|known| known.times > 1);
        known.map(|known| known.times -= 1).is_some()
    }

    /// Returns `true` if it was granted more than once: somebody here shares it.
    pub(super) fn is_shared(&self, lock_id: &LockId) -> bool {
        self.0.get(&lock_id.key).is_some_and(|known| known.times > 1)
    }

    /// Notes that it is not held any more.
    pub(super) fn released(&mut self, lock_id: &LockId) {
        match self.0.get_mut(&lock_id.key) {
            Some(known) if known.handle.is_some() => known.times = 0,
            _ => drop(self.0.remove(&lock_id.key)),
        }
    }

    /// Returns `true` if nothing was granted that is still held.
    pub(super) fn holds_nothing(&self) -> bool {
        self.0.values().all(|known| known.times == 0)
    }

    /// What is held by a name that was allocated long ago.
    pub(super) fn aged(&self, now: Time) -> Vec<LockId> {
        let is_aged = |known: &Known| {
            let old = |(_, since): &(_, Time)| now.since(*since) >= HANDLE_AGE_MAX;
            known.times > 0 && known.handle.as_ref().is_some_and(old)
        };
        let aged = self.0.iter().filter(|(_, known)| is_aged(known));
        aged.map(|(key, known)| LockId { key: key.clone(), mode: known.mode }).collect()
    }
}
