//! The rows that are to be given back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::batch_size::Backoff;
use super::now::Now;
use crate::backend::lease::Lease;
use crate::clock::Validity;
use crate::engine::lock_table::{GrantId, Ticket};
use crate::sort::sort_by;

/// A row to be given back.
pub(super) struct Release {
    lease: Lease,
    what: What,
    /// When this has run out there is nothing left to give back, as far as the database has answered.
    validity: Arc<Validity>,
    /// How long the row may last if a renewal of it has arrived that has no answer.
    row_lasts: Duration,
    backoff: Backoff,
    /// Whose hold is settled when the row has been given back, or has run out.
    settles: Option<GrantId>,
}

/// Why a row is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// Somebody has asked for it.
    Asked(Ticket),
    /// It is perhaps ours, and nobody here wants it.
    Cleanup,
    /// It is taken again in the same breath.
    HandOver,
}

impl Release {
    pub(super) fn new(
        lease: Lease,
        what: What,
        (validity, row_lasts): (&Arc<Validity>, Duration),
    ) -> Self {
        let (validity, backoff) = (Arc::clone(validity), Backoff::default());
        Release { lease, what, validity, row_lasts, backoff, settles: None }
    }

    pub(super) fn settling(self, hold: GrantId) -> Self {
        Release { settles: Some(hold), ..self }
    }

    pub(super) fn fared(self, backoff: Backoff) -> Self {
        Release { backoff, ..self }
    }

    pub(super) fn into_lease(self) -> Lease {
        self.lease
    }

    pub(super) fn what(&self) -> What {
        self.what
    }

    pub(super) fn backoff(&self) -> Backoff {
        self.backoff
    }

    pub(super) fn settles(&self) -> Option<GrantId> {
        self.settles
    }
}

/// A release whose row has run out before the database has answered, as far as is known.
pub(super) struct RanOut {
    pub(super) lease: Lease,
    /// `None`: nobody has asked for it.
    pub(super) ticket: Option<Ticket>,
    pub(super) row_lasts: Duration,
}

/// All of them.
#[derive(Default)]
pub(super) struct Releases {
    waiting: Vec<Release>,
    /// Those that are with the database, in its order.
    in_flight: Vec<Release>,
}

impl Releases {
    pub(super) fn add(&mut self, release: Release) {
        self.waiting.push(release);
    }

    /// Takes out all that waits: what does not go out is added again.
    pub(super) fn take_waiting(&mut self) -> std::vec::Drain<'_, Release> {
        self.waiting.drain(..)
    }

    pub(super) fn put_back(&mut self, releases: impl IntoIterator<Item = Release>) {
        self.waiting.extend(releases);
    }

    /// This one goes out with the next statement.
    pub(super) fn send(&mut self, release: Release) {
        self.in_flight.push(release);
    }

    /// What the next statement gives back, by name.
    pub(super) fn sent(&mut self) -> Vec<Lease> {
        sort_by(&mut self.in_flight, |a, b| a.lease.key.cmp(&b.lease.key));
        self.in_flight.iter().map(|release| release.lease.clone()).collect()
    }

    /// The statement has an answer: takes out what it was about.
    pub(super) fn answered(&mut self) -> Vec<Release> {
        std::mem::take(&mut self.in_flight)
    }

    /// The statement has no answer: what it was about is to be given back yet.
    pub(super) fn unanswered(&mut self, backoff: Option<Backoff>) {
        let asked = self.in_flight.drain(..).filter(|release| release.what != What::HandOver);
        self.waiting.extend(asked.map(|release| match backoff {
            Some(backoff) => release.fared(backoff),
            None => release,
        }));
    }

    /// When the first of them can go out, if all can that have not been busy alone.
    pub(super) fn next(&self, earliest: Instant) -> Option<Instant> {
        self.waiting.iter().map(|release| release.backoff.at().unwrap_or(earliest)).min()
    }

    pub(super) fn are_none(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.is_empty()
    }

    /// Forgets what has run out: the row is free by itself. Returns the releases of rows that a caller
    /// has held, and the holds that are settled by them.
    pub(super) fn lapse(&mut self, now: Now) -> (Vec<RanOut>, Vec<GrantId>) {
        let (mut over, mut settled) = (Vec::new(), Vec::new());
        for release in self.in_flight.iter_mut().chain(&mut self.waiting) {
            if now.is_in(&release.validity) {
                continue;
            }
            let hold = release.settles.take();
            settled.extend(hold);
            let ticket = match std::mem::replace(&mut release.what, What::Cleanup) {
                What::Asked(ticket) => Some(ticket),
                What::Cleanup | What::HandOver => None,
            };
            if ticket.is_some() || hold.is_some() {
                let (lease, row_lasts) = (release.lease.clone(), release.row_lasts);
                over.push(RanOut { lease, ticket, row_lasts });
            }
        }
        self.waiting.retain(|release| now.is_in(&release.validity));
        (over, settled)
    }

    /// Until when what is to be given back is worth the trouble. What nobody waits for any more is
    /// forgotten with its job.
    pub(super) fn validities(&self) -> impl Iterator<Item = &Arc<Validity>> {
        self.waiting.iter().chain(&self.in_flight).map(|release| &release.validity)
    }
}
