//! Oracle, and the double that stands in for it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "oracle/answers.rs"]
mod answers;
#[path = "oracle/caller.rs"]
mod caller;
#[path = "oracle/double/mod.rs"]
mod double;
