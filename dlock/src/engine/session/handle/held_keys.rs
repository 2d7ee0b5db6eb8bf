//! Which keys a session has, or is asked for.
//!
//! To a server, a session that holds a key may have it again at once: in any mode, and past whoever
//! is in line. So what it is asked for goes by what it has.

use super::SessionHandle;
use crate::backend::{BatchItem, Op};
use crate::engine::lock_table::Shareable as _;
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;
use crate::spec::native::NativeKey;

/// How a session has, or will have, a key.
pub(super) struct HeldKey {
    mode: Mode,
    /// The server has said yes.
    sure: bool,
    /// Servers count how often.
    times: usize,
}

/// How a session stands to a key.
pub(in crate::engine::session) enum KeyState {
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

impl SessionHandle {
    /// Notes that it is asked for this by a try.
    pub(in crate::engine::session) fn try_key(&mut self, lock_id: &LockId, fenced: bool) {
        self.add_key(lock_id, fenced);
        self.tried = true;
        self.had = self.load();
    }

    /// Notes that it is asked for this.
    pub(in crate::engine::session) fn add_key(&mut self, lock_id: &LockId, fenced: bool) {
        self.tried &= self.locks != (0, 0);
        *self.count(fenced) += 1;
        self.had = self.load();
        if !self.pace.readers {
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

    /// Notes that it has this.
    pub(in crate::engine::session) fn confirm_key(&mut self, lock_id: &LockId) {
        if let Some(taken) = self.keys.get_mut(&lock_id.key) {
            taken.sure = true;
        }
    }

    /// Notes that it has not got this, or will have given it back before it does anything else.
    pub(in crate::engine::session) fn remove_key(&mut self, lock_id: &LockId, fenced: bool) {
        let count = self.count(fenced);
        *count = count.saturating_sub(1);
        if let Some(taken) = self.keys.get_mut(&lock_id.key) {
            taken.times -= 1;
            if taken.times == 0 {
                self.keys.remove(&lock_id.key);
            }
        }
    }

    /// It has this key, and has it in this mode from now on, or may have.
    pub(in crate::engine::session) fn change_mode(&mut self, key: &NativeKey, mode: Mode) {
        if let Some(taken) = self.keys.get_mut(key) {
            taken.mode = mode;
        }
    }

    /// Returns `true` if the server counts this key once for it, and nothing is to change that.
    pub(in crate::engine::session) fn has_once(&self, key: &NativeKey) -> bool {
        self.keys.get(key).is_some_and(|taken| taken.sure && taken.times == 1)
    }

    /// Whether it has something of this already that is to stay.
    pub(super) fn has_any_of(&self, ops: &[BatchItem]) -> bool {
        ops.iter().any(|op| match &op.what {
            Op::Try(lock_id) | Op::TryFenced(lock_id) | Op::Unlock(lock_id) => {
                self.keys.get(&lock_id.key).is_some_and(|taken| taken.sure)
            }
            Op::Fence(_) | Op::Cancel(_) | Op::End(_) => false,
        })
    }

    /// What may be asked of it about this: servers let a session have what it has once more, past
    /// all others and in any mode.
    pub(in crate::engine::session) fn stand(&self, lock_id: &LockId) -> KeyState {
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
