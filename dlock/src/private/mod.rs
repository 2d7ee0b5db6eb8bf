//! All that the macro's output calls. No part of the public contract: both crates are always of
//! one version.

mod body;
mod call;
mod carry;
#[cfg(any(feature = "mssql", feature = "mysql", feature = "oracle", feature = "postgres"))]
mod connection;
mod output;
mod path;
mod template;
mod whole;

pub use self::body::{
    run, run_background, run_background_to_end, run_blocking, run_blocking_background,
    run_blocking_background_to_end, run_blocking_to_end, run_to_end,
};
pub use self::call::{
    Call, FindLocker, IntoKey, Takes, Timeout, enter, enter_blocking, guarded, lock, lock_all,
    lock_listed,
};
pub use self::carry::{
    Room, carry, carry_background, carry_blocking, carry_blocking_background, room,
};
#[cfg(any(feature = "mssql", feature = "mysql", feature = "oracle", feature = "postgres"))]
pub use self::connection::{
    AnyConnection, GivesBack, OnConnection, Own, conn, off, on, own, within,
};
pub use self::output::{Carries, OtherOutput, Output, Skip, SkipOther, failed, never, on_error};
pub use self::path::{path_of, path_of_method};
pub use self::template::{Part, key, part};
pub use self::whole::{whole, whole_background, whole_blocking, whole_blocking_background};
pub use crate::lock::scope::OnLoss;
pub use crate::spec::mode::Mode;
pub use crate::spec::wait::Wait;
