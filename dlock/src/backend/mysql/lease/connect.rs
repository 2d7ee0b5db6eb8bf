//! Which servers, and what they are called.

use std::sync::atomic::{AtomicBool, AtomicUsize};

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{ConnectOptions as _, MySqlPool};

use super::MySql;
use super::django::Django;
use crate::backend::lease::Table;
use crate::backend::mysql::lease_sql::{LeaseSql, OwnTable};
use crate::backend::mysql::{kind, label, parse};
use crate::backend::pool;
use crate::backend::{Options, hosts};
use crate::error::{Error, Result};

/// Where the servers are.
pub(super) enum Hosts {
    /// Each of a URL.
    Urls(Vec<MySqlConnectOptions>),
    /// The pool's, read at each connect.
    Pool(MySqlPool),
}

impl Hosts {
    pub(super) fn options(&self) -> Vec<MySqlConnectOptions> {
        match self {
            Hosts::Urls(all) => all.clone(),
            Hosts::Pool(pool) => vec![(*pool.connect_options()).clone()],
        }
    }

    /// Connects to one of them; with what the pool does to its connections, if this is of one.
    pub(super) async fn connect(&self, host: MySqlConnectOptions) -> sqlx::Result<MySqlConnection> {
        match self {
            Hosts::Urls(_) => host.connect().await,
            Hosts::Pool(pool) => pool::connect(pool, host).await,
        }
    }
}

impl MySql {
    /// `mysql://` or `mariadb://`, with one host or several.
    pub(crate) fn from_url(url: &str, table: &Table, options: &Options) -> Result<Self> {
        let hosts: Result<_> = hosts::urls(url).iter().map(|url| parse(url)).collect();
        Self::new(Hosts::Urls(hosts?), kind(url), table, options)
    }

    /// Where the pool's connections go.
    pub(crate) fn from_pool(pool: MySqlPool, table: &Table, options: &Options) -> Result<Self> {
        Self::new(Hosts::Pool(pool), "mysql", table, options)
    }

    fn new(hosts: Hosts, kind: &str, table: &Table, options: &Options) -> Result<Self> {
        let all = hosts.options();
        let label = label(kind, &all);
        let database = all.first().and_then(MySqlConnectOptions::get_database);
        if table.schema.is_none() && database.unwrap_or_default().is_empty() {
            return Err(Error::config(format!(
                "{label}: the url has no database, and the lease table must be in one; write \
                 {kind}://…/database, or name one with LeaseOptions::table(\"database.{}\")",
                table.name
            )));
        }
        let sql = |guarded| -> Box<dyn LeaseSql> {
            match table.django {
                true => Box::new(Django::new(table)),
                false => Box::new(OwnTable::new(table, guarded)),
            }
        };
        Ok(MySql {
            hosts,
            label,
            sql: sql(true),
            logged_sql: sql(false),
            warned: AtomicBool::new(false),
            packet: AtomicUsize::new(usize::MAX),
            application_name: options.application_name.clone(),
            ttl: options.lease.time_to_live(),
        })
    }
}
