//! LockId: a key and how it is to be held.

use std::fmt::{self, Display};

use crate::spec::mode::Mode;
use crate::spec::native::NativeKey;

/// A key and the mode it is wanted or held in. A process has one voice for each: readers and
/// writers of one key are told apart by the database, as those of two processes are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LockId {
    /// Which key it is.
    pub key: NativeKey,
    /// How it is wanted or held.
    pub mode: Mode,
}

/// For backends that have no other mode.
#[cfg(any(test, feature = "_database"))]
impl LockId {
    /// The key, to be held by nobody else.
    pub fn exclusive(key: NativeKey) -> Self {
        LockId { key, mode: Mode::Exclusive }
    }
}

impl Display for LockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key.fmt(f)?;
        if self.mode == Mode::Exclusive { Ok(()) } else { write!(f, " ({})", self.mode) }
    }
}
