//! Locks on connections of drivers that are synchronous, without `await`.

use super::{Connection, ConnectionLock, TransactionLock};
use crate::blocking::block_on;
use crate::error::{Error, Result};

/// A connection whose driver is synchronous: what is asked of it blocks the thread.
///
/// oracledb's `Connection`, with the feature `oracle`. Sealed, as [`Connection`] is.
pub trait BlockingConnection: Connection {}

#[cfg(feature = "oracle")]
impl BlockingConnection for oracledb::Connection {}

impl<C: BlockingConnection + ?Sized> BlockingConnection for &mut C {}

impl<C: BlockingConnection> ConnectionLock<'_, C> {
    /// As [`acquire`](ConnectionLock::acquire), from any thread.
    ///
    /// # Errors
    /// As [`acquire`](ConnectionLock::acquire).
    ///
    /// # Examples
    /// ```no_run
    /// # #[cfg(feature = "oracle")]
    /// # fn pay(mut conn: dlock::oracledb::Connection) -> dlock::Result<()> {
    /// use std::time::Duration;
    ///
    /// let mut lock = dlock::on(&mut conn).lock("payout:7").timeout(Duration::from_secs(5));
    /// lock.acquire_blocking()?;
    /// lock.conn().execute("UPDATE payouts SET done = 1 WHERE id = 7", &[])?;
    /// lock.conn().commit()?;
    /// lock.release_blocking()?;
    /// # Ok(()) }
    /// ```
    pub fn acquire_blocking(&mut self) -> Result<()> {
        block_on(self.acquire())
    }

    /// As [`try_acquire`](ConnectionLock::try_acquire), from any thread.
    ///
    /// # Errors
    /// As [`try_acquire`](ConnectionLock::try_acquire).
    pub fn try_acquire_blocking(&mut self) -> Result<bool> {
        block_on(self.try_acquire())
    }

    /// As [`release`](ConnectionLock::release), from any thread.
    ///
    /// # Errors
    /// As [`release`](ConnectionLock::release).
    pub fn release_blocking(self) -> Result<bool> {
        block_on(self.release())
    }

    /// As [`run`](ConnectionLock::run), from any thread, with a body that is no future.
    ///
    /// # Errors
    /// As [`run`](ConnectionLock::run).
    ///
    /// # Examples
    /// ```no_run
    /// # #[cfg(feature = "oracle")]
    /// # fn pay(mut conn: dlock::oracledb::Connection) -> dlock::Result<()> {
    /// dlock::on(&mut conn).lock("payout:7").run_blocking(|conn| {
    ///     conn.execute("UPDATE payouts SET done = 1 WHERE id = 7", &[])?;
    ///     conn.commit()?;
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub fn run_blocking<T, E: From<Error>>(
        self,
        body: impl FnOnce(&mut C) -> Result<T, E>,
    ) -> Result<T, E> {
        block_on(self.run(async move |conn: &mut C| body(conn)))
    }
}

impl<C: BlockingConnection> TransactionLock<'_, C> {
    /// As [`acquire`](TransactionLock::acquire), from any thread.
    ///
    /// # Errors
    /// As [`acquire`](TransactionLock::acquire).
    ///
    /// # Examples
    /// ```no_run
    /// # #[cfg(feature = "oracle")]
    /// # fn transfer(mut conn: dlock::oracledb::Connection) -> dlock::Result<()> {
    /// dlock::within(&mut conn).lock_all(["account:1", "account:2"]).acquire_blocking()?;
    /// conn.execute("UPDATE accounts SET balance = balance - 5 WHERE id = 1", &[])?;
    /// conn.execute("UPDATE accounts SET balance = balance + 5 WHERE id = 2", &[])?;
    /// conn.commit()?;
    /// # Ok(()) }
    /// ```
    pub fn acquire_blocking(self) -> Result<()> {
        block_on(self.acquire())
    }

    /// As [`try_acquire`](TransactionLock::try_acquire), from any thread.
    ///
    /// # Errors
    /// As [`try_acquire`](TransactionLock::try_acquire).
    pub fn try_acquire_blocking(self) -> Result<bool> {
        block_on(self.try_acquire())
    }
}
