//! Call: a caller who wants locks, from the question to the answer.

use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::lock::Lock;
use crate::observe::{Event, Subject, Telemetry};

/// A caller who wants locks, and has no answer yet. One that is dropped has gone without an answer.
pub(crate) struct Call<'a> {
    telemetry: &'a Arc<Telemetry>,
    locks: &'a [Lock],
}

impl<'a> Call<'a> {
    /// A caller who wants all of these.
    pub(crate) fn begin(telemetry: &'a Arc<Telemetry>, locks: &'a [Lock]) -> Self {
        for lock in locks {
            telemetry.emit(&Event::WaitBegan { of: lock.subject() });
        }
        Call { telemetry, locks }
    }

    /// It does not get this one. `patient`: it has waited for the holder.
    pub(crate) fn refused(&self, of: Subject<'_>, waited: Duration, patient: bool, error: &Error) {
        self.telemetry.emit(&Event::refusal(of, waited, patient, error));
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        for lock in self.locks {
            self.telemetry.emit(&Event::WaitEnded { of: lock.subject() });
        }
    }
}
