//! ConnectionLock: a lock that the caller's connection holds.

use std::fmt;
use std::time::{Duration, Instant};

use super::dialect::Dialect;
use super::ledger::{Ledger, ledger};
use super::session::Session;
use super::wanted::Wanted;
use super::{Connection, Plan};
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;
use crate::spec::wait::Wait;

/// A lock on the caller's own connection. Made by [`On::lock`](crate::On::lock). Nothing is held
/// before [`acquire`](ConnectionLock::acquire).
///
/// If it is dropped while it is held, or during an `acquire`, it is released like this:
///
/// * dlock closes a `PoolConnection` of sqlx instead of returning it to the pool. Over TLS, while a statement
///   runs, sqlx takes up to five seconds for that, and keeps the place in the pool for as long.
/// * On a bare `PgConnection` of sqlx, and on the types of tokio-postgres, dlock queues the release behind what
///   was sent before. Nobody waits for its answer.
/// * On a bare `MySqlConnection` and on a `Transaction` of sqlx, dlock sends the release too, unless a statement
///   runs whose future was dropped: sqlx can queue nothing behind that. The lock then stays until the next use of
///   dlock on that session, which releases it, or until the session ends. A session of a pool may live long.
///   `#[locked(on = …)]` warns of such parameters.
/// * A failed transaction ignores the release. The lock then stays until the connection closes.
///
/// So lock on the `PoolConnection`, and begin the transaction on [`conn`](ConnectionLock::conn). Do
/// not lock on a `Transaction` of the pool.
///
/// A lock that is forgotten ([`std::mem::forget`]) stays until its session ends.
///
/// Locks that the application takes by hand on the same session, with the same id, are its own: the server counts
/// them, and dlock neither sees nor releases them. There is one exception: a session that a cancelled `acquire`
/// left in doubt may lose one of its counts. So take no such id by hand.
#[must_use = "nothing is locked yet: await `acquire()`, `try_acquire()` or `run(…)`"]
pub struct ConnectionLock<'c, C: Connection> {
    pub(super) conn: &'c mut C,
    pub(super) plan: Plan,
    pub(super) reentrant: bool,
    pub(super) rollback_on_error: bool,
    /// In the order in which they were granted.
    pub(super) held: Vec<Wanted>,
    /// How many of them are of an `acquire` that got all it wanted.
    pub(super) kept: usize,
    /// Their release was sent, and nobody has read the answer. The session owes them.
    pub(super) sent: Vec<Wanted>,
    /// What an `acquire` that has not come to its end may have left.
    pub(super) doubt: Option<Doubt>,
    /// Since when, on which session of the server, and whether a transaction was open.
    pub(super) grant: Option<ConnectionGrant>,
    /// What ends, with a transaction that was begun under the lock.
    pub(super) ending: Option<Ending>,
    /// Where the body of `run` has begun, inside a transaction.
    pub(super) savepoint: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) struct Doubt {
    pub(super) one: Wanted,
    /// It was asked for under a savepoint.
    pub(super) inside: bool,
}

#[derive(Debug, Clone)]
pub(super) struct ConnectionGrant {
    pub(super) since: Instant,
    pub(super) session: Session,
    pub(super) inside: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The body of `run`.
    Body,
    /// The lock itself: its release is under way.
    Release,
}

impl<'c, C: Connection> ConnectionLock<'c, C> {
    pub(crate) fn new(conn: &'c mut C, plan: Plan) -> Self {
        ConnectionLock {
            conn,
            plan,
            reentrant: false,
            rollback_on_error: true,
            held: Vec::new(),
            kept: 0,
            sent: Vec::new(),
            doubt: None,
            grant: None,
            ending: None,
            savepoint: None,
        }
    }

    /// Sets how long to wait for the lock, as [`Lock::timeout`](crate::Lock::timeout) does. Default: 30 s.
    ///
    /// On PostgreSQL, a wait that times out leaves an `ERROR` line in the server's log, unless the lock polls
    /// ([`retry_every`](ConnectionLock::retry_every)), or `log_min_error_statement` or `log_min_messages` exclude
    /// it. A [`Locker`](crate::Locker) leaves none.
    ///
    /// The server ends the wait. If the server does not answer at all, the call waits until the connection's own
    /// limits.
    pub fn timeout(mut self, wait: impl Into<Wait>) -> Self {
        self.plan.wait = wait.into().normal();
        self
    }

