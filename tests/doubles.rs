//! What the doubles of SQL Server and of Oracle do, as a client sees it: by the driver, and by nothing of dlock.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "doubles/mssql/mod.rs"]
mod mssql;
#[path = "doubles/oracle/mod.rs"]
mod oracle;
