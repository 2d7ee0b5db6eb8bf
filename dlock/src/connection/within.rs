//! `within`: locks that last as long as the caller's transaction.

use std::fmt;

use super::dialect::{Answer, Meaning};
use super::driver::{Refused, Row};
use super::plan::Waiting;
use super::refused::{aborted, failure, refusal, timeout};
use super::take::who;
use super::{Connection, Plan};
use crate::error::{Error, Result};
use crate::key::Key;
use crate::mode::Mode;
use crate::scheme::KeyScheme;
use crate::switch;
use crate::wait::Wait;

/// Locks inside the caller's transaction: they end with it, and there is nothing to release. On
/// PostgreSQL, also through a pooler in transaction mode, and on SQL Server. MySQL and MariaDB have no such locks
/// ([`Error::Unsupported`]): use [`on`](crate::on), or lock a row with `SELECT … FOR UPDATE`.
///
/// The lock is that of a [`Locker`](crate::Locker) of the same database, namespace and
/// [`KeyScheme`]. A transaction that has it may take it again.
///
/// A rollback to a savepoint that is older than the lock frees the lock: what comes after it in the
/// transaction runs without.
///
/// In a transaction of `REPEATABLE READ` or `SERIALIZABLE`, what is read under the lock is as old as
/// the transaction's first statement, which may be this very wait: what the holder before has
/// written is not seen (and writing to the same rows fails with 40001). Take the lock before the
/// transaction, with [`on`](crate::on), or use `READ COMMITTED`, the default, where every statement sees
/// what was there when it began.
///
/// Needs sqlx 0.9, tokio-postgres 0.7 or tiberius 0.13, see [`Connection`].
///
/// ```no_run
/// # #[cfg(feature = "postgres")]
/// # async fn transfer(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
/// let mut tx = pool.begin().await?;
/// dlock::within(&mut tx).lock_all(["account:1", "account:2"]).acquire().await?;
/// sqlx::query("UPDATE accounts SET balance = balance - 5 WHERE id = 1").execute(&mut *tx).await?;
/// sqlx::query("UPDATE accounts SET balance = balance + 5 WHERE id = 2").execute(&mut *tx).await?;
/// tx.commit().await?;
/// # Ok(()) }
/// ```
pub fn within<C: Connection>(tx: &mut C) -> Within<'_, C> {
    Within { conn: tx, scheme: KeyScheme::default(), namespace: String::new() }
}

/// A transaction to lock in. Made by [`within`].
#[must_use = "nothing is locked before `lock` and `acquire`"]
pub struct Within<'c, C: Connection> {
    conn: &'c mut C,
    scheme: KeyScheme,
    namespace: String,
}

impl<'c, C: Connection> Within<'c, C> {
    /// As [`LockerBuilder::namespace`](crate::LockerBuilder::namespace).
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// As [`LockerBuilder::key_scheme`](crate::LockerBuilder::key_scheme): the locks of a program in another language.
    pub fn key_scheme(mut self, scheme: KeyScheme) -> Self {
        self.scheme = scheme;
        self
    }

    /// A lock in this transaction.
    pub fn lock(self, key: impl Into<Key>) -> TransactionLock<'c, C> {
        self.lock_all([key])
    }

    /// Several locks as one: all or none, in one order everywhere, with one timeout and in one
    /// round trip.
    pub fn lock_all<K: Into<Key>>(
        self,
        keys: impl IntoIterator<Item = K>,
    ) -> TransactionLock<'c, C> {
        let keys = keys.into_iter().map(Into::into).collect();
        TransactionLock::new(self.conn, Plan::new(keys, self.scheme, self.namespace))
    }
}

/// A lock for a transaction of the caller's. Made by [`within`] and [`lock`](Within::lock).
#[must_use = "nothing is locked before `acquire`"]
pub struct TransactionLock<'c, C: Connection> {
    conn: &'c mut C,
    plan: Plan,
    /// A statement is under way.
    asking: bool,
}

impl<'c, C: Connection> TransactionLock<'c, C> {
    pub(crate) fn new(conn: &'c mut C, plan: Plan) -> Self {
        TransactionLock { conn, plan, asking: false }
    }

    /// As [`Lock::timeout`](crate::Lock::timeout). Default: 30 s. The server ends the wait.
    pub fn timeout(mut self, wait: impl Into<Wait>) -> Self {
        self.plan.wait = wait.into().normal();
        self
    }

    /// As [`Lock::shared`](crate::Lock::shared).
    pub fn shared(self) -> Self {
        self.mode(Mode::Shared)
    }

