//! How a connection pays what it owes: locks that it was perhaps granted, or has perhaps given back.

use super::Connection;
use super::dialect::{At, Dialect as _, error_kind};
use super::driver_error::{aborted, strange};
use super::ledger::{Holding, ledger};
use super::lock::{ConnectionLock, Doubt};
use super::row::{DriverError, Row};
use super::session::Session;
use crate::backend::errors::ErrorKind;
use crate::error::Result;
use crate::spec::lock_id::LockId;

impl<C: Connection> ConnectionLock<'_, C> {
    pub(super) async fn ready(&mut self) -> Result<()> {
        self.conn.ready().await.map_err(C::Dialect::error)
    }

    /// An earlier `acquire` was dropped: what it has left is given back.
    pub(super) async fn resolve_doubt(&mut self) -> Result<()> {
        if let (false, Some(grant)) = (self.sent.is_empty(), self.grant.clone()) {
            self.pay(&grant.session, grant.inside).await?;
            self.sent.clear();
            if self.held.is_empty() {
                self.grant = None;
            }
        }
        if let Some(Doubt { inside, .. }) = self.doubt {
            self.resolve(At::of(inside)).await?;
        }
        self.release_partial().await
    }

    /// Ends the doubt: what it is about is given back if the session has it, or unreleased if others have
    /// it there. Only an answer that is understood ends it.
    pub(super) async fn resolve(&mut self, at: At) -> Result<()> {
        let Some(Doubt { one, inside }) = self.doubt.clone() else { return Ok(()) };
        let others = {
            let ledger = ledger();
            let here = match &self.grant {
                Some(grant) => Some(&grant.session),
                None => ledger.session_at(self.conn.place()),
            };
            let held = |it: &&Session| {
                ledger.look(C::Dialect::LABEL, it, &one.lock_id) == Holding::SameMode
            };
            here.filter(held).cloned()
        };
        let mut at = at;
        loop {
            self.ready().await?;
            let text = C::Dialect::resolve(&[(&one.lock_id, 1)], others.as_ref(), at);
            let refused = match self.conn.ask(text).await {
                Ok(rows) => {
                    let session = settled::<C>(&rows)?;
                    self.doubt = None;
                    if others.as_ref() == Some(&session) {
                        ledger().add_unreleased(C::Dialect::LABEL, &session, &one.lock_id);
                    }
                    return Ok(());
                }
                Err(refused) => refused,
            };
            match error_kind::<C::Dialect>(&refused) {
                // It was broken by what was asked under the savepoint.
                ErrorKind::Aborted if inside && at != At::Failed => at = At::Failed,
                ErrorKind::NoSavepoint | ErrorKind::Aborted => return Err(aborted()),
                ErrorKind::NoTransaction if at != At::Outside => at = At::Outside,
                ErrorKind::Ended => {
                    self.ended();
                    return Err(C::Dialect::error(refused));
                }
                _ => return Err(C::Dialect::error(refused)),
            }
        }
    }

    /// Before a wait: what the session owes, as far as it is known here, others may wait for.
    pub(super) async fn pay_first(&mut self) -> Result<()> {
        let session = ledger().session_at(self.conn.place()).cloned();
        match session {
            Some(session) => self.pay_all(&session, self.conn.is_inside()).await.map(drop),
            None => Ok(()),
        }
    }

    /// Pays what this session owes, and what nobody knows who owes; whether anything was.
    pub(super) async fn pay(&mut self, session: &Session, inside: bool) -> Result<bool> {
        {
            let mut ledger = ledger();
            let place = self.conn.place();
            if ledger.is_searching(C::Dialect::LABEL, place) {
                ledger.suspect(C::Dialect::LABEL, session, place);
            }
        }
        self.pay_all(session, inside).await
    }

    /// A payment that fails stays to be paid: it is not what the caller has asked for.
    async fn pay_all(&mut self, session: &Session, inside: bool) -> Result<bool> {
        let unreleased_keys = ledger().payable(C::Dialect::LABEL, session);
        if unreleased_keys.is_empty() {
            return Ok(false);
        }
        let inside = inside || self.conn.is_inside();
        match self.pay_these(session, &unreleased_keys, At::of(inside)).await? {
            Ok(found) => Ok(found),
            Err(refused) => {
                tracing::debug!(target: "dlock", error = %refused.source, "not given back yet");
                if let Some(undo) = C::Dialect::undo(inside) {
                    let _ = self.conn.ask(undo.to_owned()).await;
                }
                Ok(false)
            }
        }
    }

    /// Whether the session had any of it.
    async fn pay_these(
        &mut self,
        session: &Session,
        unreleased_keys: &[(LockId, usize)],
        at: At,
    ) -> Result<Result<bool, DriverError>> {
        let each: Vec<(&LockId, usize)> =
            unreleased_keys.iter().map(|(lock_id, n)| (lock_id, *n)).collect();
        self.ready().await?;
        let rows = match self.conn.ask(C::Dialect::resolve(&each, None, at)).await {
            Ok(rows) => rows,
            Err(refused) => return Ok(Err(refused)),
        };
        let answered = settled::<C>(&rows)?;
        if answered != *session {
            ledger().left(self.conn.place());
            return Ok(Ok(false));
        }
        let mut given = given(&rows);
        let (mut ledger, mut found) = (ledger(), false);
        for (lock_id, count) in unreleased_keys {
            for _ in 0..*count {
                if given.next() == Some(true) {
                    ledger.found(C::Dialect::LABEL, lock_id);
                    tracing::debug!(target: "dlock", %lock_id, "given back late");
                    found = true;
                }
            }
            ledger.paid(C::Dialect::LABEL, session, lock_id, *count);
        }
        Ok(Ok(found))
    }

    /// The session has ended, and its locks with it.
    pub(super) fn ended(&mut self) {
        self.doubt = None;
        if let Some(grant) = &self.grant {
            ledger().ended(C::Dialect::LABEL, &grant.session);
        }
    }
}

/// The session that has answered.
fn settled<C: Connection>(rows: &[Row]) -> Result<Session> {
    Session::named(rows, "settled").ok_or_else(|| strange::<C>(format!("{rows:?}")))
}

/// What became of each that was to be given back if it was held.
pub(super) fn given(rows: &[Row]) -> impl Iterator<Item = bool> + '_ {
    rows.iter().filter_map(|row| match &row[..] {
        [Some(name), given] if name == "given" => Some(given.as_deref() == Some("t")),
        _ => None,
    })
}

#[cfg(all(test, feature = "postgres"))]
mod tests;
