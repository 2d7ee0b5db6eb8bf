//! A body under a lock of the caller's connection.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Connection;
use super::dialect::{Dialect as _, error_kind};
use super::lock::{ConnectionLock, Ending};
use super::released::Open;
use crate::backend::errors::ErrorKind;
use crate::error::{Error, Result};

impl<C: Connection> ConnectionLock<'_, C> {
    /// Acquires the lock, runs the body with the connection, and releases the lock.
    ///
    /// If the body returns an `Err`, dlock rolls back the transaction that the body left open (see
    /// [`rollback_on_error`](ConnectionLock::rollback_on_error)), releases the lock, and returns that same `Err`. A
    /// transaction that was open before stays open. If the body made it fail, dlock rolls it back to where the body
    /// began, so that the lock can be released. Checking for an open transaction costs one extra round trip: always
    /// on MySQL and MariaDB, on PostgreSQL only inside a transaction.
    ///
    /// If the body returns `Ok` and leaves a transaction open, the call fails: the transaction would be committed
    /// after the release, when others run under the lock. dlock rolls it back, releases the lock, and returns
    /// [`Error::Config`]. So commit in the body. With `autocommit` off on MySQL or MariaDB, this concerns every body
    /// that reads or writes a table. On these two it is not detected with `rollback_on_error(false)`.
    ///
    /// A transaction that was open before is committed by the caller, after the release. Others may then get the
    /// lock before they can see what the body wrote. Use [`within`](crate::within), or begin the transaction in the
    /// body.
    ///
    /// ```no_run
    /// # #[cfg(feature = "postgres")]
    /// # async fn pay(mut conn: sqlx::PgConnection) -> Result<(), sqlx::Error> {
    /// dlock::on(&mut conn).lock("payout:7").run(async |conn| {
    ///     sqlx::query("UPDATE payouts SET done = true WHERE id = 7").execute(conn).await
    /// }).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The body's error; [`Error::Config`] for a transaction that the body leaves open; those of
    /// [`acquire`](ConnectionLock::acquire); and, if the body returns `Ok`, those of
    /// [`release`](ConnectionLock::release).
    ///
    /// # Cancel safety
    /// The same as for a lock that is dropped while it is held, see [`ConnectionLock`].
    pub async fn run<T, E: From<Error>>(
        mut self,
        body: impl AsyncFnOnce(&mut C) -> Result<T, E>,
    ) -> Result<T, E> {
        self.enter().await?;
        let output = body(self.conn).await;
        let failed = output.is_err();
        match self.leave(failed).await {
            Err(error) if !failed => Err(error.into()),
            _ => output,
        }
    }

    pub(crate) async fn enter(&mut self) -> Result<()> {
        let known = C::Dialect::TELLS_INSIDE || !self.rollback_on_error;
        let inside = !known && self.is_inside().await.map_err(|error| self.plan.name(error))?;
        self.acquire().await?;
        let Some(grant) = &mut self.grant else { return Ok(()) };
        grant.inside |= inside;
        if C::Dialect::TELLS_INSIDE && grant.inside && self.rollback_on_error {
            // One for each, since the body may lock again and inner ones stay.
            static NEXT: AtomicU64 = AtomicU64::new(0);
            let name = format!("dlock_run_{}", NEXT.fetch_add(1, Ordering::Relaxed));
            self.ready().await?;
            let set = self.conn.ask(format!("SAVEPOINT {name}")).await;
            set.map_err(|refused| self.plan.name(C::Dialect::error(refused)))?;
            self.savepoint = Some(name);
        }
        self.ending = Some(Ending::Body);
        Ok(())
    }

    /// After the body. An error of this never hides the body's: what could not be released is given
    /// up with the connection.
    pub(crate) async fn leave(mut self, failed: bool) -> Result<()> {
        let inside = self.grant.as_ref().is_some_and(|grant| grant.inside);
        let left_open = failed && self.rollback_on_error && !inside && !self.held.is_empty();
        let before = match left_open && self.is_inside().await? {
            true => C::Dialect::ROLLBACK,
            // A savepoint stays: the body may have ended it or its transaction, and then to end it
            // is an error.
            false => "",
        };
        let known = C::Dialect::TELLS_INSIDE || self.rollback_on_error;
        let open = match failed || inside || !known {
            true => Open::MayBe,
            false => Open::IsRefused,
        };
        let left = self.release_all(before, open).await;
        if let (Err(error), true) = (&left, failed) {
            tracing::warn!(target: "dlock", %error, "not released after a body that failed");
        }
        left.map(drop)
    }

    /// Whether a transaction is open.
    async fn is_inside(&mut self) -> Result<bool> {
        self.ready().await?;
        match self.conn.ask(C::Dialect::look()).await {
            Ok(rows) => Ok(C::Dialect::is_inside(&rows)),
            Err(refused) => match error_kind::<C::Dialect>(&refused) {
                ErrorKind::Aborted | ErrorKind::Open => Ok(true),
                _ => Err(C::Dialect::error(refused)),
            },
        }
    }
}
