//! How a connection gets its locks.

use std::time::Instant;

use super::Connection;
use super::dialect::{Answer, At, Dialect as _, Take, error_kind};
use super::driver::Driver;
use super::driver_error::{aborted, failure, pooled, strange, timeout};
use super::ledger::{Holding, ledger};
use super::lock::{ConnectionGrant, ConnectionLock, Doubt};
use super::pause::sleep;
use super::plan::Waiting;
use super::row::called;
use super::session::Session;
use super::wanted::Wanted;
use crate::backend::errors::ErrorKind;
use crate::error::{Error, Result};
use crate::observe::Event;
use crate::spec::lock_id::LockId;
use crate::spec::wait::Wait;
use crate::status::holder::Holder;
use crate::switch;

impl<C: Connection> ConnectionLock<'_, C> {
    /// Acquires the lock, waiting at most [`timeout`](ConnectionLock::timeout).
    ///
    /// It costs one round trip; a second one for a wait in a transaction that the driver does not know of, two more
    /// after a timeout, and one more if an earlier lock left something behind on the session.
    ///
    /// The connection's settings do not change. An open transaction of sqlx or tokio-postgres stays usable in all
    /// cases: on PostgreSQL the statements run under a savepoint there. In a transaction that you began with a
    /// `BEGIN` of your own, only the wait does.
    ///
    /// # Errors
    /// * [`Error::Timeout`] when the wait is over.
    /// * [`Error::Reentrant`] if the connection holds the lock already.
    /// * [`Error::Deadlock`] when the server detects one. PostgreSQL also detects deadlocks between locks and rows;
    ///   on MySQL and MariaDB those are timeouts.
    /// * [`Error::Unsupported`] for a mode that the database lacks, where locks exclude nobody, and where a pooler
    ///   gives one session to two connections of this process.
    /// * [`Error::Config`] in a transaction that has failed.
    /// * [`Error::Backend`] or [`Error::Unavailable`] if an administrator stops the wait.
    ///
    /// After any of these the connection holds only what it held before, and an open transaction stays usable, also
    /// after a deadlock: neither MySQL's 3058 nor MariaDB's 1213 of a lock rolls it back. After an answer that
    /// dlock does not understand, the lock is in doubt as after a cancelled call.
    ///
    /// # Cancel safety
    /// The server keeps waiting until the timeout. If it grants the lock, the next call on this lock releases it,
    /// or, if another lock on this connection may hold the same key, the release of that one. For a lock that is
    /// dropped instead, see [`ConnectionLock`].
    pub async fn acquire(&mut self) -> Result<()> {
        self.take(self.plan.wait).await
    }

    /// Acquires the lock if it is free. Returns `false` if somebody else holds it. Costs one round trip.
    ///
    /// # Errors
    /// Those of [`acquire`](ConnectionLock::acquire), except `Timeout`.
    ///
    /// # Cancel safety
    /// The same as for [`acquire`](ConnectionLock::acquire).
    pub async fn try_acquire(&mut self) -> Result<bool> {
        match self.take(Wait::NoWait).await {
            Ok(()) => Ok(true),
            Err(error) if error.is_timeout() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn take(&mut self, wait: Wait) -> Result<()> {
        let waiting = Waiting::begin(wait);
        let taken = self.take_all(waiting).await.map_err(|error| self.plan.name(error));
        taken.inspect_err(|error| self.plan.tell_refusal::<C::Dialect>(waiting, error))
    }

    async fn take_all(&mut self, waiting: Waiting) -> Result<()> {
        let wanted = self.plan.wanted::<C::Dialect>()?;
        if !switch::enabled() {
            let session = Session { id: 0, born: "".into() };
            self.grant.get_or_insert(ConnectionGrant {
                since: waiting.since,
                session,
                inside: false,
            });
            return Ok(());
        }
        self.resolve_doubt().await?;
        self.pay_first().await?;
        if self.held.is_empty() {
            self.grant = None;
        }
        for one in wanted {
            if let Err(error) = self.take_one(&one, waiting).await {
                // What could not be given back is unreleased.
                if let Err(error) = self.release_partial().await {
                    tracing::debug!(target: "dlock", %error, "not given back yet");
                }
                if self.held.is_empty() {
                    self.grant = None;
                }
                return Err(error.about(&one.key));
            }
            let waited = waiting.since.elapsed();
            self.plan.tell::<C::Dialect>(&one.key, |of| Event::Acquired { of, waited });
        }
        self.kept = self.held.len();
        Ok(())
    }

    /// Waits for one of them as long as it takes, or may take.
    async fn take_one(&mut self, one: &Wanted, waiting: Waiting) -> Result<()> {
        let mut inside = self.conn.is_inside();
        // What is held already is not waited for: no limit of time can end that.
        let mut at_once = self.reentrant && self.has_it(&one.lock_id);
        loop {
            let pause = self.plan.retry_every;
            let at_once = std::mem::take(&mut at_once) || pause.is_some();
            let left = if at_once { Wait::NoWait } else { waiting.left() };
            let text = self.text_to_take(one, left, inside);
            self.ready().await?;
            self.doubt = Some(Doubt { one: one.clone(), inside });
            match self.conn.ask(text).await {
                Ok(rows) => match C::Dialect::answer(&rows) {
                    Answer::Yes { session, inside } => {
                        self.doubt = None;
                        return self.granted(one, session, inside).await;
                    }
                    Answer::Inside => {
                        inside = true;
                        continue;
                    }
                    Answer::Mine { session } => {
                        self.doubt = None;
                        if self.reentrant && self.is_counted_here(&session, &one.lock_id) {
                            return self.granted(one, session, inside).await;
                        }
                        if self.pay(&session, inside).await? {
                            continue;
                        }
                        return Err(self.mine(one, &session));
                    }
                    Answer::Busy { session } if left == Wait::NoWait => {
                        self.doubt = None;
                        self.pay(&session, inside).await?;
                        if waiting.wait == Wait::NoWait {
                            return Err(timeout(one, waiting, None));
                        }
                    }
                    // Somebody has ended the statement: nothing was granted.
                    Answer::Busy { .. } => self.resolve(At::of(inside)).await?,
                    Answer::NotExclusive(server) => {
                        self.doubt = None;
                        return Err(server.error(C::Dialect::LABEL));
                    }
                    Answer::Deadlock => {
                        self.doubt = None;
                        return Err(Error::Deadlock { key: one.key.clone() });
                    }
                    Answer::Outside => return Err(strange::<C>("no transaction".to_owned())),
                    Answer::UnexpectedReply(said) => return Err(strange::<C>(said)),
                },
                Err(refused) => match error_kind::<C::Dialect>(&refused) {
                    ErrorKind::TimedOut => {
                        self.resolve(if inside { At::Failed } else { At::Outside }).await?;
                    }
                    // Nothing was begun.
                    ErrorKind::Aborted => {
                        self.doubt = None;
                        return Err(aborted());
                    }
                    // The transaction that the driver knows of has been ended by hand.
                    ErrorKind::NoTransaction if inside => {
                        inside = false;
                        continue;
                    }
                    ErrorKind::Ended => {
                        self.ended();
                        return Err(C::Dialect::error(refused));
                    }
                    error_kind => {
                        let at = if inside { At::Failed } else { At::Outside };
                        // The first error tells more than one of the clean-up.
                        if let Err(error) = self.resolve(at).await {
                            tracing::debug!(target: "dlock", %error, "not settled yet");
                        }
                        return Err(failure::<C>(one, error_kind, refused));
                    }
                },
            }
            match (waiting.left(), pause) {
                (Wait::NoWait, _) => {
                    let holder = who::<C>(self.conn, &one.lock_id, inside).await;
                    return Err(timeout(one, waiting, holder));
                }
                (Wait::For(left), Some(pause)) => sleep(pause.min(left)).await?,
                (Wait::Forever, Some(pause)) => sleep(pause).await?,
                (_, None) => {}
            }
        }
    }

    /// Whether the session that was last seen here has it.
    fn has_it(&self, lock_id: &LockId) -> bool {
        let ledger = ledger();
        let session = ledger.session_at(self.conn.place());
        session.is_some_and(|session| ledger.held(C::Dialect::LABEL, session, lock_id) > 0)
    }

    /// Returns `true` if the session has it by a lock of this process, and its server does not count.
    fn is_counted_here(&self, session: &Session, lock_id: &LockId) -> bool {
        !C::Dialect::COUNTS && ledger().held(C::Dialect::LABEL, session, lock_id) > 0
    }

    fn text_to_take(&self, wanted: &Wanted, wait: Wait, inside: bool) -> String {
        let ledger = ledger();
        let again = self.reentrant;
        let has_it = |session: &&Session| {
            !again && ledger.look(C::Dialect::LABEL, session, &wanted.lock_id) != Holding::Not
        };
        let mine = ledger.session_at(self.conn.place()).filter(has_it);
        C::Dialect::take(&Take { wanted, wait, again, mine, inside })
    }

    /// The session has it once more: whether that is as it should be.
    async fn granted(&mut self, one: &Wanted, session: Session, inside: bool) -> Result<()> {
        let inside = inside || self.conn.is_inside();
        let (place, lock_id) = (self.conn.place(), &one.lock_id);
        let wrong = {
            let ledger = ledger();
            let before = ledger.look(C::Dialect::LABEL, &session, lock_id);
            let another = self.grant.as_ref().is_some_and(|grant| grant.session != session);
            match before {
                _ if another => Some(pooled::<C>()),
                Holding::Not => None,
                _ if ledger.is_elsewhere(C::Dialect::LABEL, &session, place) => Some(pooled::<C>()),
                _ if self.reentrant => None,
                _ => Some(Error::Reentrant { key: one.key.clone() }),
            }
        };
        ledger().granted(C::Dialect::LABEL, &session, place, lock_id);
        if let Some(error) = wrong {
            // Once more than it was held before, and no more than that.
            let grant = ConnectionGrant { since: Instant::now(), session, inside };
            let kept = self.grant.replace(grant);
            let others = std::mem::replace(&mut self.held, vec![one.clone()]);
            let given = self.release_held("", 0, true).await;
            self.grant = kept;
            self.held = others;
            if let Err(refused) = given {
                tracing::debug!(target: "dlock", error = %refused.source, "not given back yet");
            }
            return Err(error);
        }
        self.held.push(one.clone());
        let since = Instant::now();
        self.grant.get_or_insert(ConnectionGrant { since, session: session.clone(), inside });
        self.pay(&session, inside).await?;
        Ok(())
    }

    /// Why a session that has it does not get it.
    fn mine(&self, one: &Wanted, session: &Session) -> Error {
        let ledger = ledger();
        let held = ledger.look(C::Dialect::LABEL, session, &one.lock_id) != Holding::Not;
        match held && ledger.is_elsewhere(C::Dialect::LABEL, session, self.conn.place()) {
            true => pooled::<C>(),
            false => Error::Reentrant { key: one.key.clone() },
        }
    }
}

/// Who is in the way, if that can be had: whatever comes of the question, the wait is over and the
/// transaction as it was.
pub(super) async fn who<C: Driver>(conn: &mut C, lock_id: &LockId, inside: bool) -> Option<Holder> {
    conn.ready().await.ok()?;
    match conn.ask(C::Dialect::holder(lock_id, inside)).await {
        Ok(rows) => match called(&rows, "holder") {
            Some([Some(who)]) => Some(Holder::new(who, None)),
            _ => None,
        },
        Err(refused) => {
            tracing::debug!(target: "dlock", error = %refused.source, "nobody says who holds it");
            if let Some(undo) = C::Dialect::undo(inside) {
                let _ = conn.ask(undo.to_owned()).await;
            }
            None
        }
    }
}
