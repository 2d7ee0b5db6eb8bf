//! Which keys a session has, or is asked for.
//!
//! To a server, a session that holds a key may have it again at once: in any mode, and past whoever
//! is in line. So what it is asked for goes by what it has.

use super::Link;
use crate::backend::{Do, Op};
use crate::engine::lock_table::Shareable as _;
use crate::spec::lock_id::Claim;
use crate::spec::mode::Mode;
use crate::spec::native::NativeKey;

/// How a session has, or will have, a key.
pub(super) struct Taken {
    mode: Mode,
    /// The server has said yes.
    sure: bool,
    /// Servers count how often.
    times: usize,
}

/// How a session stands to a key.
pub(in crate::engine::session) enum Stand {
    Free,
    /// It is asked for the key, and has not said yet what came of it.
    Unsure,
    /// It has just this.
    Has,
    /// It has the key in another mode, which goes with this one.
    Shares,
    /// It has it in a mode that does not.
    Excludes,
}

impl Link {
    /// Notes that it is asked for this by a try.
    pub(in crate::engine::session) fn try_claim(&mut self, claim: &Claim, fenced: bool) {
        self.claim(claim, fenced);
        self.tried = true;
        self.had = self.load();
    }

    /// Notes that it is asked for this.
    pub(in crate::engine::session) fn claim(&mut self, claim: &Claim, fenced: bool) {
        self.tried &= self.locks != (0, 0);
        *self.count(fenced) += 1;
        self.had = self.load();
        if !self.pace.readers {
            // Exclusive locks cannot be had twice by the table's own rules.
            return;
        }
        let taken = Taken { mode: claim.mode, sure: false, times: 0 };
        self.keys.entry(claim.key.clone()).or_insert(taken).times += 1;
    }

    fn count(&mut self, fenced: bool) -> &mut usize {
        let (plain, tokens) = &mut self.locks;
        if fenced { tokens } else { plain }
    }

    /// Notes that it has this.
    pub(in crate::engine::session) fn confirm_claim(&mut self, claim: &Claim) {
        if let Some(taken) = self.keys.get_mut(&claim.key) {
            taken.sure = true;
        }
    }

    /// Notes that it has not got this, or will have given it back before it does anything else.
    pub(in crate::engine::session) fn disclaim(&mut self, claim: &Claim, fenced: bool) {
        let count = self.count(fenced);
        *count = count.saturating_sub(1);
        if let Some(taken) = self.keys.get_mut(&claim.key) {
            taken.times -= 1;
            if taken.times == 0 {
                self.keys.remove(&claim.key);
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
    pub(super) fn has_any_of(&self, ops: &[Op]) -> bool {
        ops.iter().any(|op| match &op.what {
            Do::Try(claim) | Do::TryFenced(claim) | Do::Unlock(claim) => {
                self.keys.get(&claim.key).is_some_and(|taken| taken.sure)
            }
            Do::Fence(_) | Do::Cancel(_) | Do::End(_) => false,
        })
    }

    /// What may be asked of it about this: servers let a session have what it has once more, past
    /// all others and in any mode.
    pub(in crate::engine::session) fn stand(&self, claim: &Claim) -> Stand {
        match self.keys.get(&claim.key) {
            None => Stand::Free,
            Some(Taken { sure: false, .. }) => Stand::Unsure,
            Some(Taken { mode, .. }) if *mode == claim.mode && claim.is_shareable() => Stand::Has,
            Some(Taken { mode, .. }) if mode.is_compatible_with(claim.mode) => Stand::Shares,
            Some(_) => Stand::Excludes,
        }
    }
}
