//! Somebody's locks.

use std::future::Future;
use std::time::Duration;

use crate::args::Args;

pub trait Locks: Clone + Send + Sync + 'static {
    type Held: Send + 'static;

    /// A client of its own.
    fn connect(args: &Args) -> impl Future<Output = Self> + Send;

    /// Waits for ever without a timeout; `None` when it is over.
    fn acquire(
        &self,
        key: &str,
        timeout: Option<Duration>,
    ) -> impl Future<Output = Option<Self::Held>> + Send;

    fn release(&self, held: Self::Held) -> impl Future<Output = ()> + Send;
}
