//! The lock ids of the model: what is locked, and how.

use crate::engine::lock_table::Shareable;

pub(crate) type Key = u8;
/// As many keys as a world can have.
pub(crate) const KEYS: usize = 6;

/// A key, to read or to write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ModelId {
    pub(crate) key: Key,
    pub(crate) shared: bool,
}

/// As many lock_ids as a world can have.
pub(crate) const MODEL_IDS: usize = 2 * KEYS;

impl Shareable for ModelId {
    fn is_shareable(&self) -> bool {
        self.shared
    }
}

impl ModelId {
    pub(crate) fn all() -> impl Iterator<Item = ModelId> {
        (0..KEYS).flat_map(|key| [false, true].map(|shared| ModelId { key: key as Key, shared }))
    }

    pub(crate) fn index(self) -> usize {
        2 * usize::from(self.key) + usize::from(self.shared)
    }
}
