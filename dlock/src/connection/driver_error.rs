//! Why a lock was not had.

use super::dialect::{Answer, Dialect as _};
use super::driver::Driver;
use super::plan::Waiting;
use super::row::DriverError;
use super::wanted::Wanted;
use crate::backend::errors::{ErrorKind, unexpected, unsupported};
use crate::error::Error;
use crate::status::holder::{Holder, Stage};

/// Another connection of this process is on the very same session.
pub(super) fn pooled<C: Driver>() -> Error {
    unsupported(
        C::Dialect::LABEL,
        "locks of a session through a pooler that takes it away between statements (this session of \
         the server holds a lock of another connection of this process, or one that was forgotten)",
        "use dlock::within, a lease, or a connection past the pooler",
    )
}

pub(super) fn strange<C: Driver>(said: String) -> Error {
    unexpected(C::Dialect::LABEL, &said)
}

/// Of the answers that are no grant and no wait of a transaction.
pub(super) fn refusal<C: Driver>(one: &Wanted, answer: Answer) -> Error {
    match answer {
        Answer::Mine { .. } => Error::Reentrant { key: one.key.clone() },
        Answer::Deadlock => Error::Deadlock { key: one.key.clone() },
        Answer::NotExclusive(server) => server.error(C::Dialect::LABEL),
        other => strange::<C>(format!("{other:?}")),
    }
}

pub(super) fn failure<C: Driver>(
    one: &Wanted,
    error_kind: ErrorKind,
    refused: DriverError,
) -> Error {
    match error_kind {
        ErrorKind::Deadlock => Error::Deadlock { key: one.key.clone() },
        _ => C::Dialect::error(refused),
    }
}

pub(super) fn aborted() -> Error {
    Error::config(
        "the transaction has failed before and takes no statement but its end; roll it back, or \
         back to a savepoint, and lock again",
    )
}

pub(super) fn timeout(one: &Wanted, waiting: Waiting, holder: Option<Holder>) -> Error {
    let waited = waiting.since.elapsed();
    Error::Timeout {
        key: one.key.clone(),
        waited,
        stage: Stage::Database,
        holder: holder.map(Box::new),
    }
}
