//! `on`: locks that the caller's connection holds until it releases them.

use super::{Connection, ConnectionLock, Plan};
use crate::spec::key::IntoKey;
use crate::spec::scheme::KeyScheme;

/// Starts a lock on the caller's own connection, beside its queries.
///
/// The lock belongs to the connection's session. It lasts through transactions, until it is released or the
/// connection ends. It is the same lock as that of a [`Locker`](crate::Locker) with the same database,
/// namespace and [`KeyScheme`].
///
/// It works on PostgreSQL, MySQL, MariaDB, SQL Server and Oracle. It does not work through a pooler that takes
/// the session away between statements or transactions: use [`within`](crate::within) there, or a lease. It does
/// not work on a replica or a node of a Galera cluster, whose locks exclude nobody on other servers. dlock
/// refuses these where it can detect them. It detects a pooler when two connections of this process get one
/// session, or when the release reaches another session.
///
/// [`Connection`] lists the types that it takes.
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

/// A connection to take locks on. Made by [`on`].
#[must_use = "nothing is locked yet: write `on(…).lock(key)`, and await its `acquire()` or `run(…)`"]
pub struct On<'c, C: Connection> {
    conn: &'c mut C,
    scheme: KeyScheme,
    namespace: String,
}

impl<'c, C: Connection> On<'c, C> {
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

    /// Returns a lock on this connection. Nothing is held yet.
    pub fn lock(self, key: impl IntoKey) -> ConnectionLock<'c, C> {
        self.lock_all([key])
    }

    /// Returns several locks as one: all or none, with one timeout. They are taken in an order that is the same
    /// everywhere. Each costs one round trip.
    pub fn lock_all<K: IntoKey>(self, keys: impl IntoIterator<Item = K>) -> ConnectionLock<'c, C> {
        let keys = keys.into_iter().map(IntoKey::into_key).collect();
        ConnectionLock::new(self.conn, Plan::new(keys, self.scheme, self.namespace))
    }
}
