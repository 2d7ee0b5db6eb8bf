//! `tx` and `on`: locks on a connection that is a parameter.

use std::marker::PhantomData;
use std::time::Duration;

use super::call::{IntoKey, Timeout};
use crate::connection::{Connection, ConnectionLock, Plan, TransactionLock};
use crate::error::Result;
use crate::observe::Label;
use crate::spec::key::Key;
use crate::spec::mode::Mode;
use crate::spec::scheme::KeyScheme;

/// Keys and how to take them, before the connection is borrowed.
pub struct Own {
    plan: Plan,
    reentrant: bool,
}

/// A lock that the connection holds.
pub type OnConnection<'c, C> = ConnectionLock<'c, C>;

pub fn own<K: IntoKey>(keys: impl IntoIterator<Item = K>) -> Own {
    let keys: Vec<Key> = keys.into_iter().map(IntoKey::into_key).collect();
    Own { plan: Plan::new(keys, KeyScheme::default(), String::new()), reentrant: false }
}

/// The arguments of the attribute, each by its own name.
impl Own {
    #[must_use]
    pub fn timeout(mut self, timeout: impl Timeout) -> Self {
        self.plan.wait = timeout.wait().normal();
        self
    }

    /// The text of the template that the key is made of.
    #[must_use]
    pub fn label(mut self, label: &'static str) -> Self {
        self.plan.label = Label::Static(label);
        self
    }

    #[must_use]
    pub fn retry_every(mut self, pause: Duration) -> Self {
        self.plan.retry_every = Some(pause);
        self
    }

    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.plan.mode = mode;
        self
    }

    #[must_use]
    pub fn reentrant(mut self) -> Self {
        self.reentrant = true;
        self
    }
}

pub async fn within<C: Connection>(conn: &mut C, lock: Own) -> Result<()> {
    TransactionLock::new(conn, lock.plan).acquire().await
}

pub async fn on<C: Connection>(conn: &mut C, lock: Own) -> Result<OnConnection<'_, C>> {
    let mut held = ConnectionLock::new(conn, lock.plan);
    if lock.reentrant {
        held = held.reentrant();
    }
    held.enter().await?;
    Ok(held)
}

pub fn conn<'a, C: Connection>(held: &'a mut OnConnection<'_, C>) -> &'a mut C {
    held.conn()
}

/// The body's own error goes before that of the lock.
pub async fn off<C: Connection, R>(
    held: OnConnection<'_, C>,
    output: R,
    is_err: impl FnOnce(&R) -> bool,
) -> Result<R> {
    let failed = is_err(&output);
    match held.leave(failed).await {
        Err(error) if !failed => Err(error),
        _ => Ok(output),
    }
}

/// Whether a connection gives back a lock that is dropped in the middle of a statement, as when the
/// function is cancelled. Where it does not, the method is an inherent one that is deprecated: so the
/// compiler warns of it. Where it does, it is that of a trait.
pub struct GivesBack<C: ?Sized>(PhantomData<fn(&C)>);

impl<C: ?Sized> GivesBack<C> {
    pub fn of(_: &C) -> Self {
        GivesBack(PhantomData)
    }
}

pub trait AnyConnection {
    fn after_a_drop(&self) {}
}

impl<C: ?Sized> AnyConnection for GivesBack<C> {}

#[cfg(feature = "mysql")]
impl GivesBack<sqlx::MySqlConnection> {
    #[deprecated(
        note = "if this function is dropped in the middle of a statement, a connection of a pool goes \
                back with the lock: take the `PoolConnection` itself as the parameter; allow this \
                warning (`deprecated`) for connections that are no pool's"
    )]
    pub fn after_a_drop(&self) {}
}

#[cfg(any(feature = "mysql", feature = "postgres"))]
impl<DB: sqlx::Database> GivesBack<sqlx::Transaction<'_, DB>> {
    #[deprecated(
        note = "if this function is dropped in the middle of a statement, the transaction's connection \
                goes back to its pool with the lock: take the `PoolConnection` and begin the \
                transaction in the body; allow this warning (`deprecated`) for connections that are no \
                pool's"
    )]
    pub fn after_a_drop(&self) {}
}
