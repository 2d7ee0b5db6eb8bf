//! What a locker tells of its server: the holders and waiters, the set-up; and what it does for an administrator.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Locker;
use crate::engine::Message;
use crate::error::{Error, Result};
use crate::spec::key::IntoKey;
use crate::status::{Explained, LockStatus, Report};

/// How long a server may take to end a session that holds a lock.
const BREAK_TIME_MAX: Duration = Duration::from_secs(5);
/// The pause between two looks for that.
const BREAK_LOOK_PAUSE: Duration = Duration::from_millis(10);

impl Locker {
    /// Returns who holds and who waits for each lock that the server shows, including the locks of
    /// other programs. For this locker, every waiting caller is shown.
    ///
    /// dlock uses a separate session for such queries, and for finding the holder after an acquire
    /// has waited in vain. That session is open for some seconds and counts towards
    /// [`max_sessions`](crate::LockerBuilder::max_sessions). If all sessions are in use, this query
    /// runs on the session that holds the locks, and dlock does not look for the holder.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the server does not answer within 6 s (1 s if it cannot be reached
    /// at all). [`Error::Permission`] if the server does not allow it.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn status(&self) -> Result<Vec<LockStatus>> {
        self.core().fail_as_planned()?;
        self.core().statuses().await
    }

    /// Does the same as [`status`](Locker::status), and blocks the thread instead of awaiting.
    ///
    /// # Errors
    /// Those of [`status`](Locker::status), and [`Error::Config`] if called inside the same
    /// current-thread runtime that the locker was told to run on.
    pub fn status_blocking(&self) -> Result<Vec<LockStatus>> {
        self.core().ask_blocking(self.status())
    }

    /// Checks the set-up for problems: missing rights, settings that end sessions, a server that is
    /// nearly full. Set-ups in which locks are worthless (a transaction pooler, a standby, a
    /// cluster) are already an error of [`connect`](Locker::connect).
    ///
    /// # Errors
    /// Those of [`status`](Locker::status), within 11 s.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn check(&self) -> Result<Report> {
        self.core().fail_as_planned()?;
        self.core().ask(Message::Check).await
    }

    /// Does the same as [`check`](Locker::check), and blocks the thread instead of awaiting.
    ///
    /// # Errors
    /// Those of [`check`](Locker::check) and [`status_blocking`](Locker::status_blocking).
    pub fn check_blocking(&self) -> Result<Report> {
        self.core().ask_blocking(self.check())
    }

    /// Takes a lock away from its holder, in this program or in another one. Returns `true` if it
    /// was held and that holder no longer has it. Returns `false` if nobody held it.
    ///
    /// For a lease, dlock makes the lease expire. For a session lock, dlock ends the session, and
    /// **so everything else that this session holds is lost too**: all locks of a locker without
    /// contention. The holders learn of it as of any loss. Holders of leases learn of it only at
    /// their next renewal, and work on until then. Of [`permits`](crate::Lock::permits), only the first is
    /// taken away.
    ///
    /// # Errors
    /// [`Error::Permission`] if the database's user may not end the sessions of others; the error
    /// names the right to grant. [`Error::Unavailable`] if the server does not answer within 5 s,
    /// or if the holder's session has not ended by then.
    ///
    /// # Cancel safety
    /// What has begun continues.
    /// # Examples
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> dlock::Result<()> {
    /// let locker = dlock::Locker::connect("memory:docs-break").await?;
    /// let guard = locker.lock("stuck").acquire().await?;
    /// assert!(locker.break_lock("stuck").await?);
    /// assert!(guard.release().await.unwrap_err().is_lost());
    /// assert!(!locker.break_lock("stuck").await?);
    /// # Ok(()) }
    /// ```
    pub async fn break_lock(&self, key: impl IntoKey) -> Result<bool> {
        let key = key.into_key();
        let native = self.core().native(&key)?;
        self.core().fail_as_planned()?;
        // Once: it could be another holder's by the second time.
        let asked = native.clone();
        let ended = self.core().ask_once(|reply| Message::Break { key: asked, reply }).await;
        let ended = ended.map_err(|error| error.about(&key))?;
        if ended.is_empty() {
            return Ok(false);
        }
        let began = Instant::now();
        let is_one_of_them = |who: &str| ended.iter().any(|ended| who.ends_with(ended.as_str()));
        loop {
            let holders = self.core().holders(&native).await.map_err(|error| error.about(&key))?;
            if !holders.iter().any(|holder| is_one_of_them(&holder.who)) {
                return Ok(true);
            }
            if began.elapsed() > BREAK_TIME_MAX {
                let source =
                    Arc::from(Box::from("the server has not ended the holder's session yet"));
                return Err(Error::away(self.core().backend(), source).about(&key));
            }
            self.core().engine().sleep(BREAK_LOOK_PAUSE).await?;
        }
    }

    /// Deletes the rows of keys that nobody has held for `older_than` from the lease table. Returns
    /// the number of deleted rows. Rows of fencing tokens are in the same table and are deleted
    /// too: use a locker with `lease+` in its URL. Keys that are held, or kept by
    /// [`min_hold`](crate::Lock::min_hold) or [`once_per`](crate::Lock::once_per), stay.
    ///
    /// The table has one row for each key that was ever locked. This does not slow down locks, but
    /// [`status`](Locker::status) reads all rows. [`check`](Locker::check) reports more than
    /// 100,000 rows. Rows are deleted 1,000 at a time, and locks can be acquired in between. Any
    /// number of processes may prune at once.
    ///
    /// **Fencing tokens continue to grow.** When a key is locked again, its new row starts with a
    /// token from the database's clock, in microseconds. A row is deleted only if its token is
    /// lower than that by more than `older_than`. So keep `older_than` well above the time by which
    /// the clock may be set back, the difference between the clocks of a cluster's nodes, and the
    /// longest duration of a statement: one hour or more. A row with a higher token, for whatever
    /// reason, stays.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where locks are not leases, on Oracle, and for the table of
    /// django-database-locks. [`Error::Permission`] if the user may not delete, which nothing else
    /// here needs. [`Error::Unavailable`] if the server does not answer; some rows may have been
    /// deleted.
    ///
    /// # Cancel safety
    /// When the future is dropped, rows that were deleted stay deleted, and no more rows are
    /// deleted.
    /// # Examples
    /// ```
    /// # #[cfg(feature = "sqlite")]
    /// # async fn prune(locker: dlock::Locker) -> dlock::Result<()> {
    /// let month = std::time::Duration::from_secs(30 * 24 * 3600);
    /// let removed = locker.prune(month).await?;
    /// println!("{removed} keys were forgotten");
    /// # Ok(()) }
    /// ```
    pub async fn prune(&self, older_than: Duration) -> Result<u64> {
        self.core().fail_as_planned()?;
        self.core().ask(|reply| Message::Prune { older_than, reply }).await
    }

    /// Does the same as [`prune`](Locker::prune), and blocks the thread instead of awaiting.
    ///
    /// # Errors
    /// Those of [`prune`](Locker::prune), and [`Error::Config`] if called inside the same
    /// current-thread runtime that the locker was told to run on.
    pub fn prune_blocking(&self, older_than: Duration) -> Result<u64> {
        self.core().ask_blocking(self.prune(older_than))
    }

    /// Asks the server for an answer, in one round trip. For readiness probes. Makes a connection
    /// if there is none.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the server does not answer within 5 s or cannot be reached.
    /// [`Error::Closed`] if the locker is closed.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn ping(&self) -> Result<()> {
        self.core().fail_as_planned()?;
        self.core().ask(Message::Ping).await
    }

    /// Does the same as [`ping`](Locker::ping), and blocks the thread instead of awaiting.
    ///
    /// # Errors
    /// Those of [`ping`](Locker::ping) and [`status_blocking`](Locker::status_blocking).
    pub fn ping_blocking(&self) -> Result<()> {
        self.core().ask_blocking(self.ping())
    }

    /// Returns the database's name for this key, and a statement that finds its holders by hand.
    /// Sends nothing to the database.
    pub fn explain(&self, key: impl IntoKey) -> Explained {
        self.core().explain(&key.into_key())
    }
}
