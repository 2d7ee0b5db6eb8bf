//! What a process may hear though it is not so.

use dlock::engine::lock_table::{Event, RequestId};
use fastrand::Rng;

use super::claim::Claim;
use super::ledger::Ledger;

/// An answer to an old question or of the wrong kind, a guard of a lost lock that goes, a caller
/// who was answered meanwhile; now and then, by chance, the truth.
pub(crate) fn lie(
    rng: &mut Rng,
    ledger: &Ledger,
    key: Claim,
    last_request: RequestId,
) -> Event<Claim> {
    let ticket = ledger.last_ticket.saturating_sub(rng.u64(..4));
    let hold = ledger.last_hold.saturating_sub(rng.u64(..4));
    let request = rng.u64(..=last_request);
    match rng.u8(..10) {
        0 => Event::Refused { key, ticket },
        1 => Event::Ended { key, ticket },
        2 => Event::Unlocked { key, ticket, clean: true },
        3 => Event::Failed { key, ticket, fatal: rng.bool() },
        4 => Event::Release { hold, budget_spent: rng.bool() },
        5 => Event::Abandon { request },
        6 => Event::Expire { request },
        7 => Event::Overdue { request },
        8 => Event::Lost { key, grant: ticket },
        _ => Event::Granted { key, ticket },
    }
}
