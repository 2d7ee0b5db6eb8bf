//! What the engine for tests tells its callers, when its state is free again.

use std::sync::Weak;

use crate::engine::delivery::TakeBack;

/// What is to be told. Its argument takes back the grants that do not arrive.
pub(super) type Effect = Box<dyn FnOnce(&Weak<dyn TakeBack>) + Send>;
pub(super) type Effects = Vec<Effect>;
