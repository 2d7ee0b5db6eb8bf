//! SQL Server, and the double that stands in for it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "mssql/answers.rs"]
mod answers;
#[path = "mssql/caller.rs"]
mod caller;
#[path = "mssql/double/mod.rs"]
mod double;
