//! Wanted: one of the locks that a caller wants of a connection.

use crate::spec::key::Key;
use crate::spec::lock_id::LockId;

/// A key, and what the database knows it by.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub(crate) key: Key,
    pub(crate) lock_id: LockId,
    /// Another lock here has it on the same session, whose server does not count: it is not to be
    /// released yet.
    pub(crate) stays: bool,
}
