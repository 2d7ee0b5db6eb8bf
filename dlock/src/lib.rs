// The README's links, as rustdoc has them: the first definition of a link is the one that counts.
//! [cli]: guide::cli
//! [connections]: guide::connections
//! [leases]: guide::leases
//! [limits]: guide::limits
//! [migrations]: guide::migrations
//! [python]: guide::python
//! [reliability]: guide::reliability
//! [timeouts]: guide::timeouts
//!
#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[doc(hidden)]
#[path = "private/mod.rs"]
pub mod __private;
mod backend;
mod blocking;
mod builder;
mod claim;
mod clock;
#[cfg(any(feature = "mssql", feature = "mysql", feature = "oracle", feature = "postgres"))]
mod connection;
mod deadline;
#[doc(hidden)]
pub mod engine;
mod error;
mod extent;
pub mod fence;
mod guard;
#[cfg(any(doc, doctest))]
pub mod guide;
mod holder;
mod join;
mod key;
mod leader;
pub mod lease;
mod lock;
mod locker;
mod lost;
mod mode;
mod multi;
mod native;
mod random;
pub mod registry;
mod scheme;
#[cfg(feature = "serde")]
mod serialized;
#[cfg(feature = "mysql")]
mod short;
mod status;
mod switch;
mod terms;
mod text;
mod token;
mod wait;

#[cfg(feature = "macros")]
#[doc = include_str!("locked.md")]
pub use dlock_macros::locked;

/// The very oracledb that dlock talks to Oracle with, and whose connections it takes. It is a beta.
#[cfg(feature = "oracle")]
#[doc(no_inline)]
pub use oracledb;
/// The very sqlx whose pools and connections dlock takes: another version's are other types.
#[cfg(any(feature = "mysql", feature = "postgres", feature = "sqlite"))]
#[doc(no_inline)]
pub use sqlx;
/// The very tiberius that dlock talks to SQL Server with.
#[cfg(feature = "mssql")]
#[doc(no_inline)]
pub use tiberius;
/// The very tokio-postgres whose clients dlock takes: another version's are other types.
#[cfg(feature = "tokio-postgres")]
#[doc(no_inline)]
pub use tokio_postgres;

pub use self::backend::Pool;
pub use self::backend::lease::LeaseOptions;
pub use self::builder::LockerBuilder;
#[cfg(feature = "oracle")]
pub use self::connection::BlockingConnection;
#[cfg(any(feature = "mssql", feature = "mysql", feature = "oracle", feature = "postgres"))]
pub use self::connection::{Connection, ConnectionLock, On, TransactionLock, Within, on, within};
pub use self::error::{Error, Result, Source};
pub use self::guard::Guard;
pub use self::holder::{Holder, Stage};
pub use self::key::{IntoKey, Key};
pub use self::leader::{Leader, Role};
pub use self::lock::Lock;
pub use self::locker::Locker;
pub use self::lost::{LostInfo, LostReason};
pub use self::mode::Mode;
pub use self::multi::{MultiGuard, MultiLock};
pub use self::native::NativeKey;
pub use self::registry::{
    init, init_blocking, init_from_env, init_from_env_blocking, shutdown, shutdown_blocking,
};
pub use self::scheme::KeyScheme;
pub use self::status::{Explained, Finding, LockStatus, Report, Severity};
pub use self::switch::set_enabled;
pub use self::text::Text;
pub use self::token::Token;
pub use self::wait::Wait;
