//! How a connection gives its locks back.

use super::Connection;
use super::dialect::{Meaning, called};
use super::driver::{Refused, Row};
use super::ledger;
use super::lock::{ConnectionLock, Grant};
use super::plan::Wanted;
use crate::error::{Error, Result};
use crate::key::Key;
use crate::lost::LostReason;

impl<C: Connection> ConnectionLock<'_, C> {
    /// Lets go of the lock, and waits for the server's word: whether there was anything to let go
    /// of. One round trip.
    ///
    /// # Errors
    /// [`Error::Lost`] when the connection has ended, and when the server says that it does not hold
    /// the lock: it is another session than the one it was granted to, or somebody has let go by
    /// hand. [`Error::Config`] in a transaction that has failed and was open before the lock was
    /// taken: the lock stays until the connection ends then, and one of sqlx's pool is closed. Roll
    /// back first, by way of [`conn`](ConnectionLock::conn). A failed one that was opened since is
    /// rolled back here, for nothing else can be done with it.
    ///
    /// # Cancel safety
    /// As when it is dropped, see [`ConnectionLock`].
    pub async fn release(mut self) -> Result<bool> {
        self.let_go("").await
    }

    /// The text before it is for the transaction.
    pub(super) async fn let_go(&mut self, before: &str) -> Result<bool> {
        self.settle_doubt().await?;
        let Some(grant) = self.grant else { return Ok(false) };
        if self.held.is_empty() {
            // Locking was switched off.
            self.grant = None;
            return Ok(true);
        }
        let mut answer = self.give(before).await;
        if answer.as_ref().is_err_and(|refused| C::DIALECT.meaning(refused) == Meaning::Aborted) {
            let end = match (grant.inside, &self.savepoint) {
                (false, _) => "ROLLBACK;".to_owned(),
                (true, Some(name)) => {
                    format!("ROLLBACK TO SAVEPOINT {name};RELEASE SAVEPOINT {name};")
                }
                (true, None) => return Err(self.stuck()),
            };
            answer = self.give(&end).await;
        }
        let rows = match answer {
            Ok(rows) => rows,
            Err(refused) => match C::DIALECT.meaning(&refused) {
                // Since when, nobody knows: what was done under the lock may have been done without.
                Meaning::Ended => {
                    let error = C::DIALECT.error(refused);
                    tracing::debug!(target: "dlock", %error, "not released: the connection is gone");
                    return Err(self.lost(grant));
                }
                Meaning::Aborted => return Err(self.stuck()),
                _ => return Err(C::DIALECT.error(refused)),
            },
        };
        self.grant = None;
        let held = self.forget_held();
        let (yes, session) = match called(&rows, "dlock") {
            Some([Some(yes), Some(session)]) => (&**yes, session.parse().ok()),
            _ => ("", None),
        };
        // The answers come last first.
        let not_held = held.iter().rev().zip(yes.chars().chain(std::iter::repeat('f')));
        let not_held = not_held.filter(|(_, yes)| *yes != 't' || session != Some(grant.session));
        match not_held.last() {
            None => Ok(true),
            Some((one, _)) => Err(Error::Lost {
                key: one.key.clone(),
                reason: match session {
                    Some(session) if session != grant.session => LostReason::SessionEnded,
                    _ => LostReason::NotHeld,
                },
                held_for: grant.since.elapsed(),
            }),
        }
    }

    /// Gives back what was got of an `acquire` that did not get all.
    pub(super) async fn give_back(&mut self) -> Result<()> {
        if self.held.len() > self.kept {
            let text = C::DIALECT.give(self.held.get(self.kept..).unwrap_or_default());
            self.conn.ask(text).await.map_err(|refused| C::DIALECT.error(refused))?;
            let place = self.conn.place();
            self.held.drain(self.kept..).for_each(|one| ledger::leave(place, &one.claim));
        }
        Ok(())
    }

    async fn give(&mut self, before: &str) -> Result<Vec<Row>, Refused> {
        let text = format!("{before}{}", self.text_to_give());
        self.giving = true;
        let answer = self.ask_twice(text).await;
        self.giving = false;
        answer
    }

    /// The first error may be that of a statement whose future the caller has dropped: the driver
    /// gives it to whoever asks next.
    pub(super) async fn ask_twice(&mut self, text: String) -> Result<Vec<Row>, Refused> {
        let answer = self.conn.ask(text.clone()).await;
        match answer.as_ref().map_err(|refused| C::DIALECT.meaning(refused)) {
            Err(Meaning::Other | Meaning::Busy | Meaning::Deadlock) => self.conn.ask(text).await,
            _ => answer,
        }
    }

    /// Also what may be held once more than anybody knows.
    pub(super) fn text_to_give(&self) -> String {
        let mut text = C::DIALECT.give(&self.held);
        for one in &self.held {
            let same = self.held.iter().filter(|other| other.claim == one.claim).count();
            if ledger::is_suspect(self.conn.place(), &one.claim, same) {
                text.push(';');
                text.push_str(&C::DIALECT.give_if_held(one));
            }
        }
        text
    }

    pub(super) fn forget_held(&mut self) -> Vec<Wanted> {
        let place = self.conn.place();
        self.held.iter().for_each(|one| ledger::leave(place, &one.claim));
        self.kept = 0;
        std::mem::take(&mut self.held)
    }

    /// The connection has ended, and its locks with it.
    fn lost(&mut self, grant: Grant) -> Error {
        self.grant = None;
        self.conn.abandon(String::new());
        let key = self.held.first().map_or_else(|| Key::from(""), |one| one.key.clone());
        self.forget_held();
        Error::Lost { key, reason: LostReason::SessionEnded, held_for: grant.since.elapsed() }
    }

    /// The connection is given up with the lock; nothing is sent, for it would be refused as well.
    fn stuck(&mut self) -> Error {
        self.grant = None;
        self.conn.abandon(String::new());
        let keys: Vec<String> = self.forget_held().iter().map(|one| one.key.to_string()).collect();
        Error::config(format!(
            "lock \"{}\" cannot be released in a transaction that has failed; roll it back (or back \
             to a savepoint) before the release",
            keys.join("\", \"")
        ))
    }
}
