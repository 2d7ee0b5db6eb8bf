//! Which keys a session has, or is asked for.
//!
//! To a server, a session that holds a key may have it again at once: in any mode, and past whoever
//! is in line. So what it is asked for goes by what it has.

use super::super::roles::Load;
use crate::backend::{BatchItem, Op};
use crate::engine::lock_table::Shareable as _;
use crate::engine::map::Map;
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;
use crate::spec::native::NativeKey;

/// How a session has, or will have, a key.
struct HeldKey {
    mode: Mode,
    /// The server has said yes.
    sure: bool,
    /// Servers count how often.
    times: usize,
}

/// How a session stands to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine::session::core) enum KeyState {
    Free,
    /// It is asked for the key, and has not said yet what came of it.
    Confirming,
    /// It has just this.
    Has,
    /// It has the key in another mode, which goes with this one.
    Shares,
    /// It has it in a mode that does not.
    Excludes,
}

/// See the [module](self).
pub(super) struct HeldKeys {
    /// Empty if there are exclusive locks only.
    keys: Map<NativeKey, HeldKey>,
    /// There are readers, or other locks than exclusive ones.
    readers: bool,
    /// How many locks the session has or is asked for, without a fencing token and with one.
    locks: (usize, usize),
    /// It has been asked for any of them by a try.
    tried: bool,
    /// What it had last, as long as it has not given that back.
    had: Load,
    /// How many the server has granted it.
    granted: usize,
}

impl HeldKeys {
    pub(super) fn new(readers: bool) -> Self {
        let (locks, tried, had, granted) = ((0, 0), false, Load::Nothing, 0);
        HeldKeys { keys: Map::default(), readers, locks, tried, had, granted }
    }

    /// How many the server has granted to the session.
    pub(super) fn granted(&self) -> usize {
        self.granted
    }

    /// `idle`: the session has nothing more to send.
    pub(super) fn load(&self, idle: bool) -> Load {
        match self.locks {
            (0, 0) if self.granted == 0 && idle => Load::Nothing,
            // On their way back.
            (0, 0) => self.had,
            (0, _) => Load::Fenced,
            _ if self.tried => Load::Tried,
            _ => Load::Waited,
        }
    }

    /// Locks without a token depend on the session.
    pub(super) fn keeps_plain(&self) -> bool {
        self.locks.0 > 0
    }

    /// One of its locks goes to a holder who wants a token, or to one who wants none.
    pub(super) fn change_lock(&mut self, fenced: bool) {
        let (plain, tokens) = &mut self.locks;
        let (from, to) = if fenced { (plain, tokens) } else { (tokens, plain) };
        *from = from.saturating_sub(1);
        *to += 1;
        self.had = self.load(false);
    }

    /// Notes that the session is asked for this by a try.
    pub(super) fn try_key(&mut self, lock_id: &LockId, fenced: bool) {
        self.add(lock_id, fenced);
        self.tried = true;
        self.had = self.load(false);
    }

    /// Notes that the session is asked for this.
    pub(super) fn add(&mut self, lock_id: &LockId, fenced: bool) {
        self.tried &= self.locks != (0, 0);
        *self.count(fenced) += 1;
        self.had = self.load(false);
        if !self.readers {
            // Exclusive locks cannot be had twice by the table's own rules.
            return;
        }
        let taken = HeldKey { mode: lock_id.mode, sure: false, times: 0 };
        self.keys.entry(lock_id.key.clone()).or_insert(taken).times += 1;
    }

    fn count(&mut self, fenced: bool) -> &mut usize {
        let (plain, tokens) = &mut self.locks;
        if fenced { tokens } else { plain }
    }

    /// Notes that the server has granted this.
    pub(super) fn confirm(&mut self, lock_id: &LockId) {
        self.granted += 1;
        if let Some(taken) = self.keys.get_mut(&lock_id.key) {
            taken.sure = true;
        }
    }