    /// As [`Lock::mode`](crate::Lock::mode).
    pub fn mode(mut self, mode: Mode) -> Self {
        self.plan.mode = mode;
        self
    }

    /// Takes the lock until the end of the transaction, waiting for it as long as
    /// [`timeout`](TransactionLock::timeout) says. One round trip, two more when the wait is over.
    ///
    /// Whatever comes of it, the transaction is as usable as before, and its settings are the same:
    /// the wait runs under a savepoint.
    ///
    /// # Errors
    /// [`Error::Timeout`] when the wait is over, [`Error::Config`] when no transaction is open or it
    /// has failed before, [`Error::Deadlock`] when the server sees one, [`Error::Unsupported`]
    /// where there are no such locks or they exclude nobody.
    ///
    /// # Cancel safety
    /// The server goes on waiting until the timeout, and the connection is not to be used before
    /// that. A `PoolConnection` of sqlx is closed instead of going back to its pool; a
    /// `Transaction`, also one that was begun on a pool, is not, and its connection goes back when the
    /// wait is over. The lock, if it is granted, ends with the transaction.
    pub async fn acquire(mut self) -> Result<()> {
        self.take(self.plan.wait).await
    }

    /// Takes the lock if it is free; whether it was. One round trip.
    ///
    /// # Errors
    /// As [`acquire`](TransactionLock::acquire), without `Timeout`.
    pub async fn try_acquire(mut self) -> Result<bool> {
        match self.take(Wait::NoWait).await {
            Ok(()) => Ok(true),
            Err(error) if error.is_timeout() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn take(&mut self, wait: Wait) -> Result<()> {
        self.take_all(wait).await.map_err(|error| self.plan.name(error))
    }

    async fn take_all(&mut self, wait: Wait) -> Result<()> {
        let waiting = Waiting::begin(wait);
        let wanted = self.plan.wanted(C::DIALECT)?;
        let Some(first) = wanted.first() else { return Ok(()) };
        let Some(mut text) = C::DIALECT.take_within(&wanted, wait) else {
            return Err(C::DIALECT.unsupported(
                "locks of a transaction",
                "take it with dlock::on, for the time of the transaction, or lock a row with \
                 SELECT … FOR UPDATE",
            ));
        };
        if !switch::enabled() {
            return Ok(());
        }
        loop {
            match self.ask(text).await {
                Ok(rows) => match C::DIALECT.answer(&rows) {
                    Answer::Yes { .. } => {
                        tracing::debug!(target: "dlock", key = %first.key,
                            on = C::DIALECT.label(), waited = ?waiting.since.elapsed(), "acquired");
                        return Ok(());
                    }
                    Answer::Busy { .. } => return Err(timeout(first, waiting, None)),
                    Answer::Outside => return Err(no_transaction()),
                    other => return Err(refusal::<C>(first, other)),
                },
                Err(refused) => match C::DIALECT.meaning(&refused) {
                    Meaning::Ended => return Err(C::DIALECT.error(refused)),
                    Meaning::NoTransaction => return Err(no_transaction()),
                    Meaning::Aborted => return Err(aborted()),
                    meaning => {
                        // The first error tells more than one of the clean-up.
                        let settled = self.ask(C::DIALECT.settle_within(&wanted)).await;
                        if meaning != Meaning::Busy {
                            return Err(failure::<C>(first, meaning, refused));
                        }
                        settled.map_err(|refused| C::DIALECT.error(refused))?;
                    }
                },
            }
            if waiting.left() == Wait::NoWait {
                // Which of several was refused, nobody says.
                let holder = match &wanted[..] {
                    [one] => {
                        self.asking = true;
                        let holder = who::<C>(self.conn, &one.claim, true).await;
                        self.asking = false;
                        holder
                    }
                    _ => None,
                };
                return Err(timeout(first, waiting, holder));
            }
            text = C::DIALECT.take_within(&wanted, waiting.left()).unwrap_or_default();
        }
    }

    async fn ask(&mut self, text: String) -> Result<Vec<Row>, Refused> {
        self.conn.ready().await?;
        self.asking = true;
        let answer = self.conn.ask(text).await;
        self.asking = false;
        answer
    }
}

fn no_transaction() -> Error {
    Error::config(
        "there is no open transaction, and the lock would end with its own statement; begin one \
         first, or use dlock::on",
    )
}

impl<C: Connection> Drop for TransactionLock<'_, C> {
    fn drop(&mut self) {
        if self.asking {
            self.conn.discard();
        }
    }
}

impl<C: Connection> fmt::Debug for TransactionLock<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransactionLock").field("plan", &self.plan).finish_non_exhaustive()
    }
}
