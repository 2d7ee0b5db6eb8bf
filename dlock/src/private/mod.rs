//! All that the macro's output calls. No part of the public contract: both crates are always of
//! one version.

mod body;
mod call;
#[cfg(feature = "_server")]
mod connection;
mod output;
mod path;
mod run_or_error;
mod run_with_fallback;
mod template;

pub use self::body::{
    run, run_background, run_background_to_end, run_blocking, run_blocking_background,
    run_blocking_background_to_end, run_blocking_to_end, run_to_end,
};
pub use self::call::{
    Call, FindLocker, IntoKey, Takes, Timeout, enter, enter_blocking, guarded, lock, lock_all,
    lock_listed,
};
#[cfg(feature = "_server")]
pub use self::connection::{
    AnyConnection, GivesBack, OnConnection, Own, conn, off, on, own, within,
};
pub use self::output::{Carries, OtherOutput, Output, Skip, SkipOther, failed, never, on_error};
pub use self::path::{path_of, path_of_method};
pub use self::run_or_error::{
    Room, room, run_or_error, run_or_error_background, run_or_error_blocking,
    run_or_error_blocking_background,
};
pub use self::run_with_fallback::{
    run_with_fallback, run_with_fallback_background, run_with_fallback_blocking,
    run_with_fallback_blocking_background,
};
pub use self::template::{Part, key, part};
pub use crate::lock::scope::OnLoss;
pub use crate::spec::mode::Mode;
pub use crate::spec::wait::Wait;
