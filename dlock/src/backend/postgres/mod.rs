//! PostgreSQL: session-level advisory locks, with 64-bit keys and with pairs of 32-bit ones.
//!
//! <https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADVISORY-LOCKS>
//!
//! A session is a `PgListener`: it is the one connection of sqlx's that can be watched, so that the
//! end of a session is known within milliseconds. Its one trap: when it has told that it is dead,
//! the next statement would run on a new connection. So that report ends the session, and every
//! statement returns the server's process id, which must stay the same.

#[cfg(feature = "postgres")]
pub(crate) mod caller_sql;
mod check;
mod connect;
mod errors;
mod fencing;
#[cfg(feature = "postgres")]
pub(crate) mod lease;
pub(crate) mod lease_sql;
mod listener;
mod server;
mod session;
mod session_sql;
mod settings;
mod status;
mod wait;

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use sqlx::PgPool;

pub(crate) use self::connect::Address;
#[cfg(test)]
pub(crate) use self::errors::of_code;
pub(crate) use self::session_sql::FIRST_FENCE;
pub(crate) use self::settings::BEGIN;
use super::lease::Table;
use super::{BackendInfo, Options, SessionLocks as _};
use crate::error::Result;
use crate::spec::native::Naming;

pub(crate) struct Postgres {
    address: Address,
    label: Box<str>,
    session_ttl: Duration,
    /// How many sessions there may be.
    max_sessions: u32,
    /// Where fencing tokens are drawn.
    table: Table,
    /// It has been said that tokens may repeat here.
    warned: AtomicBool,
}

impl Postgres {
    pub(crate) fn from_url(url: &str, options: &Options) -> Result<Self> {
        let address = Address::of_url(url, options.application_name.as_deref())?;
        Postgres::new(address, options)
    }

    pub(crate) fn from_pool(pool: PgPool, options: &Options) -> Result<Self> {
        Postgres::new(Address::of_pool(pool, options.application_name.as_deref()), options)
    }

    fn new(address: Address, options: &Options) -> Result<Self> {
        Ok(Postgres {
            label: address.label(),
            address,
            session_ttl: options.session_ttl,
            max_sessions: options.max_sessions,
            table: options.lease.table_of(false)?,
            warned: AtomicBool::new(false),
        })
    }

    /// What is known of it without asking.
    pub(crate) fn about(&self) -> BackendInfo {
        BackendInfo {
            label: self.label.clone(),
            naming: Naming::Id,
            modes: self.modes(),
            leases: None,
            fences: true,
            explain: Box::new(status::explain),
        }
    }
}
