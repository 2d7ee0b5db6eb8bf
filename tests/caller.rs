//! Locks on the caller's own connection, and in the caller's transaction.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "caller/mssql.rs"]
mod mssql;
#[path = "caller/oracle.rs"]
mod oracle;
#[path = "caller/tokio_postgres/mod.rs"]
mod tokio_postgres;
