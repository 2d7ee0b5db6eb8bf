//! What a database must be able to do to keep leases.

use std::borrow::Cow;
use std::future::{Future, pending};
use std::time::Duration;

#[cfg(doc)]
use super::prune;
use super::prune::Pruned;
use super::{Owner, TTL};
use crate::backend::LockView;
use crate::error::Error;
use crate::spec::key::Key;
use crate::spec::native::NativeKey;
use crate::status::Finding;

/// A database with a lease table.
///
/// Every statement evaluates the database's own clock: no time of this process ever goes in.
pub(crate) trait LeaseBackend: Send + Sync + 'static {
    /// A connection. One that is dropped without [`close`](LeaseBackend::close) is in doubt.
    type Connection: Send + 'static;

    /// The database and its address, for messages.
    fn label(&self) -> Box<str>;

    /// What the application calls itself in the server's views, where the address says it.
    fn application_name(&self) -> Option<String> {
        None
    }

    /// How long leases last where nobody says another thing.
    fn ttl(&self, _: &Self::Connection) -> Duration {
        TTL
    }

    /// The shortest and the longest time between two questions for one key.
    fn poll(&self) -> (Duration, Duration) {
        (Duration::from_millis(5), Duration::from_millis(50))
    }

    /// Whether the database's clock is this machine's wall clock.
    fn has_our_clock(&self) -> bool {
        false
    }

    /// Whether one row can be busy while others are not.
    fn has_busy_rows(&self) -> bool {
        true
    }

    /// How many leases can be given back or taken at once, when there was a connection.
    fn most(&self) -> usize {
        usize::MAX
    }

    /// Connects, makes the table where it may, and checks it.
    fn open(&self) -> impl Future<Output = Result<Self::Connection, Failure>> + Send;

    /// Ends when the table may have changed, so that what is waited for is asked for soon: a hint,
    /// which may come too often, too early or never. Cancel-safe.
    fn changed(&self, _: &mut Self::Connection) -> impl Future<Output = ()> + Send {
        pending()
    }

    /// Gives back, then takes: all of it together, or nothing.
    ///
    /// A lease is taken only if its row is absent, has run out, or has this very owner, by one
    /// compare-and-set that adds one to the fence; that of an absent row begins at the microseconds
    /// of the database's clock since 2020, so that it goes on growing when rows are deleted. A take
    /// never shortens the row of its own owner: it may be done late, or twice, and the row be that of
    /// a later grant by then. A lease is given back only if the row has its name, its owner and (where
    /// the statement says it) its fence; the row stays, until its [`lasts`](Lease::lasts) is over,
    /// under no owner. Both lists are sorted by name, so that databases with row locks meet no
    /// deadlock; a name may be in both.
    fn apply(
        &self,
        connection: &mut Self::Connection,
        releases: &[Lease],
        takes: &[Lease],
    ) -> impl Future<Output = Result<Outcomes, Failure>> + Send;

    /// Has each of these last from now at least as long as it says, for a renewal that is done late
    /// must not shorten what a later one has written; the answer, in their order, is which of them
    /// had not run out and so were renewed.
    fn renew(
        &self,
        connection: &mut Self::Connection,
        leases: &[Lease],
    ) -> impl Future<Output = Result<Vec<bool>, Failure>> + Send;

    /// Whether this one has not run out. Reads only.
    fn check(
        &self,
        connection: &mut Self::Connection,
        lease: &Lease,
    ) -> impl Future<Output = Result<bool, Failure>> + Send;

    /// Who holds, read from the table: this key, or all. Who waits is not in it.
    fn status(
        &self,
        connection: &mut Self::Connection,
        of: Option<&NativeKey>,
    ) -> impl Future<Output = Result<Vec<LockView>, Failure>> + Send;

    /// Has the row of this lease, if it has not run out, belong to another owner, and last from now on as
    /// long as the lease says. Its fence stays, and is the answer.
    fn own(
        &self,
        connection: &mut Self::Connection,
        lease: &Lease,
        to: &Owner,
    ) -> impl Future<Output = Result<Taken, Failure>> + Send;

    /// Removes rows that nobody has had for this long, of at most [`prune::ROWS_MAX`] keys from this
    /// name on; [`prune`] says which. Rows that somebody works on are left alone.
    fn prune(
        &self,
        connection: &mut Self::Connection,
        older_than: Duration,
        from: &str,
    ) -> impl Future<Output = Result<Pruned, Failure>> + Send;

    /// What is wrong with the set-up.
    fn examine(
        &self,
        connection: &mut Self::Connection,
    ) -> impl Future<Output = Result<Vec<Finding>, Failure>> + Send;

    /// Disconnects.
    fn close(&self, connection: Self::Connection) -> impl Future<Output = ()> + Send;
}

