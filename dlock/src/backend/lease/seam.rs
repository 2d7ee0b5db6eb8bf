//! What a database must be able to do to keep leases.

use std::borrow::Cow;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::owner;
use crate::backend::Seen;
use crate::error::Error;
use crate::key::Key;
use crate::native::NativeKey;
use crate::status::Finding;

/// A database with a lease table.
///
/// Every statement evaluates the database's own clock: no time of this process ever goes in.
pub(crate) trait LeaseBackend: Send + Sync + 'static {
    /// A connection. One that is dropped without [`close`](LeaseBackend::close) is in doubt.
    type Connection: Send + 'static;

    /// The database and its address, for messages.
    fn label(&self) -> Box<str>;

    /// Connects, makes the table where it may, and checks it.
    fn open(&self) -> impl Future<Output = Result<Self::Connection, Failure>> + Send;

    /// Gives back, then takes: all of it together, or nothing.
    ///
    /// A lease is taken only if its row is absent or has run out, by one compare-and-set that adds
    /// one to the fence. It is given back only if the row has its name and its owner; the row
    /// stays. Both lists are sorted by name, so that databases with row locks meet no deadlock.
    fn apply(
        &self,
        connection: &mut Self::Connection,
        releases: &[Lease],
        takes: &[Lease],
        ttl: Duration,
    ) -> impl Future<Output = Result<Verdicts, Failure>> + Send;

    /// Has these end a whole ttl from now; the answer, in their order, is which of them had not run
    /// out and so were renewed.
    fn renew(
        &self,
        connection: &mut Self::Connection,
        leases: &[Lease],
        ttl: Duration,
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
    ) -> impl Future<Output = Result<Vec<Seen>, Failure>> + Send;

    /// What is wrong with the set-up.
    fn examine(
        &self,
        connection: &mut Self::Connection,
    ) -> impl Future<Output = Result<Vec<Finding>, Failure>> + Send;

    /// Disconnects.
    fn close(&self, connection: Self::Connection) -> impl Future<Output = ()> + Send;
}

/// A name, and who has it or wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) key: NativeKey,
    /// A token of this one grant, so that a row can never be taken for that of another grant.
    pub(crate) owner: Arc<str>,
}

impl Lease {
    pub(crate) fn new(key: NativeKey) -> Self {
        Lease { key, owner: owner::token() }
    }

    /// What the row is called.
    pub(crate) fn name(&self) -> Cow<'_, str> {
        name(&self.key)
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
pub(crate) struct Verdicts {
    /// Whether the row was still ours.
    pub(crate) released: Vec<bool>,
    /// The fence of what was granted; `None` when somebody else has it.
    pub(crate) taken: Vec<Option<u64>>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Failure {
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
