//! How a connection gets its locks.

use std::time::Instant;

use super::Connection;
use super::dialect::{Answer, Meaning, called};
use super::driver::{Driver, Refused, Row};
use super::ledger::{self, Held};
use super::lock::{ConnectionLock, Doubt, Grant};
use super::pause::sleep;
use super::plan::{Waiting, Wanted};
use crate::error::{Error, Result};
use crate::holder::{Holder, Stage};
use crate::switch;
use crate::wait::Wait;

impl<C: Connection> ConnectionLock<'_, C> {
    /// Takes the lock, waiting for it as long as [`timeout`](ConnectionLock::timeout) says. One round
    /// trip, a second one for a wait inside a transaction, and one more when the wait is over.
    ///
    /// The connection's settings are the same after as before, and so is a transaction that is
    /// open: on PostgreSQL the wait runs under a savepoint there.
    ///
    /// # Errors
    /// [`Error::Timeout`] when the wait is over, [`Error::Reentrant`] when the connection has the
    /// lock already, [`Error::Deadlock`] when the server sees one, [`Error::Unsupported`] in a mode
    /// that the database lacks and where locks exclude nobody, [`Error::Config`] in a transaction
    /// that has failed. A wait that an administrator stops is an [`Error::Backend`] or an
    /// [`Error::Unavailable`].
    ///
    /// After any of these nothing is held that was not held before, and an open transaction goes on,
    /// after a deadlock too: neither MySQL's 3058 nor MariaDB's 1213 of a lock rolls it back.
    /// PostgreSQL also sees deadlocks between locks and rows; on MySQL and MariaDB those are timeouts.
    ///
    /// # Cancel safety
    /// The server goes on waiting until the timeout; what it grants then is given back by the next
    /// use of this lock, or, if it may be one more of what another lock has on this connection, by
    /// that one's release. When this lock is dropped instead, see [there](ConnectionLock).
    pub async fn acquire(&mut self) -> Result<()> {
        self.take(self.plan.wait).await
    }

    /// Takes the lock if it is free; whether it was. One round trip.
    ///
    /// # Errors
    /// As [`acquire`](ConnectionLock::acquire), without `Timeout`.
    ///
    /// # Cancel safety
    /// As [`acquire`](ConnectionLock::acquire).
    pub async fn try_acquire(&mut self) -> Result<bool> {
        match self.take(Wait::NoWait).await {
            Ok(()) => Ok(true),
            Err(error) if error.is_timeout() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn take(&mut self, wait: Wait) -> Result<()> {
        let waiting = Waiting::begin(wait);
        let wanted = self.plan.wanted(C::DIALECT)?;
        if !switch::enabled() {
            self.grant.get_or_insert(Grant { since: waiting.since, session: 0, inside: false });
            return Ok(());
        }
        self.settle_doubt().await?;
        let mut first = self.grant.filter(|_| !self.held.is_empty());
        for one in wanted {
            match self.take_one(&one, waiting).await {
                Ok(grant) => {
                    tracing::debug!(target: "dlock", key = %one.key, on = C::DIALECT.label(),
                        waited = ?waiting.since.elapsed(), "acquired");
                    ledger::enter(self.conn.place(), &one.claim);
                    self.held.push(one);
                    first.get_or_insert(grant);
                }
                Err(error) => {
                    self.give_back().await?;
                    return Err(error);
                }
            }
        }
        self.grant = first;
        self.kept = self.held.len();
        Ok(())
    }

    /// Waits for one of them as long as it takes, or may take.
    async fn take_one(&mut self, one: &Wanted, waiting: Waiting) -> Result<Grant> {
        let mut inside = false;
        loop {
            let pause = self.plan.retry_every;
            let left = if pause.is_some() { Wait::NoWait } else { waiting.left() };
            let text = match inside {
                true => C::DIALECT.take_inside(one, left),
                false => None,
            };
            let text = text.unwrap_or_else(|| C::DIALECT.take(one, left, self.reentrant));
            self.doubt = Some(Doubt { one: one.clone(), inside });
            let holder = match self.conn.ask(text).await {
                Ok(rows) => match C::DIALECT.answer(&rows) {
                    Answer::Yes { session, inside } => {
                        self.doubt = None;
                        return Ok(Grant { since: Instant::now(), session, inside });
                    }
                    Answer::Inside => {
                        inside = true;
                        continue;
                    }
                    Answer::Busy if waiting.wait == Wait::NoWait => None,
                    Answer::Busy if pause.is_some() && waiting.left() != Wait::NoWait => None,
                    Answer::Busy if left == Wait::NoWait => {
                        let left = self.left_behind(one);
                        self.settle(left, false).await?
                    }
                    // Somebody has ended the statement: nothing was granted.
                    Answer::Busy => self.settle(Some(one), false).await?,
                    other => {
                        self.doubt = None;
                        return Err(refusal::<C>(one, other));
                    }
                },
                Err(refused) => {
                    match C::DIALECT.meaning(&refused) {
                        Meaning::Busy => self.settle(Some(one), inside).await?,
                        // Nothing was begun.
                        Meaning::Aborted => {
                            self.doubt = None;
                            return Err(aborted());
                        }
                        // With it, its locks have gone.
                        Meaning::Ended => return Err(C::DIALECT.error(refused)),
                        meaning => {
                            let left = self.left_behind(one);
                            self.settle(left, inside).await?;
                            return Err(failure::<C>(one, meaning, refused));
                        }
                    }
                }
            };
            self.doubt = None;
            match (waiting.left(), pause) {
                (Wait::NoWait, _) => return Err(timeout(one, waiting, holder)),
                (Wait::For(left), Some(pause)) => sleep(pause.min(left)).await?,
                (Wait::Forever, Some(pause)) => sleep(pause).await?,
                (_, None) => {}
            }
        }
    }

    /// After a wait that came to nothing: gives back what it may have left; who is in the way.
    async fn settle(&mut self, left: Option<&Wanted>, inside: bool) -> Result<Option<Holder>> {
        let rows = self.conn.ask(C::DIALECT.settle(left, inside)).await;
        let rows = rows.map_err(|refused| C::DIALECT.error(refused))?;
        self.doubt = None;
        Ok(holder(&rows))
    }

    /// What is to be given back, if the session has it, of an attempt whose answer nobody has read.
    pub(super) fn left_behind<'a>(&self, one: &'a Wanted) -> Option<&'a Wanted> {
        let place = self.conn.place();
        match (ledger::look(place, &one.claim), self.reentrant) {
            (Held::Not, _) | (Held::Otherwise, true) => Some(one),
            // It was refused.
            (Held::Otherwise | Held::Already, false) => None,
            // Whoever has it gives the count back that there may be too much.
            (Held::Already, true) => {
                ledger::suspect(place, &one.claim);
                None
            }
        }
    }

    /// An earlier `acquire` was dropped: what it has left is given back.
    pub(super) async fn settle_doubt(&mut self) -> Result<()> {
        self.settle_last().await?;
        self.give_back().await
    }

    /// The one that it was about.
    async fn settle_last(&mut self) -> Result<()> {
        /// Its own error, that of the transaction which it broke, and the end of that.
        const ANSWERS: usize = 3;
        let Some(Doubt { one, inside }) = self.doubt.clone() else { return Ok(()) };
        let one = self.left_behind(&one);
        let mut broken = false;
        for _ in 0..ANSWERS {
            let Err(refused) = self.conn.ask(C::DIALECT.settle(one, broken)).await else {
                self.doubt = None;
                return Ok(());
            };
            match C::DIALECT.meaning(&refused) {
                Meaning::Ended => return Err(C::DIALECT.error(refused)),
                Meaning::Aborted if inside => broken = true,
                Meaning::Aborted => break,
                // The driver may give it to whoever asks next.
                _ => {}
            }
        }
        Err(aborted())
    }
}

/// Of the answers that are no grant and no wait.
pub(super) fn refusal<C: Driver>(one: &Wanted, answer: Answer) -> Error {
    match answer {
        Answer::Mine => Error::Reentrant { key: one.key.clone() },
        Answer::Useless { what, instead } => C::DIALECT.unsupported(what, instead),
        other => Error::Unavailable {
            backend: C::DIALECT.label().into(),
            source: std::sync::Arc::new(Strange(format!("{other:?}"))),
        },
    }
}

pub(super) fn failure<C: Driver>(one: &Wanted, meaning: Meaning, refused: Refused) -> Error {
    match meaning {
        Meaning::Deadlock => Error::Deadlock { key: one.key.clone() },
        _ => C::DIALECT.error(refused),
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
    tracing::debug!(target: "dlock", key = %one.key, ?waited, "timed out");
    Error::Timeout {
        key: one.key.clone(),
        waited,
        stage: Stage::Database,
        holder: holder.map(Box::new),
    }
}

pub(super) fn holder(rows: &[Row]) -> Option<Holder> {
    match called(rows, "holder") {
        Some([Some(who)]) => Some(Holder { who: who.clone(), since: None }),
        _ => None,
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the server gave an answer that means nothing: {0}")]
struct Strange(String);
