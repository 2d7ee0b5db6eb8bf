//! What doubles of servers have in common: a table of locks, waits for them, and faults on purpose.

pub(crate) mod locks;
pub(crate) mod program;
pub(crate) mod script;
pub(crate) mod waiting;
