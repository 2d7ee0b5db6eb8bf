//! What is locked here.

use crate::doubles::locks;
pub(super) use crate::doubles::locks::Owner;

use super::modes::Mode;

/// All locks of a server.
pub(super) type Locks = locks::Locks<Resource, Mode>;
/// A line of `sys.dm_tran_locks`.
pub(super) type Line<'a> = locks::Line<'a, Resource, Mode>;

/// What is locked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Resource {
    /// By `sp_getapplock`.
    Application { database: u32, principal: String, name: String },
    /// By statements.
    Table { database: u32, name: String },
}
