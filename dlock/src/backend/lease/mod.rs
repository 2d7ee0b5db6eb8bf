//! Locks that are rows of a table, each with a time at which it ends by itself.
//!
//! `dlock_leases(name, owner, fence, acquired_at, expires_at)` is the whole contract: a key is held
//! by the owner of its row until `expires_at` on the database's clock, and is free when that is in
//! the past or there is no row. Only [`prune`] deletes rows, for `fence` must go on growing.

pub(crate) mod ddl;
#[cfg(feature = "_server")]
mod ensure;
mod options;
#[cfg(feature = "_database")]
mod owner;
#[cfg(feature = "_database")]
pub(crate) mod prune;
#[cfg(feature = "_server")]
pub(crate) mod rights;
#[cfg(feature = "_database")]
pub(crate) mod seam;
#[cfg(feature = "_database")]
mod status;
mod table;

use std::time::Duration;

#[cfg(any(feature = "mssql", feature = "mysql", feature = "oracle"))]
pub(crate) use self::ensure::{Columns, misfit, unfit};
#[cfg(feature = "_server")]
pub(crate) use self::ensure::{TableAccess, ensure_table};
pub use self::options::LeaseOptions;
#[cfg(feature = "_database")]
pub(crate) use self::owner::process;
#[cfg(feature = "_database")]
pub use self::owner::{Owner, OwnerSpec};
#[cfg(feature = "_server")]
pub(crate) use self::rights::Rights;
#[cfg(feature = "_database")]
pub use self::seam::{Failure, Lease, Outcomes, Taken};
#[cfg(feature = "_database")]
pub(crate) use self::seam::{LeaseBackend, name};
#[cfg(feature = "_database")]
pub(crate) use self::status::{Row, seen};
#[cfg(feature = "_database")]
pub(crate) use self::table::Table;
use crate::error::Result;

/// How long a lease lasts where nobody says another thing.
pub(crate) const TTL: Duration = Duration::from_secs(10);

/// The statements that make the lease table on a database of this kind, `postgres`, `mysql`,
/// `mariadb`, `mssql`, `oracle` or `sqlite` (or a whole URL), for those who migrate by hand. For a table of another
/// name: [`LeaseOptions::ddl`].
///
/// ```
/// println!("{}", dlock::lease::ddl("sqlite")?);
/// # Ok::<(), dlock::Error>(())
/// ```
///
/// # Errors
/// [`Error::Config`](crate::Error::Config) for another kind.
pub fn ddl(backend: &str) -> Result<String> {
    LeaseOptions::new().ddl(backend)
}
