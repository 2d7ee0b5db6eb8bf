//! `on`: locks that a connection holds until they are released.

use super::{Connection, ConnectionLock, Plan};
use crate::key::Key;
use crate::scheme::KeyScheme;

/// Locks on a connection of the caller's own, next to its queries: they belong to the connection's
/// session, and last through its transactions until they are released or the connection ends.
///
/// The lock is that of a [`Locker`](crate::Locker) of the same database, namespace and
/// [`KeyScheme`]. On PostgreSQL, MySQL, MariaDB and SQL Server; not through a pooler that takes a connection
/// away between statements or transactions (use [`within`](crate::within) there, or a lease), and not on a
/// replica or a node of a Galera cluster, whose locks exclude nobody elsewhere: those are refused
/// as far as they can be told. A pooler shows when it gives one session to two connections of this
/// process, or another session for the release.
///
/// Needs sqlx 0.9, tokio-postgres 0.7 or tiberius 0.13, see [`Connection`].
///
/// ```no_run
/// # #[cfg(feature = "postgres")]
/// # async fn pay(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// let mut conn = pool.acquire().await?;
/// let mut lock = dlock::on(&mut conn).lock("payout:7").timeout(Duration::from_secs(5));
/// lock.acquire().await?;
/// sqlx::query("UPDATE payouts SET done = true WHERE id = 7").execute(&mut **lock.conn()).await?;
/// lock.release().await?;
/// # Ok(()) }
/// ```
pub fn on<C: Connection>(conn: &mut C) -> On<'_, C> {
    On { conn, scheme: KeyScheme::default(), namespace: String::new() }
}

/// A connection to lock on. Made by [`on`].
#[must_use = "nothing is locked before `lock` and `acquire`"]
pub struct On<'c, C: Connection> {
    conn: &'c mut C,
    scheme: KeyScheme,
    namespace: String,
}

impl<'c, C: Connection> On<'c, C> {
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

    /// A lock on this connection.
    pub fn lock(self, key: impl Into<Key>) -> ConnectionLock<'c, C> {
        self.lock_all([key])
    }

    /// Several locks as one: all or none, in one order everywhere, with one timeout. Each costs a
    /// round trip.
    pub fn lock_all<K: Into<Key>>(
        self,
        keys: impl IntoIterator<Item = K>,
    ) -> ConnectionLock<'c, C> {
        let keys = keys.into_iter().map(Into::into).collect();
        ConnectionLock::new(self.conn, Plan::new(keys, self.scheme, self.namespace))
    }
}
