//! Fencing tokens at work: how what a lock protects refuses a holder that has lost it.
//!
//! A process can be frozen, or cut off, between any two of its instructions. When it goes on, its
//! lock may have been another's for minutes, and nothing it can ask tells that in time: the answer is
//! old when it acts on it. So whatever keeps the data asks instead. Each grant of a lock that was
//! taken with [`Lock::fenced`](crate::Lock::fenced) has a number that is higher than all before; each
//! write carries that of its holder; and a write whose number is lower than one that was seen before
//! is refused.
//!
//! # In a database
//! The row has the token of the last holder that wrote it, and the write says on which condition:
//!
//! ```sql
//! ALTER TABLE documents ADD COLUMN fence BIGINT NOT NULL DEFAULT 0;
//!
//! UPDATE documents SET body = $1, fence = $2 WHERE id = $3 AND fence <= $2;
//! ```
//!
//! * `<=`, not `<`: a holder writes more than once under one grant.
//! * `fence = $2` is as important as the condition: it is what shuts the older ones out. A holder
//!   that only reads, and must not be overtaken afterwards by an older one, writes it too.
//! * Tokens are at least 1, so 0 is a row that nobody has written under the lock yet.
//! * All rows that belong together need the column, or one row for all of them that is written first
//!   in the same transaction.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> dlock::Result<()> {
//! use dlock::fence;
//! # struct Database(i64);
//! # impl Database { fn execute(&mut self, _: &str, token: i64) -> u64 {
//! #     let accepted = self.0 <= token; if accepted { self.0 = token } accepted.into() } }
//! # let mut database = Database(0);
//! # let locker = dlock::Locker::connect("memory:docs-fence").await?;
//!
//! let update = format!("UPDATE documents SET fence = $1 WHERE id = 7 AND {}",
//!                      fence::condition("fence", "$1"));
//!
//! let guard = locker.lock("document:7").fenced().acquire().await?;
//! let token = fence::token(&guard)?;
//! let rows = database.execute(&update, fence::bind(token));
//! fence::accepted(rows, &guard)?;
//! # guard.release().await?;
//! # let later = locker.lock("document:7").fenced().acquire().await?;
//! # assert_eq!(database.execute(&update, fence::bind(fence::token(&later)?)), 1);
//! # let stale = database.execute(&update, fence::bind(token));
//! # assert!(fence::accepted(stale, &later).unwrap_err().is_lost());
//! # Ok(()) }
//! ```
//!
//! # How tokens grow
//! Each grant of a key adds one to the token in the key's row of the lease table. A key that has no row
//! yet begins at the microseconds since 2020 on the database's clock (in `memory:`, at 1). So rows may
//! be deleted, one by one or all together: a new row begins above all tokens of the old one, for no
//! key is granted a million times a second. Tokens stay below 2^53, which JavaScript can count, until
//! the year 2305. They can go back in one case: when the server's clock is set back, and a row is
//! deleted before the clock has caught up with it.
//!
//! # In a service
//! What keeps its state in memory remembers the newest token that it has seen: [`Gate`].
//!
//! # Elsewhere
//! What can neither compare nor remember (most files, most APIs) can't be fenced. There,
//! [`Guard::protect`](crate::Guard::protect) makes the window small, and nothing closes it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};
use crate::guard::Guard;
use crate::lost::LostReason;

/// The token of a lock that was taken with [`Lock::fenced`](crate::Lock::fenced).
///
/// # Errors
/// [`Error::Config`] when it was not, or when locking is switched off.
pub fn token(guard: &Guard) -> Result<u64> {
    guard.fence().ok_or_else(|| {
        Error::config(format!(
            "lock \"{}\" has no fencing token; take it with fenced(), and leave locking switched on",
            guard.key()
        ))
    })
}

/// A token as SQL has it, which knows no unsigned numbers. The order stays.
pub fn bind(token: u64) -> i64 {
    // No counter comes that far.
    i64::try_from(token).unwrap_or(i64::MAX)
}

/// The condition on which a write is accepted, to be put behind `AND`: that nobody with a higher
/// token has written before. `column` and `token`, a placeholder, stand in it as they are, the latter
/// once. A row whose column is NULL has not been written under the lock yet.
///
/// ```
/// assert_eq!(dlock::fence::condition("fence", "$2"), "(fence IS NULL OR fence <= $2)");
/// ```
pub fn condition(column: &str, token: &str) -> String {
    format!("({column} IS NULL OR {column} <= {token})")
}

/// Whether a write with the [`condition`] was accepted, by the number of rows that it has found.
/// None: a later holder has written already, or there is no such row at all.
///
/// On MySQL a client can ask for the rows that were found or for those that have changed. sqlx asks
/// for the former; elsewhere, a write that changes nothing looks like one that was refused.
///
/// # Errors
/// [`Error::Lost`] when it was not: the guard is worth nothing any more.
pub fn accepted(rows: u64, guard: &Guard) -> Result<()> {
    if rows > 0 {
        return Ok(());
    }
    Err(guard.lost_by(LostReason::Overtaken))
}

/// Remembers the newest token that was seen, and lets nobody pass whose token is older: for what is
/// no database, one for each thing that is protected.
///
/// To pass and to act must be one step, or a later holder acts between the two: keep the gate under
/// the mutex of what it guards. And it must not forget: one that is made anew, after a restart,
/// begins at the newest token that what it guards has on record.
///
/// ```
/// use dlock::fence::Gate;
///
/// let gate = Gate::new(0);
/// assert!(gate.admits(33));
/// assert!(gate.admits(33), "a holder acts more than once");
/// assert!(gate.admits(34));
/// assert!(!gate.admits(33), "a later holder was here");
/// ```
#[derive(Debug, Default)]
pub struct Gate(AtomicU64);

impl Gate {
    /// One that has seen this token, 0 for none, and no higher one.
    pub const fn new(newest: u64) -> Self {
        Gate(AtomicU64::new(newest))
    }

    /// Whether whoever has this token may pass; if so, nobody with an older one may from now on.
    #[must_use = "one that is not admitted must not act"]
    pub fn admits(&self, token: u64) -> bool {
        self.0.fetch_max(token, Ordering::AcqRel) <= token
    }

    /// The newest token that was seen.
    pub fn newest(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}
