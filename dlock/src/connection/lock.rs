//! ConnectionLock: a lock that the caller's connection holds.

use std::fmt;
use std::time::{Duration, Instant};

use super::plan::Wanted;
use super::{Connection, Plan};
use crate::mode::Mode;
use crate::wait::Wait;

/// A lock on a connection of the caller's. Made by [`on`](crate::on) and
/// [`lock`](crate::On::lock); nothing is held before [`acquire`](ConnectionLock::acquire).
///
/// Dropped while it is held, or while an `acquire` was under way: a connection of sqlx's pool is
/// closed instead of going back (over TLS, with a statement under way, that takes sqlx up to five
/// seconds, and its place in the pool as long); on a `Transaction` of sqlx, which may be a pool's, and
/// on what is tokio-postgres's, the release is sent, and nobody waits for its answer; on a bare
/// connection of sqlx the lock stays until that ends. What is sent has no effect in a transaction that
/// has failed, and cannot be sent on a `Transaction` of sqlx while a statement is under way whose
/// future was dropped: then the lock stays until the connection ends, which for that of a pool may be
/// long after the transaction. So lock on the `PoolConnection` and begin the transaction on
/// [`conn`](ConnectionLock::conn), rather than lock on a `Transaction` of the pool.
#[must_use = "nothing is locked before `acquire`"]
pub struct ConnectionLock<'c, C: Connection> {
    pub(super) conn: &'c mut C,
    pub(super) plan: Plan,
    pub(super) reentrant: bool,
    pub(super) rollback_on_error: bool,
    /// In the order in which they were granted.
    pub(super) held: Vec<Wanted>,
    /// How many of them are of an `acquire` that got all it wanted.
    pub(super) kept: usize,
    /// Their release is under way.
    pub(super) giving: bool,
    /// What an `acquire` that has not come to its end may have left.
    pub(super) doubt: Option<Doubt>,
    /// Since when, on which session of the server, and whether a transaction was open.
    pub(super) grant: Option<Grant>,
    /// Where the body of `run` has begun, inside a transaction.
    pub(super) savepoint: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) struct Doubt {
    pub(super) one: Wanted,
    /// It waits under a savepoint.
    pub(super) inside: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Grant {
    pub(super) since: Instant,
    pub(super) session: i64,
    pub(super) inside: bool,
}

impl<'c, C: Connection> ConnectionLock<'c, C> {
    pub(crate) fn new(conn: &'c mut C, plan: Plan) -> Self {
        let (held, doubt, grant) = (Vec::new(), None, None);
        let (reentrant, rollback_on_error, savepoint) = (false, true, None);
        let (kept, giving) = (0, false);
        ConnectionLock {
            conn,
            plan,
            reentrant,
            rollback_on_error,
            held,
            kept,
            giving,
            doubt,
            grant,
            savepoint,
        }
    }

    /// As [`Lock::timeout`](crate::Lock::timeout). Default: 30 s.
    ///
    /// On PostgreSQL, a wait that runs out is an `ERROR` line in the server's log, unless the lock is
    /// asked for by tries ([`retry_every`](ConnectionLock::retry_every)) or the server's
    /// `log_min_error_statement` and `log_min_messages` leave such lines out. Waits of a
    /// [`Locker`](crate::Locker) are not.
    ///
    /// The server ends the wait. A server that does not answer at all is not noticed before the
    /// connection's own limits.
    pub fn timeout(mut self, wait: impl Into<Wait>) -> Self {
        self.plan.wait = wait.into().normal();
        self
    }

    /// As [`Lock::retry_every`](crate::Lock::retry_every): no statement waits. So two who build an
    /// index with `CREATE INDEX CONCURRENTLY` under one lock do not make a deadlock of it.
    pub fn retry_every(mut self, pause: Duration) -> Self {
        self.plan.retry_every = Some(pause);
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

    /// The connection may hold the lock already: then it holds it once more, and each of these
    /// locks lets go of its own. Without this, [`Error::Reentrant`](crate::Error::Reentrant).
    pub fn reentrant(mut self) -> Self {
        self.reentrant = true;
        self
    }

    /// Whether an error of the body of [`run`](ConnectionLock::run) is followed by a rollback of the
    /// transaction that the body left open. Default: it is.
    pub fn rollback_on_error(mut self, rollback: bool) -> Self {
        self.rollback_on_error = rollback;
        self
    }

    /// The connection, to be used under the lock.
    pub fn conn(&mut self) -> &mut C {
        self.conn
    }

    /// Whether the lock was granted and not released. Nobody is asked: that the connection has been
    /// lost since, [`release`](ConnectionLock::release) tells.
    pub fn is_held(&self) -> bool {
        self.grant.is_some()
    }
}

impl<C: Connection> Drop for ConnectionLock<'_, C> {
    fn drop(&mut self) {
        let doubt = self.doubt.take();
        if self.held.is_empty() && doubt.is_none() {
            return;
        }
        let mut texts: Vec<String> = Vec::new();
        if let Some(doubt) = &doubt {
            texts.extend(self.left_behind(&doubt.one).map(|one| C::DIALECT.give_if_held(one)));
        }
        if !self.held.is_empty() && !self.giving {
            texts.push(self.text_to_give());
        }
        self.forget_held();
        self.conn.abandon(texts.join(";"));
    }
}

impl<C: Connection> fmt::Debug for ConnectionLock<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionLock")
            .field("plan", &self.plan)
            .field("reentrant", &self.reentrant)
            .field("held", &self.held)
            .field("grant", &self.grant)
            .finish_non_exhaustive()
    }
}
