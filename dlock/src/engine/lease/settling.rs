//! The holds that end when their rows have been kept from others, or given back.

use std::sync::Arc;

use super::core::Settled;
use crate::clock::{Time, Validity};
use crate::engine::grant::Grant;
use crate::engine::lock_table::GrantId;
use crate::engine::map::Map;
use crate::status::lost::LostReason;

/// A hold whose row has not been given back yet.
struct Settling {
    hold: Arc<Grant>,
    validity: Arc<Validity>,
}

impl Drop for Settling {
    /// Nobody will know more than this.
    fn drop(&mut self) {
        if self.validity.is_valid_at(Time::now()) {
            self.hold.mark_unconfirmed();
        } else {
            self.hold.lose(LostReason::Unconfirmed);
        }
    }
}

/// All of them.
#[derive(Default)]
pub(super) struct AllSettling(Map<GrantId, Settling>);

impl AllSettling {
    /// This hold is settled when its row has been given back, or its validity has run out.
    pub(super) fn add(&mut self, hold: &Arc<Grant>, validity: Arc<Validity>) {
        self.0.insert(hold.id, Settling { hold: Arc::clone(hold), validity });
    }

    /// Settles one. If the row was somebody else's, nothing is kept for this holder, who must not
    /// believe so.
    pub(super) fn settle(&mut self, hold: GrantId, settled: Settled) {
        let Some(settling) = self.0.remove(&hold) else { return };
        match settled {
            Settled::Confirmed => settling.hold.mark_released(),
            Settled::RanOut => settling.hold.lose(LostReason::Unconfirmed),
            Settled::NotHeld => settling.hold.lose(LostReason::NotHeld),
        }
    }
}
