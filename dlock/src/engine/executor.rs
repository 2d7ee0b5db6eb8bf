//! The seam between the engine's loop and what carries its decisions out: sessions or leases.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::table::{Event, Ticket};
use crate::clock::{Time, Word};
use crate::error::Error;
use crate::lost::LostReason;
use crate::native::NativeKey;

/// Carries the table's decisions out on a database.
pub(crate) trait Executor: Send + 'static {
    /// Ask for the key, without waiting.
    fn try_lock(&mut self, key: NativeKey, ticket: Ticket);
    /// Wait for the key, until then or for ever.
    fn wait(&mut self, key: NativeKey, ticket: Ticket, until: Option<Instant>);
    /// Whether a wait would begin at once; if not, a try is the better question even for a key that
    /// was fought over a moment ago.
    fn can_wait(&self) -> bool;
    /// Stop that wait.
    fn cancel(&mut self, key: &NativeKey, ticket: Ticket);
    /// Give the key back.
    fn unlock(&mut self, key: NativeKey, ticket: Ticket);
    /// Make sure that nothing is held by what answered this ticket.
    fn distrust(&mut self, key: &NativeKey, ticket: Ticket);
    /// How the key is held.
    fn held(&self, key: &NativeKey) -> Option<Held>;
    /// Have the database confirm the key.
    fn refresh(&mut self, key: &NativeKey);
    /// Ask the database whether the key is held.
    fn verify(&mut self, key: &NativeKey, reply: oneshot::Sender<bool>);
    /// Send what has come together.
    fn flush(&mut self);
    /// Why the database cannot be asked.
    fn trouble(&self) -> Error;
    /// Waits for the next reports and does what is due by the clock. Cancel-safe.
    fn recv(&mut self, reports: &mut Vec<Report>) -> impl Future<Output = ()> + Send;
    /// Lets go of everything and disconnects.
    fn shutdown(self) -> impl Future<Output = ()> + Send;
}

/// What an executor has to tell the table; the reason goes with a loss.
pub(crate) struct Report {
    pub(crate) event: Event<NativeKey>,
    pub(crate) reason: LostReason,
}

impl From<Event<NativeKey>> for Report {
    fn from(event: Event<NativeKey>) -> Self {
        Report { event, reason: LostReason::SessionEnded }
    }
}

/// How a key is held in the database.
pub(crate) struct Held {
    pub(crate) word: Arc<Word>,
    /// Enough of the word is left to hand the lock to somebody.
    pub(crate) fresh: bool,
    pub(crate) fence: Option<u64>,
    /// When the database granted it.
    pub(crate) since: Time,
}
