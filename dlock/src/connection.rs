//! Locks on the caller's own connection, and inside the caller's transaction.
//!
//! ```text
//! on, within   what a caller writes          lock.rs (+ take, release, resolve, run), within.rs
//! Plan         which keys, how long, how     plan.rs
//! Ledger       what each session has, owes   ledger.rs
//! Dialect      what a database is told       dialect.rs; backend/*/caller_sql.rs
//! Driver       how a driver says it          driver.rs; backend/driver/
//! ```
//!
//! Nothing of the engine is used: every statement goes out on the connection that the caller gave.

#[cfg(feature = "oracle")]
mod blocking;
pub(crate) mod dialect;
pub(crate) mod driver;
mod driver_error;
pub(crate) mod ledger;
mod lock;
mod on;
mod pause;
mod plan;
mod release;
mod released;
mod resolve;
pub(crate) mod row;
mod run;
pub(crate) mod session;
mod take;
pub(crate) mod wanted;
mod within;

#[cfg(feature = "oracle")]
pub use self::blocking::BlockingConnection;
pub use self::lock::ConnectionLock;
pub use self::on::{On, on};
pub(crate) use self::plan::Plan;
pub use self::within::{TransactionLock, Within, within};

/// A connection that [`on`] and [`within`] can use.
///
/// sqlx's `PgConnection` and `MySqlConnection`, bare, as a `PoolConnection` and inside a
/// `Transaction`; with the feature `tokio-postgres` its `Client` and `Transaction`, and so those of
/// deadpool-postgres (`&mut **client`, `&mut *transaction`) and bb8-postgres (`&mut *client`); with the
/// feature `mssql` tiberius's `Client`, also that of a pool on the same tiberius; with the feature
/// `oracle` oracledb's `Connection`, also one of its pool. A `&mut` of any of them as well.
///
/// sqlx must be 0.9, tokio-postgres 0.7 and tiberius 0.13: a connection of another version is another
/// type, and the compiler says that it is no connection. `dlock::sqlx`, `dlock::tokio_postgres`,
/// `dlock::tiberius` and `dlock::oracledb` are the right ones.
///
/// Sealed: nobody else can implement it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no connection that dlock can lock on",
    label = "expected a connection of sqlx (PostgreSQL, MySQL), tokio-postgres, tiberius or oracledb",
    note = "of a pool, take a connection first; sqlx must be 0.9, tokio-postgres 0.7 and tiberius 0.13, \
            for another version's connection is another type (`dlock::sqlx` is the right one); and \
            dlock needs the feature of the database: `postgres`, `mysql`, `tokio-postgres`, `mssql` or \
            `oracle`"
)]
pub trait Connection: driver::Driver {}

impl<C: driver::Driver> Connection for C {}
