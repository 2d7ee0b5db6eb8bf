#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backend;
mod blocking;
mod clock;
#[doc(hidden)]
pub mod engine;
mod error;
mod extent;
mod guard;
mod key;
mod lock;
mod locker;
#[doc(hidden)]
#[path = "private/mod.rs"]
pub mod __private;
pub mod registry;
mod switch;
mod wait;

#[cfg(feature = "macros")]
pub use dlock_macros::locked;

pub use self::backend::Pool;
pub use self::backend::lease::LeaseOptions;
pub use self::error::{Error, Holder, LostInfo, LostReason, Result, Source, Stage};
pub use self::guard::Guard;
pub use self::key::{Key, NativeKey};
pub use self::lock::Lock;
pub use self::locker::{Locker, LockerBuilder};
pub use self::registry::{init, init_blocking, init_from_env, init_from_env_blocking};
pub use self::switch::set_enabled;
pub use self::wait::Wait;
