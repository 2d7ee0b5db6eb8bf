//! What became of a release.

use super::lock::ConnectionGrant;
use super::row::called;
use super::row::{DriverError, Row};
use super::session::Session;
use super::wanted::Wanted;
use crate::error::{Error, Result};
use crate::status::lost::LostReason;

/// Whether a transaction may be open that was begun under the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Open {
    MayBe,
    IsRefused,
}

/// What became of a release.
#[derive(Debug)]
pub(super) enum Given {
    /// The session's word for each, last one first, and which session that is.
    Answered { each: String, session: Session, held: Vec<Wanted> },
    /// There is a transaction: nothing was done.
    IsOpen,
    /// The answer means nothing.
    UnexpectedReply(String),
}

pub(super) fn names(held: &[Wanted]) -> String {
    let keys: Vec<String> = held.iter().map(|one| format!("\"{}\"", one.key)).collect();
    keys.join(", ")
}

pub(super) fn read(rows: &[Row]) -> Result<Given, DriverError> {
    let answered = called(rows, "dlock");
    let Some([Some(each), session @ ..]) = answered else {
        return Ok(Given::UnexpectedReply(format!("{answered:?}")));
    };
    Ok(match (&**each, Session::read(session)) {
        ("open", _) => Given::IsOpen,
        (_, Some(session)) => Given::Answered { each: each.clone(), session, held: Vec::new() },
        (_, None) => Given::UnexpectedReply(format!("{answered:?}")),
    })
}

/// Whether all were held until now.
pub(super) fn outcome(
    grant: &ConnectionGrant,
    each: &str,
    session: &Session,
    held: &[Wanted],
) -> Result<bool> {
    // The answers come last first.
    let answers = each.chars().chain(std::iter::repeat('f'));
    let not_held = held.iter().rev().zip(answers).filter(|(_, yes)| *yes != 't');
    match not_held.last() {
        None => Ok(true),
        Some((one, _)) => Err(Error::Lost {
            key: one.key.clone(),
            reason: match *session == grant.session {
                false => LostReason::SessionEnded,
                true => LostReason::NotHeld,
            },
            held_for: grant.since.elapsed(),
        }),
    }
}
