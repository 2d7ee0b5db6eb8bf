//! A grant on its way to its caller.

use std::sync::{Arc, Weak};

use super::grant::Grant;
use super::lock_table::GrantId;

/// Where a grant goes back to that did not arrive: an engine, seen from what it sends.
pub(super) trait TakeBack: Send + Sync {
    fn take_back(self: Arc<Self>, hold: GrantId);
}

/// A grant on its way to its caller. One that does not arrive is given back.
pub(crate) struct Delivery {
    /// `None`: it has arrived.
    hold: Option<Arc<Grant>>,
    /// `None`: nothing is to be released. An engine that nobody has any more lets go of everything.
    engine: Option<Weak<dyn TakeBack>>,
}

impl Delivery {
    pub(super) fn new(hold: Arc<Grant>, engine: Weak<dyn TakeBack>) -> Self {
        Delivery { hold: Some(hold), engine: Some(engine) }
    }

    /// A grant of nothing: locking is switched off.
    pub(super) fn while_off(hold: Grant) -> Self {
        Delivery { hold: Some(Arc::new(hold)), engine: None }
    }

    /// Returns what arrived, for a guard, and whether it is to be released.
    pub(crate) fn accept(mut self) -> Option<(Arc<Grant>, bool)> {
        let hold = self.hold.take()?;
        Some((hold, self.engine.is_some()))
    }

    /// It did not arrive, and the engine itself does what is left to do.
    pub(super) fn forget(mut self) {
        if let Some(hold) = self.hold.take() {
            hold.remove_guard();
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let Some(hold) = self.hold.take() {
            hold.remove_guard();
            if let Some(engine) = self.engine.as_ref().and_then(Weak::upgrade) {
                engine.take_back(hold.id);
            }
        }
    }
}
