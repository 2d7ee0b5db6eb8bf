//! Databases of several servers: leases outlive the loss of one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "cluster/failover.rs"]
mod failover;
#[path = "chaos/figures.rs"]
#[allow(dead_code, reason = "the chaos tests use the rest")]
mod figures;
#[path = "cluster/galera.rs"]
mod galera;
#[path = "cluster/group.rs"]
mod group;
#[path = "chaos/holder.rs"]
#[allow(dead_code, reason = "the chaos tests use the rest")]
mod holder;
#[path = "cluster/members.rs"]
mod members;
#[path = "cluster/moved.rs"]
mod moved;
#[path = "cluster/nodes.rs"]
mod nodes;
#[path = "cluster/patroni.rs"]
mod patroni;
#[path = "cluster/pooler.rs"]
mod pooler;
#[path = "cluster/postgres.rs"]
mod postgres;
#[path = "cluster/sessions.rs"]
mod sessions;
#[path = "cluster/takers.rs"]
mod takers;
