//! How a connection gives its locks back.

use std::time::Instant;

use super::Connection;
use super::dialect::{Dialect as _, error_kind};
use super::driver_error::strange;
use super::ledger::ledger;
use super::lock::{ConnectionGrant, ConnectionLock, Ending, stays};
use super::released::{Given, Open, names, outcome, read};
use super::row::DriverError;
use super::session::Session;
use crate::backend::errors::ErrorKind;
use crate::error::{Error, Result};
use crate::observe::Event;
use crate::spec::key::Key;
use crate::status::lost::{LostInfo, LostReason};

impl<C: Connection> ConnectionLock<'_, C> {
    /// Releases the lock and waits until the server confirms it. Returns `false` if nothing was held. Costs one
    /// round trip.
    ///
    /// Commit before you release. The next holder does not see what is committed later.
    ///
    /// # Errors
    /// * [`Error::Lost`] if the connection has ended, or if the server says that this session does not hold the
    ///   lock: it is another session than before, or somebody released the lock by hand.
    /// * [`Error::Config`] in a transaction that has failed and was open before the lock was taken. The lock then
    ///   stays until the connection closes, or until the next use of dlock on it; a connection of sqlx's pool is
    ///   closed. Roll back first, on [`conn`](ConnectionLock::conn). If a failed transaction was opened after the
    ///   lock, the release rolls it back, because nothing else can be done with it.
    ///
    /// # Cancel safety
    /// The same as for a lock that is dropped, see [`ConnectionLock`]. On PostgreSQL, a transaction that was opened
    /// under the lock is then rolled back, because it may have failed.
    pub async fn release(mut self) -> Result<bool> {
        self.release_all("", Open::MayBe).await
    }

    /// The text before it is for the transaction.
    pub(super) async fn release_all(&mut self, before: &str, open: Open) -> Result<bool> {
        let held = self.grant.as_ref().map(|grant| grant.since);
        let ended = self.let_all_go(before, open).await.map_err(|error| self.plan.name(error));
        if let Some(since) = held {
            self.tell_end(since, &ended);
        }
        ended
    }

    /// Tells that what was held since then is released, or was lost.
    fn tell_end(&self, since: Instant, ended: &Result<bool>) {
        let held = since.elapsed();
        match ended {
            Ok(_) => {
                for key in &self.plan.keys {
                    self.plan.tell::<C::Dialect>(key, |of| Event::Released { of, held });
                }
            }
            Err(Error::Lost { key, reason, held_for }) => {
                let info = LostInfo { key: key.clone(), reason: *reason, held_for: *held_for };
                self.plan.tell::<C::Dialect>(key, |of| Event::Lost { of, info: &info, ends: true });
            }
            Err(error) => {
                tracing::debug!(target: "dlock", %error, "not released yet");
            }
        }
    }

    async fn let_all_go(&mut self, before: &str, open: Open) -> Result<bool> {
        self.resolve_doubt().await?;
        let Some(grant) = self.grant.clone() else { return Ok(false) };
        if self.held.is_empty() {
            // Locking was switched off.
            self.grant = None;
            return Ok(true);
        }
        self.ending = Some(Ending::Release);
        let mut failed = false;
        let mut answer = self.release_held(before, 0, open == Open::MayBe).await;
        if self.is(&answer, ErrorKind::Aborted) {
            failed = true;
            let (inside, name) = (grant.inside, self.savepoint.clone());
            let end = match (inside, name) {
                (false, _) => C::Dialect::ROLLBACK.to_owned(),
                (true, Some(name)) => {
                    format!("ROLLBACK TO SAVEPOINT {name};RELEASE SAVEPOINT {name};")
                }
                (true, None) => return Err(self.stuck()),
            };
            answer = self.release_held(&end, 0, true).await;
            if self.is(&answer, ErrorKind::NoSavepoint) {
                // The body has ended the caller's transaction; this one is its own.
                answer = self.release_held(C::Dialect::ROLLBACK, 0, true).await;
            }
        } else if matches!(answer, Ok(Given::IsOpen)) {
            failed = true;
            answer = self.release_held(C::Dialect::ROLLBACK, 0, true).await;
        }
        let released = self.judge(&grant, answer).await?;
        match failed && open == Open::IsRefused {
            true => Err(self.left_open()),
            false => Ok(released),
        }
    }

    fn is(&self, answer: &Result<Given, DriverError>, kind: ErrorKind) -> bool {
        answer.as_ref().is_err_and(|refused| error_kind::<C::Dialect>(refused) == kind)
    }

    async fn judge(
        &mut self,
        grant: &ConnectionGrant,
        answer: Result<Given, DriverError>,
    ) -> Result<bool> {
        let refused = match answer {
            Ok(Given::Answered { each, session, held }) => {
                self.grant = None;
                return outcome(grant, &each, &session, &held);
            }
            Ok(other) => {
                self.conn.discard();
                let said = match other {
                    Given::UnexpectedReply(said) => said,
                    _ => "a transaction that has no end".to_owned(),
                };
                return Err(strange::<C>(said));
            }
            Err(refused) => refused,
        };
        match error_kind::<C::Dialect>(&refused) {
            // Since when, nobody knows: what was done under the lock may have been done without.
            ErrorKind::Ended => {
                let error = C::Dialect::error(refused);
                tracing::debug!(target: "dlock", %error, "not released: the connection is gone");
                Err(self.lost(grant))
            }
            ErrorKind::Aborted => Err(self.stuck()),
            // It was stopped on its way, before or after it had let go.
            _ => {
                self.pay(&grant.session, grant.inside).await?;
                let unpaid = self.sent.drain(..).any(|one| {
                    let ledger = ledger();
                    ledger.unreleased_behind(C::Dialect::LABEL, &grant.session, &one.lock_id, 0) > 0
                });
                if unpaid {
                    self.conn.discard();
                    return Err(C::Dialect::error(refused));
                }
                self.grant = None;
                Ok(true)
            }
        }
    }

    /// Gives back what was got of an `acquire` that did not get all.
    pub(super) async fn release_partial(&mut self) -> Result<()> {
        if self.held.len() <= self.kept {
            return Ok(());
        }
        match self.release_held("", self.kept, true).await {
            Ok(Given::Answered { .. } | Given::IsOpen) => {
                if self.held.is_empty() {
                    self.grant = None;
                }
                Ok(())
            }
            Ok(Given::UnexpectedReply(said)) => Err(strange::<C>(said)),
            Err(refused) => Err(C::Dialect::error(refused)),
        }
    }

    /// Gives back those from this one on, and what the session owes of their keys if these are the
    /// last. From the moment when that is sent they are unreleased, and nobody's.
    pub(super) async fn release_held(
        &mut self,
        before: &str,
        from: usize,
        open: bool,
    ) -> Result<Given, DriverError> {
        let Some(grant) = self.grant.clone() else {
            return Ok(Given::UnexpectedReply("nothing is held".to_owned()));
        };
        self.conn.ready().await?;
        let session = &grant.session;
        let (text, unreleased) = {
            let mut ledger = ledger();
            let held = self.held.get_mut(from..).unwrap_or_default();
            for one in held.iter_mut() {
                one.stays = stays::<C::Dialect>(&ledger, session, &one.lock_id);
            }
            let mut text = format!("{before}{}", C::Dialect::release_held(held, session, open));
            let mut lock_ids: Vec<_> = held.iter().map(|one| one.lock_id.clone()).collect();
            held.iter().for_each(|one| ledger.giving(C::Dialect::LABEL, session, &one.lock_id));
            lock_ids.sort_unstable();
            lock_ids.dedup();
            let mut unreleased = Vec::new();
            for lock_id in lock_ids {
                let given = held.iter().filter(|one| one.lock_id == lock_id).count();
                let all = ledger.unreleased_behind(C::Dialect::LABEL, session, &lock_id, 0);
                for _ in given..all {
                    text.push(';');
                    text.push_str(&C::Dialect::release_if_held(&lock_id, None));
                }
                unreleased.push((lock_id, all.max(given)));
            }
            (text, unreleased)
        };
        self.sent = self.held.split_off(from.min(self.held.len()));
        self.kept = self.kept.min(from);
        let answer = self.conn.ask(text).await;
        let answer = match answer {
            Ok(rows) => read(&rows),
            Err(refused) => match error_kind::<C::Dialect>(&refused) {
                ErrorKind::Open => Ok(Given::IsOpen),
                ErrorKind::Aborted | ErrorKind::NoSavepoint => {
                    self.not_sent(session);
                    return Err(refused);
                }
                _ => return Err(refused),
            },
        };
        match answer {
            Ok(Given::IsOpen) => {
                self.not_sent(session);
                Ok(Given::IsOpen)
            }
            Ok(Given::Answered { each, session: by, .. }) => {
                let held = std::mem::take(&mut self.sent);
                if by == *session {
                    let mut ledger = ledger();
                    for (lock_id, count) in unreleased {
                        ledger.paid(C::Dialect::LABEL, session, &lock_id, count);
                    }
                }
                Ok(Given::Answered { each, session: by, held })
            }
            other => other,
        }
    }

    /// The server has done nothing of it: it is all held as before.
    fn not_sent(&mut self, session: &Session) {
        let mut ledger = ledger();
        for one in &self.sent {
            ledger.not_given(C::Dialect::LABEL, session, &one.lock_id);
        }
        self.held.append(&mut self.sent);
    }

    /// The connection has ended, and its locks with it.
    fn lost(&mut self, grant: &ConnectionGrant) -> Error {
        self.ended();
        self.conn.discard();
        let mut gone = std::mem::take(&mut self.held);
        gone.append(&mut self.sent);
        self.grant = None;
        let key = gone.first().map_or_else(|| Key::from(""), |one| one.key.clone());
        Error::Lost { key, reason: LostReason::SessionEnded, held_for: grant.since.elapsed() }
    }

    /// The connection is given up with the lock; nothing is sent, for it would be refused as well.
    fn stuck(&mut self) -> Error {
        self.conn.discard();
        let mut held = std::mem::take(&mut self.held);
        if let Some(grant) = self.grant.take() {
            let mut ledger = ledger();
            for one in &held {
                ledger.giving(C::Dialect::LABEL, &grant.session, &one.lock_id);
            }
        }
        held.append(&mut self.sent);
        Error::config(format!(
            "lock {} cannot be released in a transaction that has failed; roll it back (or back to a \
             savepoint) before the release",
            names(&held)
        ))
    }

    /// Others would get the lock before the transaction is committed.
    fn left_open(&self) -> Error {
        let keys: Vec<String> = self.plan.keys.iter().map(|key| format!("\"{key}\"")).collect();
        let error = Error::config(format!(
            "the body under lock {} returned Ok with a transaction open, which would be committed \
             after the release of the lock; it has been rolled back: commit it in the body",
            keys.join(", ")
        ));
        tracing::error!(target: "dlock", %error, "rolled back");
        error
    }
}
