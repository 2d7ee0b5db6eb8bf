//! A body under a lock of the caller's connection.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Connection;
use super::dialect::Meaning;
use super::lock::ConnectionLock;
use crate::error::{Error, Result};

impl<C: Connection> ConnectionLock<'_, C> {
    /// Takes the lock, runs the body with the connection, and lets go of it.
    ///
    /// An `Err` of the body comes back as it is. Before that, a transaction that the body has left
    /// open is rolled back (see [`rollback_on_error`](ConnectionLock::rollback_on_error)), and the
    /// lock is released. A transaction that was open before is left to the caller; but if the body
    /// has made it fail, it is rolled back to where the body began, so that the lock can be
    /// released. To know that costs a round trip: before the lock on MySQL and MariaDB, on
    /// PostgreSQL inside a transaction only.
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
    /// The body's, and those of [`acquire`](ConnectionLock::acquire) and, if the body has none, of
    /// [`release`](ConnectionLock::release).
    ///
    /// # Cancel safety
    /// As when the lock is dropped while it is held, see [`ConnectionLock`].
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
        let known = C::DIALECT.tells_inside() || !self.rollback_on_error;
        let inside = !known && self.is_inside().await?;
        self.acquire().await?;
        let Some(grant) = &mut self.grant else { return Ok(()) };
        grant.inside |= inside;
        if C::DIALECT.tells_inside() && grant.inside && self.rollback_on_error {
            // One for each, since the body may lock again and inner ones stay.
            static NEXT: AtomicU64 = AtomicU64::new(0);
            let name = format!("dlock_run_{}", NEXT.fetch_add(1, Ordering::Relaxed));
            let set = self.conn.ask(format!("SAVEPOINT {name}")).await;
            set.map_err(|refused| C::DIALECT.error(refused))?;
            self.savepoint = Some(name);
        }
        Ok(())
    }

    /// After the body. An error of this never hides the body's: what could not be released is given
    /// up with the connection.
    pub(crate) async fn leave(mut self, failed: bool) -> Result<()> {
        let inside = self.grant.is_some_and(|grant| grant.inside);
        let left_open = failed && self.rollback_on_error && !inside && !self.held.is_empty();
        let before = match left_open && self.is_inside().await? {
            true => "ROLLBACK;",
            // A savepoint stays: the body may have ended it or its transaction, and then to end it
            // is an error.
            false => "",
        };
        let left = self.let_go(before).await;
        if let (Err(error), true) = (&left, failed) {
            tracing::warn!(target: "dlock", %error, "not released after a body that failed");
        }
        left.map(drop)
    }

    /// Whether a transaction is open.
    async fn is_inside(&mut self) -> Result<bool> {
        match self.ask_twice(C::DIALECT.look().into()).await {
            Ok(rows) => Ok(C::DIALECT.is_inside(&rows)),
            Err(refused) => match C::DIALECT.meaning(&refused) {
                Meaning::Aborted => Ok(true),
                Meaning::NoTransaction => Ok(false),
                _ => Err(C::DIALECT.error(refused)),
            },
        }
    }
}
