//! What is locked, and how.

use crate::engine::lock_table::Shareable;

pub(crate) type Key = u8;
/// As many keys as a world can have.
pub(crate) const KEYS: usize = 6;

/// A key, to read or to write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Claim {
    pub(crate) key: Key,
    pub(crate) shared: bool,
}

/// As many claims as a world can have.
pub(crate) const CLAIMS: usize = 2 * KEYS;

impl Shareable for Claim {
    fn is_shareable(&self) -> bool {
        self.shared
    }
}

impl Claim {
    pub(crate) fn all() -> impl Iterator<Item = Claim> {
        (0..KEYS).flat_map(|key| [false, true].map(|shared| Claim { key: key as Key, shared }))
    }

    pub(crate) fn index(self) -> usize {
        2 * usize::from(self.key) + usize::from(self.shared)
    }
}
