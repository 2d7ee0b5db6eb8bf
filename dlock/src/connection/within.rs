//! `within`: locks that end with the caller's transaction.

use std::fmt;

use super::dialect::{Answer, Dialect as _, error_kind};
use super::driver_error::{aborted, failure, refusal, timeout};
use super::plan::Waiting;
use super::row::{DriverError, Row};
use super::take::who;
use super::{Connection, Plan};
use crate::backend::errors::{ErrorKind, unsupported};
use crate::error::{Error, Result};
use crate::observe::Event;
use crate::spec::key::IntoKey;
use crate::spec::mode::Mode;
use crate::spec::scheme::KeyScheme;
use crate::spec::wait::Wait;
use crate::switch;

/// Starts a lock inside the caller's transaction. It ends with the transaction: there is nothing to release.
///
/// It works on PostgreSQL, also through a pooler in transaction mode, on SQL Server and on Oracle. MySQL and
/// MariaDB have no such locks and return [`Error::Unsupported`]: use [`on`](crate::on), or lock a row with
/// `SELECT … FOR UPDATE`.
///
/// It is the same lock as that of a [`Locker`](crate::Locker) with the same database, namespace and
/// [`KeyScheme`]. A transaction that holds it may take it again; on Oracle that is
/// [`Error::Reentrant`]. Oracle begins a transaction with its first write, and a lock that is taken before that
/// ends with it too.
///
/// A rollback to a savepoint that is older than the lock releases the lock. The rest of the transaction then
/// runs without it.
///
/// In a transaction of `REPEATABLE READ` or `SERIALIZABLE`, reads under the lock see the database as it was at
/// the transaction's first statement, which may be the wait for the lock itself. They do not see what the
/// earlier holder wrote, and writes to the same rows fail with 40001. Take the lock before the transaction,
/// with [`on`](crate::on), or use `READ COMMITTED`, the default, where each statement sees what was there when
/// it began.
///
/// [`Connection`] lists the types that it takes.
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

/// A transaction to take locks in. Made by [`within`].
#[must_use = "nothing is locked yet: write `within(…).lock(key).acquire().await`"]
pub struct Within<'c, C: Connection> {
    conn: &'c mut C,
    scheme: KeyScheme,
    namespace: String,
}

impl<'c, C: Connection> Within<'c, C> {
    /// Sets the namespace, as [`LockerBuilder::namespace`](crate::LockerBuilder::namespace) does.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Takes the locks of a program in another language, as
    /// [`LockerBuilder::key_scheme`](crate::LockerBuilder::key_scheme) does.
    pub fn key_scheme(mut self, scheme: KeyScheme) -> Self {
        self.scheme = scheme;
        self
    }

    /// Returns a lock in this transaction. Nothing is held yet.
    pub fn lock(self, key: impl IntoKey) -> TransactionLock<'c, C> {
        self.lock_all([key])
    }

    /// Returns several locks as one: all or none, with one timeout, in one round trip. They are taken in an order
    /// that is the same everywhere.
    pub fn lock_all<K: IntoKey>(self, keys: impl IntoIterator<Item = K>) -> TransactionLock<'c, C> {
        let keys = keys.into_iter().map(IntoKey::into_key).collect();
        TransactionLock::new(self.conn, Plan::new(keys, self.scheme, self.namespace))
    }
}

/// A lock that ends with the caller's transaction. Made by [`Within::lock`].
#[must_use = "nothing is locked yet: await `acquire()` or `try_acquire()`"]
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

    /// Sets how long to wait for the lock, as [`Lock::timeout`](crate::Lock::timeout) does. Default: 30 s. The
    /// server ends the wait.
    pub fn timeout(mut self, wait: impl Into<Wait>) -> Self {
        self.plan.wait = wait.into().normal();
        self
    }

    /// Takes the lock in shared mode, as [`Lock::shared`](crate::Lock::shared) does.
    pub fn shared(self) -> Self {
        self.mode(Mode::Shared)
    }

    /// Sets the mode, as [`Lock::mode`](crate::Lock::mode) does.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.plan.mode = mode;
        self
    }

    /// Acquires the lock until the end of the transaction, waiting at most
    /// [`timeout`](TransactionLock::timeout). Costs one round trip, and two more after a timeout.
    ///
    /// After a success, a timeout and an error alike, the transaction is open and usable, with its own settings:
    /// the wait runs under a savepoint.
    ///
    /// # Errors
    /// [`Error::Timeout`] when the wait is over, [`Error::Config`] when no transaction is open or it has failed,
    /// [`Error::Deadlock`] when the server detects one, [`Error::Unsupported`] where the database has no such
    /// locks or they exclude nobody.
    ///
    /// # Cancel safety
    /// The server goes on waiting until the timeout, and the connection cannot be used before that. dlock closes a
    /// `PoolConnection` of sqlx instead of returning it to its pool. It does not close a `Transaction`, also one
    /// of a pool: that connection returns to the pool when the wait is over. If the server grants the lock, it
    /// ends with the transaction.
    pub async fn acquire(mut self) -> Result<()> {
        self.take(self.plan.wait).await
    }

    /// Acquires the lock if it is free. Returns `false` if another session holds it. Costs one
    /// round trip.
    ///
    /// # Errors
    /// Those of [`acquire`](TransactionLock::acquire), except `Timeout`.
    pub async fn try_acquire(mut self) -> Result<bool> {
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
        let Some(first) = wanted.first() else { return Ok(()) };
        let Some(mut text) = C::Dialect::take_within(&wanted, waiting.wait) else {
            return Err(unsupported(
                C::Dialect::LABEL,
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
                Ok(rows) => match C::Dialect::answer(&rows) {
                    Answer::Yes { .. } => {
                        let waited = waiting.since.elapsed();
                        for one in &wanted {
                            self.plan
                                .tell::<C::Dialect>(&one.key, |of| Event::Acquired { of, waited });
                        }
                        return Ok(());
                    }
                    Answer::Busy { .. } => return Err(timeout(first, waiting, None)),
                    Answer::Outside => return Err(no_transaction()),
                    other => return Err(refusal::<C>(first, other)),
                },
                Err(refused) => match error_kind::<C::Dialect>(&refused) {
                    ErrorKind::Ended => return Err(C::Dialect::error(refused)),
                    ErrorKind::NoTransaction => return Err(no_transaction()),
                    ErrorKind::Aborted => return Err(aborted()),
                    error_kind => {
                        // The first error tells more than one of the clean-up.
                        let settled = self.ask(C::Dialect::resolve_within(&wanted)).await;
                        if error_kind != ErrorKind::TimedOut {
                            return Err(failure::<C>(first, error_kind, refused));
                        }
                        settled.map_err(C::Dialect::error)?;
                    }
                },
            }
            if waiting.left() == Wait::NoWait {
                // Which of several was refused, nobody says.
                let holder = match &wanted[..] {
                    [one] => {
                        self.asking = true;
                        let holder = who::<C>(self.conn, &one.lock_id, true).await;
                        self.asking = false;
                        holder
                    }
                    _ => None,
                };
                return Err(timeout(first, waiting, holder));
            }
            text = C::Dialect::take_within(&wanted, waiting.left()).unwrap_or_default();
        }
    }

    async fn ask(&mut self, text: String) -> Result<Vec<Row>, DriverError> {
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
