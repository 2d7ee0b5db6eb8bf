// The README's links, as rustdoc has them: the first definition of a link is the one that counts.
//! [cli]: guide::cli
//! [connections]: guide::connections
//! [leader]: guide::leader
//! [leases]: guide::leases
//! [limits]: guide::limits
//! [migrations]: guide::migrations
//! [observing]: guide::observing
//! [oracle]: guide::oracle
//! [python]: guide::python
//! [reliability]: guide::reliability
//! [sqlserver]: guide::sqlserver
//! [timeouts]: guide::timeouts
#![cfg_attr(feature = "test-util", doc = "[testing]: guide::testing")]
//!
#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[doc(hidden)]
#[path = "private/mod.rs"]
pub mod __private;
mod backend;
mod blocking;
mod clock;
#[cfg(feature = "_server")]
mod connection;
#[doc(hidden)]
pub mod engine;
mod error;
pub mod fence;
#[cfg(all(
    test,
    feature = "mssql",
    feature = "mysql",
    feature = "oracle",
    feature = "postgres",
    feature = "sqlite"
))]
mod fuzz;
#[cfg(any(doc, doctest))]
pub mod guide;
mod leader;
pub mod lease;
mod lock;
mod locker;
mod observe;
mod random;
#[cfg(feature = "serde")]
mod serialized;
mod sort;
mod sorted_map;
pub(crate) mod spec;
mod status;
pub(crate) mod switch;
mod sync;
#[cfg(feature = "test-util")]
pub mod testing;
mod text;
mod wait_group;
mod worker;

#[cfg(feature = "macros")]
#[doc = include_str!("locked.md")]
pub use dlock_macros::locked;

/// The oracledb crate that dlock uses for Oracle, and whose connections it takes. It is a beta.
#[cfg(feature = "oracle")]
#[doc(no_inline)]
pub use oracledb;
/// The sqlx crate whose pools and connections dlock takes. Types of another version are different
/// types.
#[cfg(any(feature = "mysql", feature = "postgres", feature = "sqlite"))]
#[doc(no_inline)]
pub use sqlx;
/// The tiberius crate that dlock uses for SQL Server.
#[cfg(feature = "mssql")]
#[doc(no_inline)]
pub use tiberius;
/// The tokio-postgres crate whose clients dlock takes. Types of another version are different
/// types.
#[cfg(feature = "tokio-postgres")]
#[doc(no_inline)]
pub use tokio_postgres;

pub use self::backend::Pool;
pub use self::backend::lease::LeaseOptions;
#[cfg(feature = "oracle")]
pub use self::connection::BlockingConnection;
#[cfg(feature = "_server")]
pub use self::connection::{Connection, ConnectionLock, On, TransactionLock, Within, on, within};
pub use self::error::{Error, Result, Source};
pub use self::leader::{Leader, Role};
pub use self::lock::Lock;
pub use self::lock::guard::Guard;
pub use self::lock::multi::{MultiGuard, MultiLock};
pub use self::lock::token::Token;
pub use self::locker::Locker;
pub use self::locker::builder::LockerBuilder;
#[doc(inline)]
pub use self::locker::registry;
pub use self::locker::registry::{
    init, init_blocking, init_from_env, init_from_env_blocking, set_enabled, shutdown,
    shutdown_blocking,
};
pub use self::observe::{ObservedLock, ObservedLocker, Observer};
pub use self::spec::key::{IntoKey, Key};
pub use self::spec::mode::Mode;
pub use self::spec::native::NativeKey;
pub use self::spec::scheme::KeyScheme;
pub use self::spec::wait::Wait;
pub use self::status::holder::{Holder, Stage};
pub use self::status::lost::{LostInfo, LostReason};
pub use self::status::{Explained, Finding, LockStatus, Report, Severity};
pub use self::text::Text;
