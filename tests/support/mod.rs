//! What the tests share.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod backend;
mod check;
pub mod clock;
mod database;
mod disk;
mod double;
mod doubles;
mod eventually;
mod forger;
pub mod history;
mod memory;
mod names;
mod network;
pub mod oracle;
pub mod peer;
mod process;
mod proxy;
pub mod random;
mod rounds;
mod server;
mod site;
pub mod sql_server;
mod suite;
pub mod tds;
mod temp;
mod text;
pub mod tns;
mod wall;
mod wire;
mod witness;

pub use self::backend::Backend;
pub use self::check::{
    check, is_long, limited, limited_in_runtime, not_run, on_a_thread, tabulate, tell,
};
pub use self::disk::Disk;
pub use self::double::{SqlServerClient, connect as connect_sql_server, connect_oracle};
pub use self::doubles::program::run as run_double;
pub use self::eventually::{
    eventually, eventually_async, in_time, once_within, timeout_with_holder,
};
pub use self::forger::Forgery;
pub use self::memory::MemoryLimit;
pub use self::names::Names;
pub use self::network::{Client, Cut, Network};
pub use self::process::{Launch, Signal, Taker};
pub use self::proxy::Proxy;
pub use self::rounds::Rounds;
pub use self::server::Server;
pub use self::site::Site;
pub use self::temp::{Temp, unique};
pub use self::text::is_about;
pub use self::wall::Wall;
pub use self::witness::Witness;
