//! Databases of several servers: leases outlive the loss of one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "cluster/galera.rs"]
mod galera;
#[path = "cluster/nodes.rs"]
mod nodes;
#[path = "cluster/postgres.rs"]
mod postgres;
