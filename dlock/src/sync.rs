//! What guards and the engine share state by. `tests/loom.rs` puts loom's in its place.

pub(crate) use std::sync::OnceLock;
pub(crate) use std::sync::atomic::{AtomicU64, Ordering};