/// Its table is somebody else's.
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) fn cannot_prune(label: &str) -> Error {
    Error::Unsupported {
        backend: label.into(),
        what: "rows that dlock may remove".into(),
        instead: "its table is not dlock's own: remove them by the means of whose it is".into(),
    }
}

/// A row that is ours, or is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Which key it is of.
    pub key: NativeKey,
    /// Who has it.
    pub owner: Owner,
    /// Which grant of the key it is: `None` where that is not known, does not matter, or there is no
    /// such thing.
    pub fence: Option<u64>,
    /// From now on, by the statement that it goes with: [`Duration::MAX`] for ever, and, of a lease
    /// that is given back, how long others cannot have it yet.
    pub lasts: Duration,
}

impl Lease {
    /// What the row is called.
    pub(crate) fn name(&self) -> Cow<'_, str> {
        name(&self.key)
    }

    /// Which grant of the key it is, as statements have it: zero where that is not known.
    #[cfg(any(feature = "mssql", feature = "sqlite"))]
    pub(crate) fn fence_or_zero(&self) -> i64 {
        self.fence.and_then(|fence| i64::try_from(fence).ok()).unwrap_or(0)
    }

    /// Whether this is another answer about the same owner for the same row.
    pub(crate) fn is_of(&self, other: &Lease) -> bool {
        self.key == other.key && self.owner == other.owner
    }

    /// Whether that statement is about this grant, as its row is found: by its owner, and by its
    /// fence if the statement says that.
    pub(crate) fn is_meant_by(&self, asked: &Lease) -> bool {
        self.is_of(asked) && (asked.fence.is_none() || asked.fence == self.fence)
    }
}

/// What the row of a key is called.
pub(crate) fn name(key: &NativeKey) -> Cow<'_, str> {
    match key {
        NativeKey::Name(name) => name.into(),
        // Not what lease tables are asked for.
        other => Key::of_native(other).name("").into(),
    }
}

/// What became of takes and releases, each in the order in which they were asked.
#[derive(Debug, Default)]
pub struct Outcomes {
    /// Whether the row was still ours.
    pub released: Vec<bool>,
    /// What became of the takes.
    pub taken: Vec<Taken>,
}

/// What became of a take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is ours, with this fence where the table has such.
    Granted(Option<u64>),
    /// Somebody else has it, for this long if nothing changes; `None`: nobody knows.
    Held(Option<Duration>),
}

impl Taken {
    /// Of the fence in the row that was written, if one was.
    #[cfg(any(feature = "mssql", feature = "postgres", feature = "sqlite"))]
    pub(crate) fn of(written: Option<Option<i64>>) -> Self {
        written.map_or(Taken::Held(None), |fence| {
            Taken::Granted(fence.and_then(|fence| u64::try_from(fence).ok()))
        })
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Failure {
    /// Others were in the way. Nothing has been done and the connection is as it was: the same can
    /// be asked again.
    Busy(Error),
    /// Anything else. What was asked may have been done or not; the connection is in doubt.
    Failed(Error),
}

impl Failure {
    pub(crate) fn into_error(self) -> Error {
        match self {
            Failure::Busy(error) | Failure::Failed(error) => error,
        }
    }
}