    /// Notes that the session has not got this, or will have given it back before it does anything else.
    pub(super) fn remove(&mut self, lock_id: &LockId, fenced: bool) {
        let count = self.count(fenced);
        *count = count.saturating_sub(1);
        if let Some(taken) = self.keys.get_mut(&lock_id.key) {
            taken.times -= 1;
            if taken.times == 0 {
                self.keys.remove(&lock_id.key);
            }
        }
    }

    /// Notes that the server has taken one back.
    pub(super) fn released(&mut self) {
        self.granted = self.granted.saturating_sub(1);
    }

    /// The session has this key, and has it in this mode from now on, or may have.
    pub(super) fn change_mode(&mut self, key: &NativeKey, mode: Mode) {
        if let Some(taken) = self.keys.get_mut(key) {
            taken.mode = mode;
        }
    }

    /// Returns `true` if the server counts this key once for the session, and nothing is to change that.
    pub(super) fn has_once(&self, key: &NativeKey) -> bool {
        self.keys.get(key).is_some_and(|taken| taken.sure && taken.times == 1)
    }

    /// Returns `true` if the session has something of this already that is to stay.
    pub(super) fn has_any_of(&self, ops: &[BatchItem]) -> bool {
        ops.iter().any(|op| match &op.what {
            Op::Try(lock_id) | Op::TryFenced(lock_id) | Op::Unlock(lock_id) => {
                self.keys.get(&lock_id.key).is_some_and(|taken| taken.sure)
            }
            Op::Fence(_) | Op::Cancel(_) | Op::End(_) => false,
        })
    }

    /// What may be asked of the session about this: servers let a session have what it has once more, past
    /// all others and in any mode.
    pub(super) fn state(&self, lock_id: &LockId) -> KeyState {
        match self.keys.get(&lock_id.key) {
            None => KeyState::Free,
            Some(HeldKey { sure: false, .. }) => KeyState::Confirming,
            Some(HeldKey { mode, .. }) if *mode == lock_id.mode && lock_id.is_shareable() => {
                KeyState::Has
            }
            Some(HeldKey { mode, .. }) if mode.is_compatible_with(lock_id.mode) => KeyState::Shares,
            Some(_) => KeyState::Excludes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock_id(mode: Mode) -> LockId {
        LockId { key: NativeKey::Id(7), mode }
    }

    #[test]
    fn session_that_has_a_key_is_not_asked_for_it_as_if_it_had_not() {
        let mut keys = HeldKeys::new(true);
        let (shared, exclusive) = (lock_id(Mode::Shared), lock_id(Mode::Exclusive));
        assert_eq!(keys.state(&shared), KeyState::Free);
        keys.try_key(&shared, false);
        assert_eq!(keys.state(&shared), KeyState::Confirming);
        keys.confirm(&shared);
        assert_eq!(keys.state(&shared), KeyState::Has);
        assert_eq!(keys.state(&exclusive), KeyState::Excludes);
        assert!(keys.has_once(&shared.key));
        keys.try_key(&shared, false);
        assert!(!keys.has_once(&shared.key));
        keys.remove(&shared, false);
        keys.remove(&shared, false);
        assert_eq!(keys.state(&exclusive), KeyState::Free);
    }

    #[test]
    fn load_counts_what_is_on_its_way_back() {
        let mut keys = HeldKeys::new(false);
        let key = lock_id(Mode::Exclusive);
        assert_eq!(keys.load(true), Load::Nothing);
        keys.add(&key, false);
        assert_eq!(keys.load(true), Load::Waited);
        keys.try_key(&key, true);
        assert_eq!(keys.load(true), Load::Tried);
        keys.remove(&key, false);
        assert_eq!((keys.load(true), keys.keeps_plain()), (Load::Fenced, false));
        keys.confirm(&key);
        keys.change_lock(false);
        assert_eq!((keys.load(true), keys.keeps_plain()), (Load::Tried, true));
        keys.remove(&key, false);
        assert_eq!(keys.load(true), Load::Tried);
        keys.released();
        assert_eq!(keys.load(true), Load::Nothing);
        // The next one is not tried because the last one was.
        keys.add(&key, false);
        assert_eq!(keys.load(true), Load::Waited);
    }
}
