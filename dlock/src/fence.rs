//! Fencing tokens: how the protected resource rejects a holder that has lost its lock.
//!
//! A process can be frozen or cut off between any two instructions. When it goes on, another process may have had
//! its lock for minutes. No question helps: the answer is old when the process acts on it. So the protected
//! resource must decide. Each grant of a lock that was taken with [`Lock::fenced`](crate::Lock::fenced) has a
//! number that is higher than all earlier ones. Each write carries the number of its holder. The resource stores
//! the highest number that it has seen, and rejects lower ones.
//!
//! # In a database
//! The row stores the token of the last holder that wrote it, and the write has a condition:
//!
//! ```sql
//! ALTER TABLE documents ADD COLUMN fence BIGINT NOT NULL DEFAULT 0;
//!
//! UPDATE documents SET body = $1, fence = $2 WHERE id = $3 AND fence <= $2;
//! ```
//!
//! * `<=`, not `<`: a holder writes more than once under one grant.
//! * `fence = $2` is as important as the condition: it shuts out older holders. A holder that only reads writes it
//!   too, if no older holder may write afterwards.
//! * Tokens are at least 1, so 0 means that nobody has written the row under the lock yet.
//! * All rows that belong together need the column. Or one row stands for all of them, and is
//!   written first in the same transaction.
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
//! Each grant of a key adds one to the token in the key's row of the lease table. A key without a row begins at
//! the microseconds since 2020 on the database's clock (in `memory:`, at 1). So rows may be deleted, one by one or
//! all together: a new row begins above all tokens of the old one, because no key is granted a million times a
//! second. Tokens stay below 2^53, the limit of JavaScript, until the year 2305. They can go back in one case: the
//! server's clock is set back, and a row is deleted before the clock has caught up.
//!
//! # In a service
//! A service that keeps its state in memory remembers the newest token in a [`Gate`].
//!
//! # Elsewhere
//! A resource that can neither compare nor remember (most files, most APIs) cannot be fenced. There,
//! [`Guard::protect`](crate::Guard::protect) makes the window small. Nothing closes it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};
use crate::lock::guard::Guard;
use crate::status::lost::LostReason;

/// Returns the token of a lock that was taken with [`Lock::fenced`](crate::Lock::fenced).
///
/// # Errors
/// [`Error::Config`] if the lock has none, or if locking is switched off.
pub fn token(guard: &Guard) -> Result<u64> {
    guard.fence().ok_or_else(|| {
        Error::config(format!(
            "lock \"{}\" has no fencing token; take it with fenced(), and leave locking switched on",
            guard.key()
        ))
    })
}

/// Converts a token for SQL, which has no unsigned numbers. The order stays the same.
pub fn bind(token: u64) -> i64 {
    // No counter comes that far.
    i64::try_from(token).unwrap_or(i64::MAX)
}

/// Returns the condition on which a write is accepted, to be put behind `AND`: nobody with a higher token has
/// written the row. `column` and `token` (a placeholder) are used as they are, the latter once. A column that is
/// NULL means that nobody has written the row under the lock yet.
///
/// ```
/// assert_eq!(dlock::fence::condition("fence", "$2"), "(fence IS NULL OR fence <= $2)");
/// ```
pub fn condition(column: &str, token: &str) -> String {
    format!("({column} IS NULL OR {column} <= {token})")
}

/// Checks whether a write with the [`condition`] was accepted, by the number of rows that it found. Zero rows
/// mean that a later holder has written already, or that there is no such row.
///
/// On MySQL a client can count the rows that were found or those that changed. sqlx counts the former. With other
/// clients, a write that changes nothing looks like one that was rejected.
///
/// # Errors
/// [`Error::Lost`] if the write was rejected: the guard no longer protects anything.
pub fn accepted(rows: u64, guard: &Guard) -> Result<()> {
    if rows > 0 {
        return Ok(());
    }
    Err(guard.lost_by(LostReason::Overtaken))
}

/// The newest token that a resource has seen, for resources that are not databases. Each resource
/// needs one gate.
///
/// Passing the gate and acting must be one step, otherwise a later holder can act between the two:
/// keep the gate under the mutex of the resource. The gate must not forget. After a restart, create
/// the new gate with the newest token that the resource has stored.
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
    /// Creates a gate that has seen this token, or no token if it is 0.
    pub const fn new(newest: u64) -> Self {
        Gate(AtomicU64::new(newest))
    }

    /// Returns `true` if a holder with this token may pass. From then on nobody with an older token may.
    #[must_use = "one that is not admitted must not act"]
    pub fn admits(&self, token: u64) -> bool {
        self.0.fetch_max(token, Ordering::AcqRel) <= token
    }

    /// Returns the newest token that the gate has seen.
    pub fn newest(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}