    /// Polls instead of waiting in a statement, as [`Lock::retry_every`](crate::Lock::retry_every) does. Two
    /// sessions that run `CREATE INDEX CONCURRENTLY` under one lock then cannot deadlock.
    pub fn retry_every(mut self, pause: Duration) -> Self {
        self.plan.retry_every = Some(pause);
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

    /// Allows the connection to hold the lock already. It then holds it once more, and each of these locks
    /// releases its own. Without this, `acquire` returns [`Error::Reentrant`](crate::Error::Reentrant).
    pub fn reentrant(mut self) -> Self {
        self.reentrant = true;
        self
    }

    /// Sets whether [`run`](ConnectionLock::run) rolls back the transaction that a body left open when it returned
    /// an error. Default: `true`.
    pub fn rollback_on_error(mut self, rollback: bool) -> Self {
        self.rollback_on_error = rollback;
        self
    }

    /// Returns the connection, for use under the lock.
    pub fn conn(&mut self) -> &mut C {
        self.conn
    }

    /// Returns `true` if the lock was granted and is not released. This asks nobody: only
    /// [`release`](ConnectionLock::release) tells whether the connection was lost meanwhile.
    pub fn is_held(&self) -> bool {
        let nothing_asked = self.held.is_empty() && self.sent.is_empty();
        self.grant.is_some() && (self.kept > 0 || nothing_asked)
    }
}

impl<C: Connection> ConnectionLock<'_, C> {
    /// What lets go of everything, for nobody to wait for; all of it is unreleased from now on.
    fn farewell(&mut self) -> Farewell {
        let mut ledger = ledger();
        let session = self.grant.as_ref().map(|grant| grant.session.clone());
        let mut held = std::mem::take(&mut self.held);
        let mut texts: Vec<String> = Vec::new();
        let mut lock_ids: Vec<&LockId> = self.sent.iter().map(|one| &one.lock_id).collect();
        if let (Some(session), false) = (&session, held.is_empty()) {
            for one in &mut held {
                one.stays = stays::<C::Dialect>(&ledger, session, &one.lock_id);
            }
            held.iter().for_each(|one| ledger.giving(C::Dialect::LABEL, session, &one.lock_id));
            texts.push(C::Dialect::release_held(&held, session, true));
        }
        let mut nobodys = None;
        match (&self.doubt, &session) {
            (Some(doubt), Some(session)) => {
                ledger.add_unreleased(C::Dialect::LABEL, session, &doubt.one.lock_id);
                lock_ids.push(&doubt.one.lock_id);
            }
            (Some(doubt), None) => {
                let lock_id = &doubt.one.lock_id;
                // Probably the session of an outer lock, which then has one more to give back. But
                // that may have been forgotten, and this be another session: the server knows.
                let outer = ledger.session_at(self.conn.place()).cloned();
                let outer = outer.filter(|it| ledger.held(C::Dialect::LABEL, it, lock_id) > 0);
                texts.push(C::Dialect::release_if_held(lock_id, outer.as_ref()));
                if let Some(outer) = outer {
                    ledger.add_unreleased(C::Dialect::LABEL, &outer, lock_id);
                }
                nobodys = Some(lock_id.clone());
            }
            (None, _) => {}
        }
        if let Some(session) = &session {
            lock_ids.sort_unstable();
            lock_ids.dedup();
            for lock_id in lock_ids {
                // Others who hold it give back what is unreleased behind them.
                let unreleased = ledger.unreleased_behind(C::Dialect::LABEL, session, lock_id, 0);
                let given = held.iter().filter(|one| one.lock_id == *lock_id).count();
                let rest = unreleased.saturating_sub(given);
                texts.extend((0..rest).map(|_| C::Dialect::release_if_held(lock_id, None)));
            }
        }
        Farewell { text: texts.join(";"), session, held, nobodys }
    }

    /// What the transaction needs before that, if it was begun under the lock: in one that has failed
    /// nothing can be released, and that of a body that is dropped ends with it.
    fn end_of_transaction(&self) -> &'static str {
        let since = self.grant.as_ref().is_some_and(|grant| !grant.inside);
        match self.ending {
            Some(Ending::Body) if since && self.rollback_on_error => C::Dialect::ROLLBACK,
            Some(Ending::Release) if since && C::Dialect::REFUSES_AFTER_ERRORS => {
                C::Dialect::ROLLBACK
            }
            _ => "",
        }
    }
}

/// Returns `true` if the session keeps the lock after one release, and its server does not count.
pub(super) fn stays<D: Dialect>(ledger: &Ledger, session: &Session, lock_id: &LockId) -> bool {
    !D::COUNTS && ledger.held(D::LABEL, session, lock_id) > 1
}

/// The last that is said of a lock.
struct Farewell {
    text: String,
    /// Whose debts these are.
    session: Option<Session>,
    held: Vec<Wanted>,
    /// Owed by a session that has not told its name.
    nobodys: Option<LockId>,
}

impl<C: Connection> Drop for ConnectionLock<'_, C> {
    fn drop(&mut self) {
        if self.held.is_empty() && self.sent.is_empty() && self.doubt.is_none() {
            return;
        }
        let end = self.end_of_transaction();
        let inside = self.conn.is_inside() || self.grant.as_ref().is_some_and(|it| it.inside);
        let Farewell { text, session, held, nobodys } = self.farewell();
        if self.conn.discard() {
            if let Some(lock_id) = nobodys {
                ledger().add_unreleased_somewhere(
                    C::Dialect::LABEL,
                    &lock_id,
                    Some(self.conn.place()),
                );
            }
            return;
        }
        if text.is_empty() {
            return;
        }
        let sent = self.conn.send(format!("{end}{text}"));
        let mut ledger = ledger();
        if !sent && let Some(lock_id) = nobodys {
            ledger.add_unreleased_somewhere(C::Dialect::LABEL, &lock_id, None);
        }
        // Nothing can come between, unless it is a transaction that has failed.
        let sure = sent && !(inside && C::Dialect::REFUSES_AFTER_ERRORS);
        if let (true, Some(session)) = (sure, session) {
            held.iter().for_each(|one| ledger.paid(C::Dialect::LABEL, &session, &one.lock_id, 1));
        }
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
