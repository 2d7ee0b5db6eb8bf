//! A grant on its way to its caller.

use std::sync::Arc;

use super::grant::Grant;
use super::handle::{Engine, WeakEngine};
use super::message::Message;

/// A grant on its way to its caller. One that does not arrive is given back.
pub(crate) struct Delivery {
    /// `None`: it has arrived.
    hold: Option<Arc<Grant>>,
    /// `None`: nothing is to be released.
    engine: Option<WeakEngine>,
}

impl Delivery {
    pub(super) fn new(hold: Arc<Grant>, engine: WeakEngine) -> Self {
        Delivery { hold: Some(hold), engine: Some(engine) }
    }

    /// A grant of nothing: locking is switched off.
    pub(super) fn while_off(hold: Grant) -> Self {
        Delivery { hold: Some(Arc::new(hold)), engine: None }
    }

    /// Returns what arrived, for a guard, and the engine that it is released by, if it is to be
    /// released.
    pub(crate) fn accept(mut self, engine: &Engine) -> Option<(Arc<Grant>, Option<Engine>)> {
        let hold = self.hold.take()?;
        Some((hold, self.engine.as_ref().map(|_| engine.clone())))
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
            // An engine that nobody has any more lets go of everything.
            if let Some(engine) = &self.engine {
                engine.send_gathered(Message::Release { hold: hold.id, awaited: false });
            }
        }
    }
}
