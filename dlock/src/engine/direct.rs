//! The way from a caller's own thread to the engine's state: there it decides that another task of this
//! process has the key, that it stands in line behind it, or that the lock passes to the next one; and
//! it may ask the database. None of this wakes the engine's task.

use std::sync::{OnceLock, Weak};

/// A caller's way to the state of its engine.
pub(super) struct Direct<M>(OnceLock<Weak<dyn Decide<M>>>);

/// Decides what can be decided at once.
pub(super) trait Decide<M>: Send + Sync {
    /// Returns the message if it is to be sent.
    fn decide(&self, message: M) -> Option<M>;
}

impl<M> Default for Direct<M> {
    fn default() -> Self {
        Direct(OnceLock::new())
    }
}

impl<M> Direct<M> {
    /// From now on there is an engine at work.
    pub(super) fn open(&self, engine: Weak<dyn Decide<M>>) {
        // There is one for each engine.
        let _ = self.0.set(engine);
    }

    /// Returns the message if it is to be sent: what it asks for is not decided yet.
    pub(super) fn decide(&self, message: M) -> Option<M> {
        match self.0.get().and_then(Weak::upgrade) {
            Some(engine) => engine.decide(message),
            None => Some(message),
        }
    }
}
